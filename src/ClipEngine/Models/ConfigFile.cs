using System.Text.Json;

namespace ClipEngine.Models;

/// <summary>Reads a model's JSON file: bounded, without comments, trailing commas or repeated keys.</summary>
internal static class ConfigFile
{
    /// <summary>Real ones have a few kilobytes.</summary>
    private const long MaximumLength = 4 << 20;

    public static JsonElement Read(string path)
    {
        byte[] bytes;
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            if (stream.Length > MaximumLength)
                throw new BadInputException(path, $"is not a model configuration: it has {stream.Length} bytes, at most {MaximumLength} are expected.");
            bytes = new byte[stream.Length];
            stream.ReadExactly(bytes);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new BadInputException(path, $"the model configuration cannot be read: {exception.Message}", innerException: exception);
        }

        return ParseRoot(bytes, path);
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
                : throw new BadInputException(source, $"is not a model configuration: expected a JSON object, found {root.ValueKind}.");
        }
        catch (JsonException exception)
        {
            throw new BadInputException(source, $"is not valid JSON: {BadInputException.Escape(exception.Message)}", innerException: exception);
        }
    }
}
