using System.CommandLine;
using ClipEngine.Audit.Tables;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;
using ClipEngine.Imaging;

namespace ClipEngine.Cli;

/// <summary>The words by which every verb that takes images says which: turned into a list of files in an order that does not depend on the file system.</summary>
/// <param name="takesShards">Whether tar shards may stand among the images.</param>
internal sealed class ImageArguments(bool takesShards = false)
{
    /// <summary>Columns of a table that hold files by their names, the first that is there.</summary>
    private static readonly string[] _usualColumns = ["file", "path", "image", "filename", "filepath"];

    private readonly Argument<string[]> _inputs = new Argument<string[]>("image") { Description = takesShards ? "Image files, folders of them, or shards: tar, or Parquet with a column of pictures." : "Image files, or folders of them.", Arity = ArgumentArity.ZeroOrMore }.ReadsFiles();
    private readonly Option<string?> _list = new Option<string?>("--file") { Description = $"A list of image files{(takesShards ? " and shards" : "")}, one a line; .csv, .tsv or .parquet: a table, one row an image, paths relative to the table's folder." }.ReadsText();
    private readonly Option<string?> _column = new("--column") { Description = $"With a table: the column that holds the files ({string.Join(", ", _usualColumns)} are found by themselves)." };

    private readonly Option<string?> _resampler = new("--resampler") { Description = "Whose resize: pillow-13 (the OpenCLIP layout's), pillow-12, or torchvision (the transformers layout's)." };
    private readonly Option<string?> _rgb = new("--rgb") { Description = "When palettes, alpha, 16-bit gray and the like become RGB: last, behind the resize (open_clip), or first (transformers)." };
    private readonly Option<string?> _alpha = new("--alpha") { Description = "What becomes of transparency: drop (open_clip), or white, laid over white first (transformers since 5.21)." };

    private readonly Option<bool> _skipBad = new("--skip-bad") { Description = "Go on past images that cannot be read, and list them. Without it the first one ends the run." };

    /// <summary>Adds the words to a verb.</summary>
    public void AddTo(Command command)
    {
        command.Add(_inputs);
        command.Add(_list);
        command.Add(_column);
        AddPreprocessingTo(command);
        command.Add(_skipBad);
    }

    /// <summary>Adds what says how images become pixels, to a verb whose images come from elsewhere.</summary>
    public void AddPreprocessingTo(Command command)
    {
        foreach (Option option in new Option[] { _resampler, _rgb, _alpha })
            command.Add(option);
    }

    /// <summary>What the user asks for in place of the preprocessing that belongs to the model.</summary>
    /// <exception cref="BadInputException">A name that does not exist.</exception>
    public PreprocessOverrides Preprocessing(ParseResult parsed) =>
        PreprocessOverrides.Parse(parsed.GetValue(_resampler), parsed.GetValue(_rgb), parsed.GetValue(_alpha), "--");

    /// <summary>Whether images that cannot be read are listed and left out.</summary>
    public bool SkipsBad(ParseResult parsed) => parsed.GetValue(_skipBad);

    /// <summary>A file stands for itself; a folder for all images below it, told by their extensions and sorted by path; a list for its lines, a table for its rows.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="leftOut">Counts the files of folders that are no images.</param>
    /// <exception cref="BadInputException">Something is not there, or nothing was named.</exception>
    public IReadOnlyList<string> Find(ParseResult parsed, LeftOutFiles leftOut)
    {
        string? list = parsed.GetValue(_list), column = parsed.GetValue(_column);
        bool isParquet = ParquetFile.IsParquet(list ?? ""), isTable = isParquet || CsvTable.IsTable(list ?? "");
        if (column is not null && !isTable)
            throw new BadInputException("--column", "names a column of a table, but --file names no table (.csv, .tsv, .parquet).");
        var files = new List<string>();
        foreach (string input in parsed.GetValue(_inputs) ?? [])
            Add(input, "there is no such image or folder.");
        if (list is not null && !isTable)
        {
            foreach (string line in ReadList(list))
                Add(line, $"there is no such image or folder; the list {list} names it.{(line.Contains('\t', StringComparison.Ordinal) ? " It holds a tab: name the list .tsv if it is a table." : "")}");
        }

        if (isParquet)
            AddParquetRows(list!, column, files);
        else if (isTable)
            AddRows(CsvTable.Read(list!), column, files);
        ValueRules.RefuseAsOutput(parsed, files);
        return files.Count > 0 ? files
            : list is not null ? throw new BadInputException(list, "names no image.", "Write one a line, or name files and folders behind the verb.")
            : throw new BadInputException("images", "none was named.", "Write files or folders behind the verb, or name a list with --file.");

        void Add(string input, string fallback)
        {
            if (FilePlace.IsFolder(input))
                files.AddRange(InFolder(input, leftOut));
            else if (FilePlace.IsFile(input))
                files.Add(input);
            else
                throw new BadInputException(input, fallback, Backslashes(input) ?? "Check the path.");
        }
    }

    private static void AddRows(CsvTable table, string? column, List<string> files)
    {
        int found = column is not null ? table.Column(column) : UsualColumn(table.Path, table.Header);
        for (int row = 0; row < table.RowCount; row++)
            files.Add(PathOf(table.Path, table.Header[found], table[row, found], table.Where(row)));
        RefuseEmpty(table.Path, table.RowCount);
    }

    private static void AddParquetRows(string path, string? column, List<string> files)
    {
        using ParquetFile table = ParquetFile.Open(path);
        int found = column is not null ? table.Column(column) : UsualColumn(path, table.Columns);
        RefuseEmpty(path, table.RowCount);
        long row = 0;
        for (int group = 0; group < table.GroupCount; group++)
        {
            foreach (string? cell in table.ReadText(group, found))
                files.Add(PathOf(path, table.Columns[found], cell ?? "", $"row {row++}"));
        }
    }

    private static int UsualColumn(string path, IReadOnlyList<string> columns)
    {
        int found = _usualColumns.Select(usual => columns.ToList().FindIndex(name => name.Equals(usual, StringComparison.OrdinalIgnoreCase))).FirstOrDefault(static index => index >= 0, -1);
        return found >= 0 ? found : throw new BadInputException(path, $"none of its columns is called {string.Join(", ", _usualColumns)}; they are {string.Join(", ", columns.Take(30).Select(name => $"'{BadInputException.Escape(name, 60)}'"))}.", "Name the column that holds the files with --column.");
    }

    private static void RefuseEmpty(string path, long rows)
    {
        if (rows == 0)
            throw new BadInputException(path, "there is a header but no row.", "Write a row for each image.");
    }

    private static string PathOf(string table, string column, string cell, string where)
    {
        string path = Path.Combine(Path.GetDirectoryName(table) ?? "", cell);
        if (string.IsNullOrWhiteSpace(cell))
            throw new BadInputException(table, $"{where}: column '{BadInputException.Escape(column)}' is empty.", "Every row needs its image; take the row out or fill the cell.");
        return FilePlace.IsFile(path) ? path : throw new BadInputException(path, $"there is no such image; {where} of {table} names it.", Backslashes(cell));
    }

    private IReadOnlyList<string> InFolder(string folder, LeftOutFiles leftOut)
    {
        ImageFolder found = ImageFolder.Find(folder);
        leftOut.Add(found.LeftOut);
        if (found.Images.Count == 0 && takesShards && found.Shards.Count > 0)
            return found.Shards;
        foreach (string shard in found.Shards)
            leftOut.Add(shard);
        string others = found.LeftOut.Total > 0 ? $"; {found.LeftOut}" : "";
        return found.Images.Count > 0 ? found.Images : throw new BadInputException(folder, $"the folder holds no images ({string.Join(", ", ImageCollection.Extensions)}){(takesShards ? " and no shards (.tar, .parquet)" : "")}{others}.", "Name a folder that holds some, or the files themselves.");
    }

    private static string? Backslashes(string path) => path.Contains('\\', StringComparison.Ordinal) && !OperatingSystem.IsWindows()
        ? "The path has backslashes, as Windows writes them; here folders are separated by '/'."
        : null;

    private static IEnumerable<string> ReadList(string list) => TextFile.ReadLines(list, "a list of images").Where(static line => line.Length > 0);
}
