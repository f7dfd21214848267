using System.Globalization;
using System.IO.Compression;
using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>The data files beside the tokenizer, embedded in the assembly; <c>tools/make-tokenizer-data.py</c> makes them.</summary>
internal static class EmbeddedTable
{
    /// <summary>The lines of a text table.</summary>
    public static IEnumerable<string> Lines(string name)
    {
        using var reader = new StreamReader(Open(name), Encoding.UTF8);
        // Only '\n' ends a line: replacements hold other characters that a reader takes for line ends.
        return reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    /// <summary>A zlib-compressed table as bytes.</summary>
    public static byte[] Inflate(string name)
    {
        using var inflated = new MemoryStream();
        using (var stream = new ZLibStream(Open(name), CompressionMode.Decompress))
            stream.CopyTo(inflated);
        return inflated.ToArray();
    }

    /// <summary>A hexadecimal code point.</summary>
    public static int Code(string text) => int.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    /// <summary>The inverse of the script's escapes.</summary>
    public static string Unescape(string text) =>
        text.Contains('\\') ? text.Replace("\\t", "\t").Replace("\\n", "\n").Replace("\\\\", "\\") : text;

    private static Stream Open(string name) =>
        typeof(EmbeddedTable).Assembly.GetManifestResourceStream("ClipEngine.Tokenization.Data." + name)
        ?? throw new InvalidOperationException($"the assembly lacks its table '{name}'");
}
