using System.Text.Json;
using ClipEngine.Files;
using ClipEngine.Imaging;

namespace ClipEngine.Cli;

/// <summary>What a verb did without: images that could not be read (<c>--skip-bad</c>), and files that are no images.</summary>
/// <param name="leftOut">Files of folders and shards that are no images.</param>
internal sealed class SkippedImages(LeftOutFiles leftOut)
{
    private readonly List<(int Index, string Image, string Reason)> _skipped = [];

    /// <summary>Images that could not be read, by their numbers in the input.</summary>
    public IReadOnlyList<(int Index, string Image, string Reason)> Skipped => _skipped;

    /// <summary>Takes note of an image, and says so.</summary>
    public void Add(int index, string image, BadInputException refusal)
    {
        _skipped.Add((index, image, refusal.Message));
        Console.Error.WriteLine($"clipengine: skipped: {refusal.Message}");
    }

    /// <summary>The names of the images that were read.</summary>
    public string[] Kept(IReadOnlyList<string> names)
    {
        HashSet<int> gone = [.. _skipped.Select(static entry => entry.Index)];
        return [.. names.Where((_, index) => !gone.Contains(index))];
    }

    /// <summary>Lists the images that could not be read in a file beside the features, one JSON object a line: an empty file where all could.</summary>
    /// <param name="features">The file of features.</param>
    public void WriteBeside(string features)
    {
        AtomicFile.Write(ListOf(features), WriteLines);
    }

    /// <summary>The same list as text.</summary>
    public string ToLines()
    {
        using var stream = new MemoryStream();
        WriteLines(stream);
        return System.Text.Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length);
    }

    /// <summary>Writes a line of the list.</summary>
    public static void WriteLine(Stream stream, long index, string image, string reason)
    {
        using (var writer = new Utf8JsonWriter(stream))
            Write(writer, index, image, reason);
        stream.WriteByte((byte)'\n');
    }

    /// <summary>The list's name.</summary>
    public static string ListOf(string features) => features + ".skipped.jsonl";

    /// <summary>What belongs to a verb's last line: empty where nothing was left out.</summary>
    public string Summary(string? features = null)
    {
        string skipped = _skipped.Count == 0 ? ""
            : $"; skipped {_skipped.Count} unreadable image{(_skipped.Count == 1 ? "" : "s")}{(features is null ? "" : $", listed in {BadInputException.Escape(ListOf(features), 1000)}")}";
        return skipped + (leftOut.Total == 0 ? "" : $"; {leftOut}");
    }

    /// <summary>Writes <c>skipped</c> and <c>left_out</c> into the object that is open.</summary>
    public void WriteMembers(Utf8JsonWriter writer)
    {
        writer.WriteStartArray("skipped");
        foreach ((int index, string image, string reason) in _skipped)
            Write(writer, index, image, reason);
        writer.WriteEndArray();
        WriteLeftOut(writer, leftOut);
    }

    /// <summary>Writes <c>left_out</c>, counts by ending, into the object that is open.</summary>
    public static void WriteLeftOut(Utf8JsonWriter writer, LeftOutFiles leftOut)
    {
        writer.WriteStartObject("left_out");
        foreach ((string ending, int count) in leftOut.Counts)
            writer.WriteNumber(ending, count);
        writer.WriteEndObject();
    }

    private void WriteLines(Stream stream)
    {
        foreach ((int index, string image, string reason) in _skipped)
            WriteLine(stream, index, image, reason);
    }

    private static void Write(Utf8JsonWriter writer, long index, string image, string reason)
    {
        writer.WriteStartObject();
        writer.WriteNumber("index", index);
        writer.WriteString("image", image);
        writer.WriteString("reason", reason);
        writer.WriteEndObject();
    }
}
