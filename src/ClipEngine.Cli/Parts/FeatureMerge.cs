using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Parts;

/// <summary>
/// Puts the parts of a run together: the same bytes as the run without parts writes. Every part is there once and belongs to the same run, or
/// nothing is written. Parts are read one after the other; memory does not grow with their number of rows.
/// </summary>
internal sealed class FeatureMerge
{
    /// <summary>Parts that a message names one by one.</summary>
    private const int NamedInMessages = 10;

    private readonly FeaturePart[] _parts;
    private readonly CancellationToken _cancellation;

    private FeatureMerge(FeaturePart[] parts, CancellationToken cancellation)
    {
        _parts = parts;
        _cancellation = cancellation;
        Shape = FeaturePart.WithRows(parts[0].Shape, parts.Sum(static part => part.Shape[0]));
    }

    /// <summary>The shape of what will be written.</summary>
    public Shape Shape { get; }

    /// <summary>How many parts.</summary>
    public int Count => _parts.Length;

    /// <summary>Reads what the parts say of themselves.</summary>
    /// <param name="paths">Their files, in any order.</param>
    /// <param name="cancellation">Looked at between parts.</param>
    /// <exception cref="BadInputException">A part is missing, there twice, damaged or of another run; names it.</exception>
    public static FeatureMerge Open(IReadOnlyList<string> paths, CancellationToken cancellation)
    {
        var parts = new SortedDictionary<int, FeaturePart>();
        FeaturePart? first = null;
        foreach (string path in paths)
        {
            cancellation.ThrowIfCancellationRequested();
            var part = FeaturePart.Open(path, first);
            first ??= part;
            RefuseForeign(first, part);
            if (!parts.TryAdd(part.Number.Index, part))
                throw new BadInputException(path, $"part {part.Number} is there twice: {BadInputException.Escape(parts[part.Number.Index].Path, 300)} is that part too.", "Name each part once.");
        }

        if (first is null)
            throw new BadInputException("parts", "none was named.", "Name the parts, or the folder that they lie in.");
        RefuseMissing(parts, first.Number.Count);
        return new FeatureMerge([.. parts.Values], cancellation);
    }

    /// <summary>Says which parts of how many are not there.</summary>
    /// <exception cref="BadInputException">Some are not.</exception>
    public static void RefuseMissing<T>(IReadOnlyDictionary<int, T> parts, int count)
    {
        if (parts.Count == count)
            return;
        int[] missing = [.. Enumerable.Range(1, count).Where(index => !parts.ContainsKey(index)).Take(NamedInMessages)];
        throw new BadInputException("parts", $"{count - parts.Count} of {count} are missing: {string.Join(", ", missing.Select(index => new PartNumber(index, count)))}{(count - parts.Count > missing.Length ? " ..." : "")}.",
            "Make them with the same command and their --shard, then merge again.");
    }

    /// <summary>Writes the whole.</summary>
    /// <param name="path">The final name; its extension decides about the format.</param>
    /// <exception cref="BadInputException">A part is damaged; names it, and nothing is written.</exception>
    public void Write(string path)
    {
        if (Shape[0] == 0)
            throw new BadInputException("images", $"none of the {_parts.Sum(static part => part.Images)} images could be read.");
        FeatureFile.WriteRows(path, FeaturePart.Features, Shape, new MergedNames(_parts, path), _parts[0].Preprocessing, rows =>
        {
            foreach (FeaturePart part in _parts)
                part.ReadRows(rows, _cancellation);
        });
        if (_parts.Any(static part => part.ListsSkipped))
            AtomicFile.Write(SkippedImages.ListOf(path), WriteSkipped);
    }

    private static void RefuseForeign(FeaturePart first, FeaturePart part)
    {
        string? difference = part.Run.DifferenceTo(first.Run)
            ?? (part.Number.Count != first.Number.Count ? $"it is one of {part.Number.Count} parts here, of {first.Number.Count} there" : null)
            ?? (FeaturePart.WithRows(part.Shape, 0) != FeaturePart.WithRows(first.Shape, 0) ? $"the features' shape is {part.Shape} here, {first.Shape} there" : null);
        if (difference is not null)
            throw new BadInputException(part.Path, $"part {part.Number} is of another run than {BadInputException.Escape(first.Path, 300)}: {difference}.", "Parts that are merged come from one command; make this one again, or leave it out.");
    }

    /// <summary>The list of images that could not be read, numbered as in the whole.</summary>
    private void WriteSkipped(Stream stream)
    {
        long start = 0;
        foreach (FeaturePart part in _parts)
        {
            foreach (string line in part.ReadSkipped().Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                JsonNode entry = JsonNode.Parse(line)!;
                SkippedImages.WriteLine(stream, start + entry["index"]!.GetValue<long>(), entry["image"]!.GetValue<string>(), entry["reason"]!.GetValue<string>());
            }

            start += part.Images;
        }
    }

    /// <summary>The names of all parts' images, never all of them in memory.</summary>
    private sealed class MergedNames(FeaturePart[] parts, string output) : IRowNames
    {
        public IEnumerator<string> GetEnumerator() => parts.SelectMany(static part => JsonSerializer.Deserialize(part.ReadNames(), JsonLines.Default.StringArray) ?? []).GetEnumerator();

        /// <summary>Joins the arrays as text: what JSON makes of a text does not depend on its neighbours.</summary>
        public void AddTo(SafetensorsWriter writer, string key)
        {
            FileStream waiting = AtomicFile.OpenScratch(output);
            waiting.Write("["u8);
            bool isFirst = true;
            foreach (FeaturePart part in parts)
            {
                ReadOnlySpan<char> names = part.ReadNames().AsSpan().Trim()[1..^1];
                if (names.IsEmpty)
                    continue;
                if (!isFirst)
                    waiting.Write(","u8);
                isFirst = false;
                waiting.Write(Encoding.UTF8.GetBytes(JavaScriptEncoder.Default.Encode(names.ToString())));
            }

            waiting.Write("]"u8);
            waiting.Flush();
            writer.AddStreamedMetadata(key, waiting.Length, stream =>
            {
                waiting.Position = 0;
                waiting.CopyTo(stream);
                waiting.Dispose();
            });
        }
    }
}
