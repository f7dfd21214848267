using ClipEngine.Audit.Metrics;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;
using ClipEngine.Files;

namespace ClipEngine.Audit.Runs;

/// <content>
/// Runs that are divided into parts. What costs is images through towers: the chunks of all models' images, one behind the other, are what is
/// divided. A part leaves its chunks where a run that was interrupted leaves them, and a record of them in <c>parts</c>; merging is the run itself,
/// which finds all chunks and computes the rest, so that its bytes are those of a run without parts.
/// </content>
public sealed partial class AuditRun
{
    /// <summary>Makes one part.</summary>
    /// <param name="number">Which.</param>
    /// <param name="device">What the user named as device, for the merge.</param>
    /// <param name="cancellationToken">Stops between chunks; what is done is kept.</param>
    /// <returns>Models that failed, with the reasons; null where the part was there already.</returns>
    /// <exception cref="BadInputException">As of <see cref="Execute(CancellationToken)"/>; or there is nothing to divide.</exception>
    internal IReadOnlyDictionary<string, string>? ExecutePart(PartNumber number, string device, CancellationToken cancellationToken)
    {
        using var culture = InvariantCulture.Begin();
        ResultDirectory.RefuseForeign(_directory);
        ResultDirectory.RefuseInputs(_directory, NamedInputs());
        ModelSpec[] checkpoints = Checkpoints();
        if (checkpoints.Length == 0)
            throw new BadInputException(PartNumber.OptionName, "no model of the spec is a checkpoint, so that there is nothing to divide.", "Run it without parts.");
        StageLedger ledger = StageLedger.Open(_directory);
        (Probe _, LabelExperiment[] experiments, IReadOnlyList<Wording> wordings, MeasureInputs measures) = ReadProbe();
        var scorer = new ModelScorer(_spec, _directory, Resolve, _source, ledger, measures, experiments, wordings, _progress);
        string hash = scorer.HashImages();
        int chunks = scorer.Chunks;
        long items = (long)chunks * checkpoints.Length;
        if (items < number.Count)
            throw new BadInputException(PartNumber.OptionName, $"{checkpoints.Length} models with {chunks} chunks of {ChunkImages} images each cannot be divided into {number.Count} parts.", $"Ask for at most {items} parts.");
        var record = new AuditPart(number.ToString(), Path.GetFullPath(_specFile), InputFiles.Describe("spec", _specFile).Sha256, AuditAssembly.Version, hash, device, [], []);
        string path = AuditPart.FileOf(_directory, number);
        if (AuditPart.IsThere(_directory, path, record))
            return null;

        (long first, long end) = number.Slice(items);
        for (int model = (int)(first / chunks); model < checkpoints.Length && (long)model * chunks < end; model++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            long start = (long)model * chunks;
            try
            {
                foreach (string chunk in scorer.MakeChunks(checkpoints[model], (int)(Math.Max(first, start) - start), (int)(Math.Min(end, start + chunks) - start), cancellationToken))
                    record.Files.Add(chunk, InputFiles.Describe("chunk", Path.Combine(_directory, chunk)).Sha256);
            }
            catch (Exception exception) when (IsOfModel(exception))
            {
                _progress($"{checkpoints[model].Key}: failed: {exception.Message}");
                record.Failures.Add(checkpoints[model].Key, exception.Message);
            }
        }

        record.Write(path);
        return record.Failures;
    }

    /// <summary>Puts the parts of a run together: the run itself, whose chunks must all be there.</summary>
    /// <param name="cancellationToken">Stops between stages.</param>
    /// <exception cref="BadInputException">A part is missing, damaged or of another run; names it.</exception>
    internal AuditResult ExecuteMerge(CancellationToken cancellationToken)
    {
        AuditPart[] parts = AuditPart.ReadAll(_directory);
        AuditPart first = parts[0];
        string spec = InputFiles.Describe("spec", _specFile).Sha256;
        if (spec != first.SpecSha256)
            throw new BadInputException(_specFile, $"the parts in {BadInputException.Escape(_directory, 300)} were made of another state of this spec.", "Make them again.");
        ModelSpec[] checkpoints = Checkpoints();
        return Execute((model, place) =>
        {
            long item = ((long)Array.FindIndex(checkpoints, other => other.Key == model.Key) * place.Chunks) + place.Chunk;
            var number = PartNumber.Of(item, (long)place.Chunks * checkpoints.Length, parts.Length);
            throw new PartException(AuditPart.FileOf(_directory, number), $"part {number} lacks {model.Key} from image {place.First}{(place.Set.Name.Length == 0 ? "" : $" of {place.Set.Name}")} on, as it is now: it was made of other weights or images, on another device or by another version, or the model failed in it.",
                "Make this part again, then merge again.");
        }, cancellationToken);
    }

    private ModelSpec[] Checkpoints() => [.. _spec.Models.Where(static model => model.Model is not null)];
}
