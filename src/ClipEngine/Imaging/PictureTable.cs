using System.Globalization;
using ClipEngine.Files;
using ClipEngine.Native;

namespace ClipEngine.Imaging;

/// <summary>
/// A Parquet file with a picture in each row: as img2dataset writes it (columns <c>key</c> and <c>jpg</c>, null where a download failed), or as
/// data sets of the hub hold it (<c>image.bytes</c> and <c>image.path</c>). Open only while a row group is being read.
/// </summary>
internal sealed class PictureTable
{
    private static readonly string[] s_pictureColumns = ["jpg", "jpeg", "png", "webp", "image", "image.bytes", "bytes", "img"];
    private static readonly string[] s_nameColumns = ["key", "image.path", "image_path", "path", "file", "filename", "filepath"];

    private readonly FileStatus? _status;
    private readonly string[] _columns;
    private readonly int _pictures;
    private readonly int[] _rowsOfGroups;

    private PictureTable(ParquetFile file, int pictures)
    {
        Path = file.Path;
        _status = Platform.GetStatus(file.Path);
        _columns = [.. file.Columns];
        _pictures = pictures;
        _rowsOfGroups = [.. Enumerable.Range(0, file.GroupCount).Select(file.RowsOf)];
    }

    /// <summary>The file as the user named it.</summary>
    public string Path { get; }

    /// <summary>Looks through a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="leftOut">Counts the rows without a picture.</param>
    /// <returns>The table and its pictures: the name that the row gives it, or the row's number; with a <c>key</c> of img2dataset the name that the picture has in a tar, as <c>000000.jpg</c>.</returns>
    /// <exception cref="BadInputException">It is no table, or none of its columns holds pictures.</exception>
    public static (PictureTable Table, IReadOnlyList<(string Name, long Row)> Pictures) Read(string path, LeftOutFiles leftOut)
    {
        using ParquetFile file = ParquetFile.Open(path);
        int pictures = PictureColumn(file), names = s_nameColumns.Select(file.Find).FirstOrDefault(static column => column >= 0, -1);
        string ending = names >= 0 && file.Columns[names] == "key" && file.Columns[pictures] is "jpg" or "jpeg" or "png" or "webp" ? $".{file.Columns[pictures]}" : "";
        var found = new List<(string, long)>();
        long start = 0;
        for (int group = 0; group < file.GroupCount; start += file.RowsOf(group++))
        {
            bool[] isThere = file.ReadPresence(group, pictures);
            string?[]? keys = names < 0 ? null : file.ReadText(group, names);
            for (int row = 0; row < isThere.Length; row++)
            {
                if (!isThere[row])
                    leftOut.AddKind("rows without a picture");
                else
                    found.Add((keys?[row] is { Length: > 0 } key ? key + ending : $"{System.IO.Path.GetFileName(path)}#{(start + row).ToString(CultureInfo.InvariantCulture)}", start + row));
            }
        }

        return (new PictureTable(file, pictures), found);
    }

    /// <summary>The row group that a row lies in, and its place there.</summary>
    public (int Group, int Row) Find(long row)
    {
        int group = 0;
        while (row >= _rowsOfGroups[group])
            row -= _rowsOfGroups[group++];
        return (group, (int)row);
    }

    /// <summary>The encoded pictures of a row group.</summary>
    /// <exception cref="BadInputException">The file was changed or is damaged.</exception>
    public byte[]?[] ReadPictures(int group)
    {
        using ParquetFile file = Reopen();
        return file.ReadBytes(group, _pictures);
    }

    /// <summary>The other columns of a row group: text, and numbers that are whole or not.</summary>
    public IReadOnlyList<(string Name, object?[] Values)> ReadOthers(int group)
    {
        using ParquetFile file = Reopen();
        return ReadRecords(file, group);
    }

    /// <summary>All columns of a row group that hold text, truth values or numbers.</summary>
    public static IReadOnlyList<(string Name, object?[] Values)> ReadRecords(ParquetFile file, int group)
    {
        var columns = new List<(string, object?[])>();
        for (int column = 0; column < file.Columns.Count; column++)
        {
            if (file.IsNumeric(column))
            {
                bool isWhole = file.IsWhole(column);
                columns.Add((file.Columns[column], Array.ConvertAll(file.ReadNumbers(group, column), value => value is not { } known ? null : isWhole ? (long)known : (object)known)));
            }
            else if (file.IsText(column))
                columns.Add((file.Columns[column], file.ReadText(group, column)));
        }

        return columns;
    }

    private ParquetFile Reopen()
    {
        if (_status is { } known && Platform.GetStatus(Path) is { } now && (now.Device, now.Inode, now.Size, now.ModifiedNanoseconds) != (known.Device, known.Inode, known.Size, known.ModifiedNanoseconds))
            throw new BadInputException(Path, "the table was changed while its pictures were being read.", "Leave it alone until the run is done, and start it again.");
        ParquetFile file = ParquetFile.Open(Path);
        if (file.Columns.SequenceEqual(_columns))
            return file;
        file.Dispose();
        throw new BadInputException(Path, "the table was changed while its pictures were being read.", "Leave it alone until the run is done, and start it again.");
    }

    private static int PictureColumn(ParquetFile file)
    {
        int[] binary = [.. Enumerable.Range(0, file.Columns.Count).Where(file.IsBinary)];
        foreach (string usual in s_pictureColumns)
        {
            if (binary.FirstOrDefault(column => file.Columns[column] == usual, -1) is >= 0 and var column)
                return column;
        }

        return binary.Length == 1 ? binary[0] : throw new BadInputException(file.Path,
            $"{(binary.Length == 0 ? "none" : "more than one")} of its columns holds bytes, which pictures are; the columns are {string.Join(", ", file.Columns.Take(30).Select(static name => $"'{BadInputException.Escape(name, 60)}'"))}.",
            binary.Length == 0 ? "A table of paths is named with --file." : $"Call the one with the pictures {string.Join(", ", s_pictureColumns)}.");
    }
}

/// <summary>The row groups that pictures are being read from: few at a time, however many tables there are.</summary>
internal sealed class OpenPictures
{
    /// <summary>Threads that read ahead of one another are in two groups, seldom in three.</summary>
    private const int Most = 3;

    private readonly Lock _lock = new();
    private readonly List<(PictureTable Table, int Group, byte[]?[] Pictures)> _groups = new(Most + 1);

    /// <summary>The encoded picture of a row.</summary>
    public ReadOnlyMemory<byte> Get(PictureTable table, long row)
    {
        (int group, int place) = table.Find(row);
        lock (_lock)
        {
            int index = _groups.FindIndex(entry => entry.Table == table && entry.Group == group);
            if (index < 0)
            {
                if (_groups.Count == Most)
                    _groups.RemoveAt(0);
                _groups.Add((table, group, table.ReadPictures(group)));
                index = _groups.Count - 1;
            }

            return _groups[index].Pictures[place];
        }
    }
}
