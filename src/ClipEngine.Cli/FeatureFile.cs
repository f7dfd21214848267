using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Files;

namespace ClipEngine.Cli;

/// <summary>Where <c>embed</c> writes: the extension decides, and is looked at before hours of work.</summary>
internal static class FeatureFile
{
    /// <summary>Refuses a name that <see cref="Write"/> could not write.</summary>
    public static void RequireKnownExtension(string path)
    {
        if (!IsNpy(path) && !IsSafetensors(path))
            throw new BadInputException(path, "expected a name ending in .npy or .safetensors.");
    }

    /// <summary>
    /// Writes the file whole or not at all: <c>.npy</c> holds the normalised features; <c>.safetensors</c> holds them under
    /// <c>NAME_normalized</c> beside those that open_clip returns, and the inputs' names as a JSON array under <c>names</c> in its metadata.
    /// </summary>
    /// <param name="path">The final name.</param>
    /// <param name="name"><c>image_features</c> or <c>text_features</c>.</param>
    /// <param name="features">Not normalised.</param>
    /// <param name="inputs">One name for each row.</param>
    public static void Write(string path, string name, FeatureMatrix features, IReadOnlyList<string> inputs)
    {
        FeatureMatrix normalized = features.Normalized();
        if (IsNpy(path))
        {
            NpyFile.Write(path, normalized.Values, Dimensions(normalized));
            return;
        }

        var writer = new SafetensorsWriter(new Dictionary<string, string> { ["names"] = JsonSerializer.Serialize([.. inputs], JsonLines.Default.StringArray) });
        Add(writer, name, features, normalized);
        writer.Write(path);
    }

    /// <summary>Adds both forms of features to a file that is being made.</summary>
    public static void Add(SafetensorsWriter writer, string name, FeatureMatrix features, FeatureMatrix normalized)
    {
        writer.Add(name, features.Values, Dimensions(features));
        writer.Add($"{name}_normalized", normalized.Values, Dimensions(normalized));
    }

    private static long[] Dimensions(FeatureMatrix features) => [.. Enumerable.Range(0, features.Shape.Rank).Select(i => features.Shape[i])];

    private static bool IsNpy(string path) => Path.GetExtension(path).Equals(".npy", StringComparison.OrdinalIgnoreCase);

    private static bool IsSafetensors(string path) => Path.GetExtension(path).Equals(".safetensors", StringComparison.OrdinalIgnoreCase);
}
