using System.Globalization;
using System.Text.RegularExpressions;

namespace ClipEngine.Files;

/// <summary>One of the parts that work is divided into, written <c>2/3</c>: the second of three. Parts are runs of consecutive items, as equal in number as they can be, and depend on nothing but the number of items.</summary>
/// <param name="Index">From 1 to <paramref name="Count"/>.</param>
/// <param name="Count">How many parts there are.</param>
public readonly partial record struct PartNumber(int Index, int Count)
{
    /// <summary>More parts than a cluster's array jobs have tasks.</summary>
    public const int MostParts = 1_000_000;

    /// <summary>What the option that takes it is called.</summary>
    public const string OptionName = "--shard";

    /// <summary>Reads <c>I/N</c>.</summary>
    /// <exception cref="BadInputException">It is none.</exception>
    public static PartNumber Parse(string text)
    {
        string[] sides = text.Split('/');
        if (sides.Length == 2 && NumberText.TryParse(sides[0], out long index) && NumberText.TryParse(sides[1], out long count) && index >= 1 && index <= count && count <= MostParts)
            return new PartNumber((int)index, (int)count);
        throw new BadInputException(OptionName, $"expected I/N, as 1/10 for the first of ten parts, found '{BadInputException.Escape(text, 60)}'.", $"I counts from 1 to N; N is at most {MostParts}.");
    }

    /// <summary>The items of this part: the first one, and the one behind the last.</summary>
    /// <param name="items">All items.</param>
    public (long First, long End) Slice(long items) => ((long)((Int128)items * (Index - 1) / Count), (long)((Int128)items * Index / Count));

    /// <summary>The name of the part's file beside the file that all parts make together: <c>dir/name.part-00002-of-00003.EXTENSION</c>.</summary>
    /// <param name="whole">The file that the parts make together.</param>
    /// <param name="extension">With its dot.</param>
    public string FileBeside(string whole, string extension) =>
        Path.Combine(Path.GetDirectoryName(whole) ?? "", string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileNameWithoutExtension(whole)}.part-{Index:d5}-of-{Count:d5}{extension}"));

    /// <summary>The name of the part's file in a folder of parts: <c>part-00002-of-00003.EXTENSION</c>.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="extension">With its dot.</param>
    public string FileIn(string folder, string extension) => Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"part-{Index:d5}-of-{Count:d5}{extension}"));

    /// <summary>The part that an item belongs to.</summary>
    /// <param name="item">From 0.</param>
    /// <param name="items">All items.</param>
    /// <param name="count">How many parts there are.</param>
    public static PartNumber Of(long item, long items, int count)
    {
        int index = (int)((Int128)item * count / items) + 1;
        while (new PartNumber(index, count).Slice(items).End <= item)
            index++;
        return new PartNumber(index, count);
    }

    /// <summary>Reads the number out of a part's file name; null where it has none.</summary>
    public static PartNumber? OfFile(string path)
    {
        Match match = FileName().Match(Path.GetFileName(path));
        return match.Success && NumberText.TryParse(match.Groups["index"].ValueSpan, out int index) && NumberText.TryParse(match.Groups["count"].ValueSpan, out int count)
            ? new PartNumber(index, count) : null;
    }

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Index}/{Count}");

    [GeneratedRegex(@"(^|\.)part-(?<index>\d{5,7})-of-(?<count>\d{5,7})\.[a-z]+$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex FileName();
}
