using ClipEngine.Checkpoints;

namespace ClipEngine.Cli;

/// <summary>Tensors of other implementations, under their names or transformers'.</summary>
internal static class RawInput
{
    /// <summary>The first of the names that the file has, or null.</summary>
    public static string? Find(ICheckpoint file, params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            if (file.Tensors.ContainsKey(name))
                return name;
        }

        return null;
    }

    /// <summary>Ids below a vocabulary.</summary>
    /// <exception cref="BadInputException">One lies outside.</exception>
    public static int[] ReadIds(ICheckpoint file, string name, int vocabulary)
    {
        long[] ids = file.ReadInt64s(name);
        int wrong = Array.FindIndex(ids, id => id < 0 || id >= vocabulary);
        return wrong < 0
            ? Array.ConvertAll(ids, static id => (int)id)
            : throw new BadInputException(file.Path, $"{name}: expected ids from 0 to {vocabulary - 1}, found {ids[wrong]} at element {wrong}.");
    }

    /// <summary>How many ids of each sentence the <c>attention_mask</c> leaves; all of them where there is none.</summary>
    /// <exception cref="BadInputException">It has another shape, or hides an id in front of one that it does not hide.</exception>
    public static int[] ReadLengths(ICheckpoint file, int count, int length)
    {
        const string Name = "attention_mask";
        int[] lengths = new int[count];
        Array.Fill(lengths, length);
        if (!file.Tensors.TryGetValue(Name, out StoredTensor mask))
            return lengths;
        if (mask.Dimensions is not [var rows, var columns] || rows != count || columns != length)
            throw new BadInputException(file.Path, $"{Name}: expected [{count}, {length}], found {mask}.");
        long[] values = file.ReadInt64s(Name);
        for (int row = 0; row < count; row++)
        {
            Span<long> own = values.AsSpan(row * length, length);
            int seen = own.IndexOf(0L);
            lengths[row] = seen < 0 ? length : seen;
            if (own[lengths[row]..].IndexOfAnyExcept(0L) >= 0)
                throw new BadInputException(file.Path, $"{Name}: row {row} hides an id before one that it shows; padding stands at the end.");
        }

        return lengths;
    }
}
