using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>Reads the files of tokenizers, up to a length that real ones keep.</summary>
internal static class TokenizerFiles
{
    /// <summary>UTF-8 that throws where it is none.</summary>
    public static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static byte[] ReadBytes(string path, int limit)
    {
        using FileStream stream = File.OpenRead(path);
        if (stream.Length > limit)
            throw new BadInputException(path, $"the file has {stream.Length} bytes; tokenizers have a few million, at most {limit} are read.");
        byte[] content = new byte[stream.Length];
        stream.ReadExactly(content);
        return content;
    }

    /// <summary>The lines of a text file, ended by "\n" or "\r\n"; behind the last line end there is none.</summary>
    public static string[] ReadLines(string path, int limit)
    {
        string text;
        try
        {
            text = StrictUtf8.GetString(ReadBytes(path, limit));
        }
        catch (DecoderFallbackException exception)
        {
            throw new BadInputException(path, $"the file is not UTF-8: {exception.Message}", "Get it again.", exception);
        }

        string[] lines = text.Replace("\r\n", "\n").Split('\n');
        return lines[^1].Length == 0 ? lines[..^1] : lines;
    }
}
