using System.Globalization;
using System.Text;
using System.Text.Json;
using ClipEngine.Audit.Runs;
using ClipEngine.Cli.Parts;
using ClipEngine.Files;

namespace ClipEngine.Cli.Cluster;

/// <summary>The folder that a job is written into, <c>NAME.slurm</c> beside its spec: the scripts, the manifests, what each task says. The parts lie where the command puts them.</summary>
internal sealed class JobFolder
{
    private readonly string _specPath;
    private readonly JobSpec _spec;
    private readonly JobCommand _command;
    private readonly int _parts;

    /// <summary>Where the command runs: paths in it are read from there.</summary>
    private readonly string _workingFolder;

    private JobFolder(string specPath, JobSpec spec, int parts, string workingFolder)
    {
        _specPath = specPath;
        _spec = spec;
        _parts = parts;
        _workingFolder = workingFolder;
        Folder = FolderOf(specPath);
        _command = spec.ReadCommand(specPath, parts);
    }

    /// <summary>The folder.</summary>
    public string Folder { get; }

    /// <summary>The script of the array job.</summary>
    public string ArrayScript => Path.Combine(Folder, "array.sh");

    /// <summary>The script of the job that comes behind it; null where parts need no merging.</summary>
    public string? MergeScript => _command.RetrievalFolder is null ? Path.Combine(Folder, "merge.sh") : null;

    /// <summary>How many parts there are.</summary>
    public int PartCount => _parts;

    private string Logs => Path.Combine(Folder, "logs");

    private string RecordFile => Path.Combine(Folder, "job.json");

    /// <summary>A job that is about to be written.</summary>
    public static JobFolder Create(string specPath, int parts) => new(specPath, JobSpec.Read(specPath), parts, Environment.CurrentDirectory);

    /// <summary>A job that was written.</summary>
    /// <exception cref="BadInputException">It was not.</exception>
    public static JobFolder Open(string specPath)
    {
        string record = Path.Combine(FolderOf(specPath), "job.json");
        if (!FilePlace.IsFile(record))
            throw new BadInputException(specPath, $"there is no {record}: no job was written of this spec.", "Write it with 'clipengine slurm SPEC --array N'.");
        try
        {
            JobRecord known = JsonSerializer.Deserialize(TextFile.ReadDocument(record, "the record of a job"), JobJson.Default.JobRecord) ?? throw new BadInputException(record, "holds no record of a job.");
            return new JobFolder(specPath, JobSpec.Read(specPath), known.Parts, known.Folder);
        }
        catch (JsonException exception)
        {
            throw new BadInputException(record, $"is no record of a job: {BadInputException.Escape(exception.Message, 200)}", "Write the job again.", exception);
        }
    }

    /// <summary>The parts that are not there.</summary>
    public List<int> Missing() => [.. Enumerable.Range(1, _parts).Where(index => !FilePlace.IsFile(PartFile(new PartNumber(index, _parts))))];

    /// <summary>The file that says that a part is whole.</summary>
    public string PartFile(PartNumber number) => _command switch
    {
        { IsAudit: true } => AuditPart.FileOf(Output, number),
        { RetrievalFolder: { } folder } => new RetrievalPartition(Path.GetFullPath(folder, _workingFolder), number).Metadata,
        _ => number.FileBeside(Output, FeaturePart.Extension),
    };

    /// <summary>Images in a part: rows of its features, or of its table. Of an audit's parts, which hold images of several models, nothing is counted.</summary>
    public long? ImagesOf(PartNumber number)
    {
        if (_command.IsAudit)
            return null;
        string path = PartFile(number);
        if (_command.RetrievalFolder is null)
            return FeaturePart.Open(path).Images;
        using ParquetFile table = ParquetFile.Open(path);
        return table.RowCount;
    }

    /// <summary>Whether what all parts make together is there; null where they need no merging.</summary>
    public bool? IsMerged => _command.RetrievalFolder is not null ? null : FilePlace.IsFile(_command.IsAudit ? Path.Combine(Output, ResultDatabase.FileName) : Output);

    private string Output => Path.GetFullPath(_command.Output ?? throw new BadInputException(_specPath, "command has no --out."), _workingFolder);

    /// <summary>Writes the scripts and, where the spec asks for them, the manifests.</summary>
    /// <param name="missing">The parts that shall be made.</param>
    public void Write(IReadOnlyList<int> missing)
    {
        Directory.CreateDirectory(Logs);
        AtomicFile.WriteAllText(ArrayScript, ArrayText(missing));
        if (MergeScript is { } merge)
            AtomicFile.WriteAllText(merge, MergeText());
        if (_spec.Kubernetes is { } kubernetes)
        {
            AtomicFile.Write(Path.Combine(Folder, "array.k8s.json"), stream => KubernetesJob.WriteArray(stream, _spec, kubernetes, _parts, $"{KubernetesProgram} {Words(_spec.Command)} {PartNumber.OptionName} $((JOB_COMPLETION_INDEX + 1))/{Number(_parts)}"));
            if (MergeScript is not null)
                AtomicFile.Write(Path.Combine(Folder, "merge.k8s.json"), stream => KubernetesJob.WriteMerge(stream, _spec, kubernetes, $"{KubernetesProgram} {MergeWords}"));
        }

        AtomicFile.Write(RecordFile, stream => stream.Write(JsonSerializer.SerializeToUtf8Bytes(new JobRecord(_parts, _workingFolder), JobJson.Default.JobRecord)));
    }

    /// <summary>Numbers as Slurm writes them: <c>1-3,7</c>.</summary>
    public static string Ranges(IReadOnlyList<int> numbers)
    {
        var text = new StringBuilder();
        for (int i = 0; i < numbers.Count;)
        {
            int last = i;
            while (last + 1 < numbers.Count && numbers[last + 1] == numbers[last] + 1)
                last++;
            text.Append(text.Length > 0 ? "," : "").Append(Number(numbers[i])).Append(last > i ? "-" + Number(numbers[last]) : "");
            i = last + 1;
        }

        return text.ToString();
    }

    private static string FolderOf(string specPath) => Path.ChangeExtension(Path.GetFullPath(specPath), ".slurm");

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    /// <summary>Words as a shell reads them.</summary>
    private static string Words(IEnumerable<string> words) => string.Join(' ', words.Select(Quote));

    private static string Quote(string word) => word.Length > 0 && word.All(static letter => char.IsAsciiLetterOrDigit(letter) || "-_./=:,+@%".Contains(letter, StringComparison.Ordinal))
        ? word : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    /// <summary>How this program was started: by its own name, or by dotnet.</summary>
    private static string OwnProgram()
    {
        string process = Environment.ProcessPath ?? "clipengine";
        return Path.GetFileNameWithoutExtension(process) == "dotnet" ? $"{Quote(process)} {Quote(Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll"))}" : Quote(process);
    }

    private string Program => _spec.Program is { } named ? Quote(named) : OwnProgram();

    private string KubernetesProgram => _spec.Program is { } named ? Quote(named) : "clipengine";

    private string MergeWords => _command.IsAudit ? Words(["merge", _command.Output!]) : Words(["merge", Path.GetDirectoryName(_command.Output) is { Length: > 0 } folder ? folder : ".", "--out", _command.Output!]);

    private string ArrayText(IReadOnlyList<int> missing) => $$"""
        #!/bin/bash
        # Part I of {{Number(_parts)}} in each task. A part that is there is not made again, so a task may be run again at any time.
        {{Header(_spec.Name, Path.Combine(Logs, "part-%a.log"))}}
        #SBATCH --array={{Ranges(missing)}}
        #SBATCH --cpus-per-task={{Number(_spec.Resources.Cpus)}}{{(_spec.Resources.Gpus > 0 ? $"\n#SBATCH --gpus-per-task={Number(_spec.Resources.Gpus)}\n#SBATCH --ntasks=1" : "")}}
        set -eu
        cd {{Quote(_workingFolder)}}
        exec {{Program}} {{Words(_spec.Command)}}{{(_command.NamesThreads ? "" : $" --threads {Number(_spec.Resources.Cpus)}")}} {{PartNumber.OptionName}} "$SLURM_ARRAY_TASK_ID/{{Number(_parts)}}"

        """;

    private string MergeText() => $$"""
        #!/bin/bash
        # Puts the parts together; refuses as long as one is missing.
        {{Header(_spec.Name + "-merge", Path.Combine(Logs, "merge.log"))}}
        #SBATCH --cpus-per-task={{Number(_command.IsAudit ? _spec.Resources.Cpus : 1)}}
        set -eu
        cd {{Quote(_workingFolder)}}
        exec {{Program}} {{MergeWords}}

        """;

    private string Header(string name, string log)
    {
        JobResources resources = _spec.Resources;
        string?[] lines =
        [
            $"--job-name={name}", "--requeue", "--open-mode=append", $"--output=\"{log}\"",
            resources.Memory is { } memory ? $"--mem={memory}" : null, resources.Time is { } time ? $"--time={time}" : null,
            resources.Partition is { } partition ? $"--partition={partition}" : null, resources.Account is { } account ? $"--account={account}" : null,
            .. resources.Options,
        ];
        return string.Join('\n', lines.OfType<string>().Select(static line => "#SBATCH " + line));
    }
}
