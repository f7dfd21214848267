using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Tensors;

namespace ClipEngine.Audit.Scores;

/// <summary>Feature matrices on the disk: those of a run, and those that others computed.</summary>
internal static class FeatureFiles
{
    /// <summary>The tensor's key in a run's own files.</summary>
    public const string Key = "features";

    /// <summary>Reads a matrix of features as it is.</summary>
    /// <param name="path"><c>.npy</c>, or <c>.safetensors</c> with one floating-point matrix.</param>
    /// <param name="rows">How many rows it must have.</param>
    /// <param name="counted">The file that says so, for messages; null where there is none.</param>
    /// <exception cref="BadInputException">Missing, another shape or type, or not finite; names the row.</exception>
    public static (float[] Values, int Width) Read(string path, int rows, string? counted = null)
    {
        if (!FilePlace.IsFile(path))
            throw new BadInputException(path, "there is no such file.", "Check the path; nothing is put in the place of missing features.");
        (float[] values, long[] dimensions) = Path.GetExtension(path) == ".npy" ? ReadNpy(path) : ReadSafetensors(path);
        if (dimensions.Length != 2 || dimensions[0] != rows || dimensions[1] < 1)
            throw new BadInputException(path, $"the features have the shape [{string.Join(", ", dimensions)}]; [{rows}, width] was expected{(counted is null ? "" : $": {counted} has {rows} row{(rows == 1 ? "" : "s")}")}.", "One row for each image or label, in the order of the metadata or of the labels.");
        int width = (int)dimensions[1];
        for (int i = 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
                throw new BadInputException(path, $"row {i / width}, column {i % width} is {values[i]}; a finite value was expected.");
        }

        return (values, width);
    }

    /// <summary>Scales every row to length 1.</summary>
    /// <exception cref="BadInputException">A row is all zeros; names it.</exception>
    public static void Normalize(float[] values, int width, string path)
    {
        for (int row = 0; row < values.Length / width; row++)
        {
            Span<float> features = values.AsSpan(row * width, width);
            double square = 0;
            foreach (float value in features)
                square += (double)value * value;
            if (square == 0)
                throw new BadInputException(path, $"row {row} is all zeros; it has no direction.");
            double factor = 1 / Math.Sqrt(square);
            foreach (ref float value in features)
                value = (float)(value * factor);
        }
    }

    /// <summary>Writes features, whole or not at all.</summary>
    public static void Write(string path, float[] values, int width, IReadOnlyDictionary<string, string> metadata)
    {
        var writer = new SafetensorsWriter(metadata);
        writer.Add(Key, values, values.Length / width, width);
        writer.Write(path);
    }

    private static (float[] Values, long[] Dimensions) ReadNpy(string path)
    {
        using NpyFile file = NpyFile.Open(path);
        if (!file.Type.IsFloatingPoint())
            throw new BadInputException(path, $"the elements are {file.Type}; a floating-point type was expected.");
        var values = new float[file.ElementCount];
        file.ReadAsSingle(0, values);
        return (values, [.. file.Dimensions]);
    }

    private static (float[] Values, long[] Dimensions) ReadSafetensors(string path)
    {
        using ICheckpoint file = Checkpoint.OpenAsStored(path);
        StoredTensor[] matrices = [.. file.Tensors.Values.Where(tensor => tensor.Type.IsFloatingPoint() && tensor.Dimensions.Length == 2)];
        if (matrices.Length != 1)
            throw new BadInputException(path, $"the file holds {matrices.Length} floating-point matrices; one was expected.", "Store the features alone.");
        return (file.ReadSingles(matrices[0].Name), [.. matrices[0].Dimensions]);
    }
}
