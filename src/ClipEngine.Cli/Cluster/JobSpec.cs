using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;

namespace ClipEngine.Cli.Cluster;

/// <summary>A job for a cluster, as a user writes it in JSON: a verb that takes <c>--shard</c>, and what each of its tasks needs.</summary>
/// <remarks>Properties with a default have setters: the generated reader gives those without one no default.</remarks>
internal sealed partial record JobSpec
{
    /// <summary>What the job is called in queues.</summary>
    public string Name { get; set; } = "clipengine";

    /// <summary>The words behind <c>clipengine</c>, without <c>--shard</c>: <c>["embed", "image", ...]</c> or <c>["audit", "run", ...]</c>.</summary>
    public IReadOnlyList<string> Command { get; set; } = [];

    /// <summary>How a task starts the program; null for the program that writes the job.</summary>
    public string? Program { get; init; }

    /// <summary>What a task needs.</summary>
    public JobResources Resources { get; set; } = new();

    /// <summary>Where it shall run as an indexed Job besides; null for Slurm alone.</summary>
    public KubernetesOptions? Kubernetes { get; init; }

    /// <summary>Reads a spec.</summary>
    /// <exception cref="BadInputException">It is not valid JSON, has an unknown key, or a value that cannot be.</exception>
    public static JobSpec Read(string path)
    {
        JobSpec spec;
        try
        {
            spec = JsonSerializer.Deserialize(TextFile.ReadDocument(path, "a job in JSON"), JobJson.Default.JobSpec) ?? throw new BadInputException(path, "holds no job.", "docs/scale.md shows one: an object with a name, a command and resources.");
        }
        catch (JsonException exception)
        {
            throw new BadInputException(path, $"is no job: {BadInputException.Escape(exception.Message, 300)}", "docs/scale.md shows one.", exception);
        }

        Require(path, "name", spec.Name, JobName(), "small letters, digits and '-', at most 40, as laion-features");
        Require(path, "resources.memory", spec.Resources.Memory, Memory(), "a number with M, G or T, as 16G");
        Require(path, "resources.time", spec.Resources.Time, Time(), "minutes, H:MM:SS or D-HH:MM:SS");
        Require(path, "resources.partition", spec.Resources.Partition, Word(), "one word");
        Require(path, "resources.account", spec.Resources.Account, Word(), "one word");
        foreach (string option in spec.Resources.Options)
            Require(path, "resources.options", option, SlurmOption(), "options of sbatch, as --qos=low");
        if (spec.Resources.Cpus is < 1 or > 4096 || spec.Resources.Gpus is < 0 or > 64)
            throw new BadInputException(path, $"resources: {spec.Resources.Cpus} processors and {spec.Resources.Gpus} GPUs were asked for; a task takes 1 to 4096 and 0 to 64.");
        if (spec.Kubernetes is { } kubernetes)
        {
            if (string.IsNullOrWhiteSpace(kubernetes.Image))
                throw new BadInputException(path, "kubernetes.image is missing.", "Name the container image that has clipengine in it.");
            if (kubernetes.Parallelism is < 1)
                throw new BadInputException(path, $"kubernetes.parallelism is {kubernetes.Parallelism}; at least 1 was expected.");
            Require(path, "kubernetes.claim", kubernetes.Claim, JobName(), "the name of a persistent volume claim");
        }

        return spec;
    }

    /// <summary>Reads the command as the program would.</summary>
    /// <param name="path">The spec, for messages.</param>
    /// <param name="parts">How many parts there are.</param>
    /// <exception cref="BadInputException">It is no verb that takes parts, or would be refused.</exception>
    public JobCommand ReadCommand(string path, int parts)
    {
        if (Command is not (["embed", "image", ..] or ["audit", "run", ..]))
            throw new BadInputException(path, $"command begins with '{BadInputException.Escape(string.Join(' ', Command.Take(2)))}'; embed image and audit run can be divided.", "Write it as a list of words: [\"embed\", \"image\", ...].");
        if (Command.Any(static word => word == PartNumber.OptionName || word.StartsWith(PartNumber.OptionName + "=", StringComparison.Ordinal)))
            throw new BadInputException(path, $"command has {PartNumber.OptionName} in it, which each task gets by itself.", "Leave it out.");
        string[] words = [.. Command, PartNumber.OptionName, new PartNumber(1, parts).ToString()];
        Command definition = Cli.Program.Definition(words);
        ValueRules.Apply(definition);
        ParseResult parsed = definition.Parse(words);
        if (parsed.Errors.Count > 0)
            throw new BadInputException(path, $"command: {BadInputException.Escape(parsed.Errors[0].Message, 300)}");
        ValueRules.Check(parsed, words);
        string? Value(string option) => parsed.CommandResult.Command.Options.FirstOrDefault(known => known.Name == option) is { } known && parsed.GetResult(known) is { Implicit: false, Tokens: [var token, ..] } ? token.Value : null;
        return new JobCommand(Command[0] == "audit", Value("--out"), Value("--clip-retrieval"), Value("--threads") is not null);
    }

    private static void Require(string path, string key, string? value, Regex form, string expected)
    {
        if (value is not null && !form.IsMatch(value))
            throw new BadInputException(path, $"{key}: expected {expected}, found '{BadInputException.Escape(value, 60)}'.");
    }

    [GeneratedRegex(@"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex JobName();

    [GeneratedRegex(@"^[1-9][0-9]{0,6}[MGT]\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Memory();

    [GeneratedRegex(@"^([0-9]+-)?[0-9]+(:[0-9]{2}){0,2}\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Time();

    [GeneratedRegex(@"^[A-Za-z0-9_.,:-]+\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Word();

    [GeneratedRegex(@"^--[a-z-]+(=[A-Za-z0-9_.,:/\[\]@+-]+)?\z", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex SlurmOption();
}

/// <summary>What of a job's command decides where its parts lie.</summary>
/// <param name="IsAudit">Whether it is <c>audit run</c>.</param>
/// <param name="Output">Its <c>--out</c>.</param>
/// <param name="RetrievalFolder">Its <c>--clip-retrieval</c>.</param>
/// <param name="NamesThreads">Whether it says how many threads a task has.</param>
internal sealed record JobCommand(bool IsAudit, string? Output, string? RetrievalFolder, bool NamesThreads);

/// <summary>What a task needs.</summary>
internal sealed record JobResources
{
    /// <summary>Processors.</summary>
    public int Cpus { get; set; } = 1;

    /// <summary>GPUs.</summary>
    public int Gpus { get; init; }

    /// <summary>Memory, as <c>16G</c>.</summary>
    public string? Memory { get; init; }

    /// <summary>The longest time, as Slurm writes it.</summary>
    public string? Time { get; init; }

    /// <summary>The partition of the cluster.</summary>
    public string? Partition { get; init; }

    /// <summary>Who pays.</summary>
    public string? Account { get; init; }

    /// <summary>Other options of <c>sbatch</c>.</summary>
    public IReadOnlyList<string> Options { get; set; } = [];
}

/// <summary>Where a job runs on Kubernetes.</summary>
internal sealed record KubernetesOptions
{
    /// <summary>The container image.</summary>
    public string Image { get; set; } = "";

    /// <summary>The persistent volume claim that inputs and outputs lie on; null for none.</summary>
    public string? Claim { get; init; }

    /// <summary>Where it is mounted, and where tasks run.</summary>
    public string Mount { get; set; } = "/data";

    /// <summary>Tasks at once; null for all.</summary>
    public int? Parallelism { get; init; }
}

/// <summary>What is known of a job that was written.</summary>
/// <param name="Parts">How many parts it has.</param>
/// <param name="Folder">Where its command runs.</param>
internal sealed record JobRecord(int Parts, string Folder);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, RespectNullableAnnotations = true, WriteIndented = true, NewLine = "\n")]
[JsonSerializable(typeof(JobSpec))]
[JsonSerializable(typeof(JobRecord))]
internal sealed partial class JobJson : JsonSerializerContext;
