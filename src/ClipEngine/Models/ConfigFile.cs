using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Files;

namespace ClipEngine.Models;

/// <summary>Reads a model's JSON file: bounded, without comments, trailing commas or repeated keys.</summary>
internal static class ConfigFile
{
    /// <summary>Real ones have a few kilobytes.</summary>
    private const long MaximumLength = 4 << 20;

    /// <summary>The root object.</summary>
    /// <param name="path">A file, or a model of the catalogue where there is no such file.</param>
    public static JsonElement Read(string path) => ParseRoot(ReadBytes(path), path);

    /// <summary>The JSON text as it is.</summary>
    /// <param name="path">A file, or a model of the catalogue where there is no such file.</param>
    public static byte[] ReadBytes(string path)
    {
        if (!FilePlace.IsFile(path) && ModelCatalogue.Models.FirstOrDefault(model => model.Name == path) is { } known)
            return System.Text.Encoding.UTF8.GetBytes(known.ConfigurationJson);
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            if (stream.Length > MaximumLength)
                throw new BadInputException(path, $"is not a model configuration: it has {stream.Length} bytes, at most {MaximumLength} are expected.");
            byte[] bytes = new byte[stream.Length];
            stream.ReadExactly(bytes);
            return bytes;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new BadInputException(path, $"the model configuration cannot be read: {exception.Message}", "Give a JSON file, or the name of a model that 'clipengine models list' shows.", exception);
        }
    }

    public static JsonElement ParseRoot(ReadOnlySpan<byte> utf8, string source)
    {
        if (utf8.StartsWith((ReadOnlySpan<byte>)[0xEF, 0xBB, 0xBF]))
            utf8 = utf8[3..];
        try
        {
            using var document = JsonDocument.Parse(utf8.ToArray(), new JsonDocumentOptions { MaxDepth = 32, AllowDuplicateProperties = false });
            JsonElement root = document.RootElement.Clone();
            return root.ValueKind == JsonValueKind.Object
                ? root
                : throw new BadInputException(source, $"is not a model configuration: expected a JSON object, found {root.ValueKind}.", "Give the open_clip_config.json or config.json of the model's repository.");
        }
        catch (JsonException exception)
        {
            throw new BadInputException(source, $"is not valid JSON: {BadInputException.Escape(exception.Message)}", innerException: exception);
        }
    }
}
