using System.Security.Cryptography;
using System.Text.Json;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Files;

namespace ClipEngine.Audit.Runs;

/// <summary>Where a finished result lies on the disk: <c>results.json</c>, <c>tables/*.csv</c> and <c>scores/*.npy</c>.</summary>
public static class ResultDirectory
{
    /// <summary>The stored result's file name.</summary>
    public const string ResultFile = "results.json";

    /// <summary>The folders in it that a run writes to.</summary>
    internal static IReadOnlyList<string> Folders { get; } = ["analysis", "embeddings", "figures", "scores", "tables"];

    /// <summary>
    /// Refuses a folder in which a run's files would lie among somebody's own: a run replaces files and takes away those that an
    /// earlier one left, so <c>tables</c>, <c>scores</c> and their like must be its own or not be there yet.
    /// </summary>
    /// <exception cref="BadInputException">One of them is there, and no mark of an audit.</exception>
    public static void RefuseForeign(string directory)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        if (FilePlace.IsFile(directory))
            throw new BadInputException(directory, "this is a file; a folder was expected.", "Give --out a new folder, or one that an earlier audit was written to.");
        if (!FilePlace.IsFolder(directory) || new[] { StageLedger.FileName, ResultFile }.Any(mark => FilePlace.IsFile(Path.Combine(directory, mark))))
            return;
        string? taken = Folders.Append("report.html").Append("run.json").FirstOrDefault(name => Path.Exists(Path.Combine(directory, name)));
        if (taken is not null)
            throw new BadInputException(directory, $"the folder has a '{taken}' that no audit wrote there; it would be overwritten.", "Give --out a new folder, or one that an earlier audit was written to.");
    }

    /// <summary>Keeps a folder for one writer, so that no two runs mix their files there: taken before the work, so that none is done in vain (<see cref="FolderLock"/>).</summary>
    /// <param name="directory">Created where missing.</param>
    /// <returns>Held until it is disposed.</returns>
    /// <exception cref="BadInputException">Another process holds it.</exception>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    internal static FolderLock Hold(string directory)
    {
        try
        {
            return FolderLock.TryTake(directory) ?? throw new BadInputException(directory, "another process is writing results into this folder.", "Wait for it, or give another --out.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{directory}: the results cannot be written there: {exception.Message} Give --out a folder that you may write to.", exception);
        }
    }

    /// <summary>Refuses a folder in which a run would write over its own inputs, or take them away as leftovers of an earlier run.</summary>
    /// <param name="directory">The run's folder.</param>
    /// <param name="inputs">All that the run reads: the spec, tables, images, weights, scores and features.</param>
    /// <exception cref="BadInputException">One of them lies where the run writes; names it.</exception>
    internal static void RefuseInputs(string directory, IEnumerable<string> inputs) =>
        RefuseInputs(directory, inputs, Folders, [ResultFile, StageLedger.FileName, ResultDatabase.FileName, "run.json", "timings.json", "report.html"]);

    /// <summary>The same for results of another kind.</summary>
    /// <param name="directory">Where they are written.</param>
    /// <param name="inputs">Files that are read.</param>
    /// <param name="ownFolders">Folders below it that are written into.</param>
    /// <param name="ownFiles">Files in it that are written.</param>
    /// <exception cref="BadInputException">An input would be overwritten or taken away.</exception>
    internal static void RefuseInputs(string directory, IEnumerable<string> inputs, IReadOnlyList<string> ownFolders, IReadOnlyList<string> ownFiles)
    {
        if (!FilePlace.IsFolder(directory))
            return;
        string[] own = [.. ownFolders.Select(name => Real(Path.Combine(directory, name)) + Path.DirectorySeparatorChar)];
        string[] files = [.. ownFiles.Select(name => Path.Combine(directory, name)).Where(FilePlace.IsFile)];
        // Few folders hold many inputs.
        var folders = new Dictionary<string, bool>(StringComparer.Ordinal);
        foreach (string input in inputs)
        {
            string folder = Path.GetDirectoryName(Path.GetFullPath(input)) ?? "/";
            if (!folders.TryGetValue(folder, out bool isInside))
            {
                string real = Real(folder) + Path.DirectorySeparatorChar;
                folders[folder] = isInside = own.Any(place => real.StartsWith(place, StringComparison.Ordinal));
            }

            if (isInside || files.Any(file => FilePlace.IsSame(file, input)))
                throw new BadInputException(directory, $"the input {BadInputException.Escape(input, 300)} lies in it where the run writes; it would be overwritten or taken away.", "Give another --out.");
        }
    }

    private static string Real(string path)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        string? parent = Path.GetDirectoryName(full);
        if (parent is null)
            return full;
        string here = Path.Combine(Real(parent), Path.GetFileName(full));
        FileSystemInfo? target = FilePlace.IsFolder(here) ? new DirectoryInfo(here).ResolveLinkTarget(returnFinalTarget: true) : null;
        return target is null ? here : Path.TrimEndingDirectorySeparator(target.FullName);
    }

    /// <summary>Writes <c>run.json</c>, the result with its tables and scores, and the report; what an earlier run left and this one does not have goes.</summary>
    internal static void WriteRun(AuditResult result, string directory, IReportWriter report)
    {
        AtomicFile.Write(Path.Combine(directory, "run.json"), stream => stream.Write(
            JsonSerializer.SerializeToUtf8Bytes(new RunRecord(result.Title, result.Provenance, result.Models), AuditJson.Default.RunRecord)));
        RemoveOthers(directory, "scores", "*.npy", [.. result.Experiments.SelectMany(experiment => experiment.Models, (experiment, model) => ScoreFile(directory, model.Model, experiment.Key, ReadingOf(result, model.Model)))]);
        RemoveOthers(directory, "tables", "*.csv", [.. ResultTables.All(result).Select(table => Path.Combine(directory, "tables", table.Name + ".csv"))]);
        Write(result, directory);
        report.Write(result, directory);
    }

    /// <summary>Files of an earlier run in this folder that this one does not have must not lie there as if they were its own.</summary>
    private static void RemoveOthers(string directory, string folder, string pattern, HashSet<string> own)
    {
        string path = Path.Combine(directory, folder);
        if (!FilePlace.IsFolder(path))
            return;
        foreach (string file in Directory.EnumerateFiles(path, pattern).Where(file => !own.Contains(file)).ToList())
            File.Delete(file);
    }

    /// <summary>Writes scores, tables and, last, the result; each file whole or not at all.</summary>
    /// <param name="result">What was found.</param>
    /// <param name="directory">Created where missing.</param>
    /// <exception cref="IOException">It cannot be written.</exception>
    public static void Write(AuditResult result, string directory)
    {
        using var culture = InvariantCulture.Begin();
        ArgumentNullException.ThrowIfNull(result);
        ArgumentException.ThrowIfNullOrEmpty(directory);
        foreach (ExperimentResult experiment in result.Experiments)
        {
            foreach (ModelExperimentResult model in experiment.Models)
            {
                if (model.Probabilities is { } matrix)
                    NpyFile.Write<float>(ScoreFile(directory, model.Model, experiment.Key, matrix.Reading), matrix.Values, matrix.Rows, matrix.Columns);
            }
        }

        ReportFolder.WriteTables(directory, ResultTables.All(result));
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(result, AuditJson.Default.AuditResult);
        AtomicFile.Write(Path.Combine(directory, ResultFile), stream => stream.Write(json));
    }

    /// <summary>Reads a result back, its score matrices included.</summary>
    /// <exception cref="BadInputException">The folder holds no finished run, or one whose files contradict each other.</exception>
    public static AuditResult Read(string directory)
    {
        using var culture = InvariantCulture.Begin();
        ArgumentException.ThrowIfNullOrEmpty(directory);
        string path = Path.Combine(directory, ResultFile);
        if (!FilePlace.IsFile(path))
            throw new BadInputException(directory, $"there is no {ResultFile}: this is no folder of a finished audit.", "Name the folder that was given as --out; run the same command again if it was interrupted.");
        AuditResult result;
        try
        {
            result = JsonSerializer.Deserialize(File.ReadAllBytes(path), AuditJson.Default.AuditResult)
                ?? throw new BadInputException(path, "the file holds no result.");
        }
        catch (JsonException exception)
        {
            throw new BadInputException(path, $"not a result that this version reads: {BadInputException.Escape(exception.Message, 300)}", "Run the audit again with this version.", exception);
        }

        return result with
        {
            Experiments = [.. result.Experiments.Select(experiment => experiment with
            {
                Models = [.. experiment.Models.Select(model => model with
                {
                    Probabilities = Scores.ScoreMatrixReader.ReadProbabilities(
                        ScoreFile(directory, model.Model, experiment.Key, ReadingOf(result, model.Model)), result.Probe.Images.Count, experiment.Labels.Count, ReadingOf(result, model.Model),
                        Scores.ScoreMatrixReader.LooseTolerance), // as what came from a table or float16 was checked
                })],
            })],
        };
    }

    /// <summary>The file of a model's probabilities.</summary>
    public static string ScoreFile(string directory, string model, string experiment, ScoreReading reading) =>
        Path.Combine(directory, "scores", $"{FileName(model)}.{FileName(experiment)}.{(reading == ScoreReading.Sigmoid ? "sigmoid" : "softmax")}.npy");

    /// <summary>How a model's scores became probabilities.</summary>
    public static ScoreReading ReadingOf(AuditResult result, string model) => result.Models.FirstOrDefault(entry => entry.Key == model)?.Reading ?? ScoreReading.Softmax;

    /// <summary>A key as part of a file name: letters, digits, dot, dash and underscore stay; where anything else was, a dot and a short hash keep different keys apart.</summary>
    internal static string FileName(string key)
    {
        string plain = string.Concat(key.Select(character => char.IsAsciiLetterOrDigit(character) || character is '.' or '-' or '_' ? character : '.')).TrimStart('.');
        bool isExact = plain == key.Replace('/', '.') && key.Count(character => character == '/') <= 1 && plain.Length is > 0 and <= 80;
        if (isExact)
            return plain;
        string hash = Convert.ToHexStringLower(SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(key)))[..8];
        return $"{(plain.Length > 80 ? plain[..80] : plain)}.{hash}";
    }
}
