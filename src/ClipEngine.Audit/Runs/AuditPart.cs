using System.Text.Json;
using System.Text.Json.Serialization;
using ClipEngine.Files;

namespace ClipEngine.Audit.Runs;

/// <summary>The record of a part of a run: what it belongs to, and the chunks that it made.</summary>
/// <param name="Part"><c>2/3</c>.</param>
/// <param name="Spec">The spec's path.</param>
/// <param name="SpecSha256">Its content.</param>
/// <param name="Version">The software's version.</param>
/// <param name="Images">The hash of all images of the probe.</param>
/// <param name="Device">What the user named as device.</param>
/// <param name="Files">The chunks below the run's folder, with their SHA-256.</param>
/// <param name="Failures">Models that failed, with the reasons.</param>
internal sealed record AuditPart(string Part, string Spec, string SpecSha256, string Version, string Images, string Device, SortedDictionary<string, string> Files, SortedDictionary<string, string> Failures)
{
    /// <summary>Where records lie, below the run's folder.</summary>
    public const string Folder = "parts";

    private const string Extension = ".json";

    /// <summary>A part's record.</summary>
    public static string FileOf(string directory, PartNumber number) => number.FileIn(Path.Combine(directory, Folder), Extension);

    /// <summary>Whether a folder holds records of parts.</summary>
    public static bool AreIn(string directory) => RecordsIn(directory).Any();

    /// <summary>Whether a part is there, made of the same things, whole, and without a model that failed.</summary>
    public static bool IsThere(string directory, string path, AuditPart wanted)
    {
        if (!FilePlace.IsFile(path))
            return false;
        try
        {
            AuditPart found = Read(path);
            return found.DifferenceTo(wanted) is null && found.Part == wanted.Part && found.Failures.Count == 0 && found.Files.Count > 0
                && found.Files.All(file => FilePlace.IsFile(Path.Combine(directory, file.Key)) && InputFiles.Describe("chunk", Path.Combine(directory, file.Key)).Sha256 == file.Value);
        }
        catch (BadInputException)
        {
            return false;
        }
    }

    /// <summary>All parts of a run, in order.</summary>
    /// <exception cref="BadInputException">One is missing, damaged or of another run; names it.</exception>
    public static AuditPart[] ReadAll(string directory)
    {
        var parts = new SortedDictionary<int, AuditPart>();
        AuditPart? first = null;
        string firstFile = "";
        int count = 0;
        foreach (string file in RecordsIn(directory))
        {
            AuditPart part = Read(file);
            var number = PartNumber.Parse(part.Part);
            if (first is null)
                (first, firstFile, count) = (part, file, number.Count);
            string? difference = number != PartNumber.OfFile(file) ? $"it says that it is part {part.Part}" : number.Count != count ? $"it is one of {number.Count} parts here, of {count} there" : part.DifferenceTo(first);
            if (difference is not null)
                throw new BadInputException(file, $"part {number} is of another run than {BadInputException.Escape(firstFile, 300)}: {difference}.", "Make this part again, or remove what is left of the other run.");
            // Those of a finished stage are gone; a chunk that is there must be the one that was made.
            foreach ((string chunk, string hash) in part.Files)
            {
                string path = Path.Combine(directory, chunk);
                if (FilePlace.IsFile(path) && InputFiles.Describe("chunk", path).Sha256 != hash)
                    throw new BadInputException(path, $"the chunk of part {number} is not the one that was made; it is damaged.", "Remove it, make this part again, then merge again.");
            }

            parts.Add(number.Index, part);
        }

        if (first is null)
            throw new BadInputException(directory, $"the folder holds no parts of an audit ({Folder}/part-00001-of-00010.json).", "Name the folder that was given to 'audit run --shard' as --out.");
        int[] missing = [.. Enumerable.Range(1, count).Where(index => !parts.ContainsKey(index))];
        if (missing.Length > 0)
        {
            throw new BadInputException(directory, $"{missing.Length} of {count} parts are missing: {string.Join(", ", missing.Take(10).Select(index => new PartNumber(index, count)))}{(missing.Length > 10 ? " ..." : "")}.",
                "Make them with the same command and their --shard, then merge again.");
        }

        return [.. parts.Values];
    }

    /// <summary>Writes the record.</summary>
    public void Write(string path) => AtomicFile.Write(path, stream => stream.Write(JsonSerializer.SerializeToUtf8Bytes(this, AuditPartJson.Default.AuditPart)));

    /// <summary>In what two parts differ that one run's agree in; null where in nothing.</summary>
    private string? DifferenceTo(AuditPart other)
    {
        (string Name, string Here, string There)[] facts = [("the spec", SpecSha256, other.SpecSha256), ("the version", Version, other.Version), ("the images", Images, other.Images), ("the device", Device, other.Device)];
        foreach ((string name, string here, string there) in facts)
        {
            if (here != there)
                return $"{name}: {BadInputException.Escape(here, 80)} here, {BadInputException.Escape(there, 80)} there";
        }

        return null;
    }

    private static IEnumerable<string> RecordsIn(string directory)
    {
        string folder = Path.Combine(directory, Folder);
        return FilePlace.IsFolder(folder) ? Directory.EnumerateFiles(folder, "part-*" + Extension).Where(static file => PartNumber.OfFile(file) is not null).Order(StringComparer.Ordinal) : [];
    }

    private static AuditPart Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize(TextFile.ReadDocument(path, "the record of a part"), AuditPartJson.Default.AuditPart) ?? throw new BadInputException(path, "is no record of a part.");
        }
        catch (JsonException exception)
        {
            throw new BadInputException(path, $"is no record of a part: {BadInputException.Escape(exception.Message, 200)}", "Remove it and make this part again.", exception);
        }
    }
}

/// <summary>A part lacks what the whole needs: not the model's fault, however it is found.</summary>
internal sealed class PartException(string source, string problem, string remedy) : BadInputException(source, problem, remedy);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, NewLine = "\n", RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(AuditPart))]
internal sealed partial class AuditPartJson : JsonSerializerContext;
