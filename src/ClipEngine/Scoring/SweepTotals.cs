using System.Runtime.InteropServices;
using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Scoring;

/// <summary>
/// What a <see cref="ProbeSweep"/> adds up over images: for each group and prompt how often the prompt was its segment's best and
/// the sum of its probability, and weighted sums of probability for each replicate.
/// </summary>
/// <remarks>
/// Sums are kept exactly, in units of 2^-80: merging is associative and commutative to the last bit, so that shards may be merged
/// in any order and give the bytes of an unsharded run. Not thread-safe.
/// </remarks>
public sealed class SweepTotals
{
    private const string Format = "clipengine.sweep-totals.1";

    private readonly long[] _groupRows;
    private readonly long[] _argmaxCounts;
    private readonly Int128[] _sums;
    private readonly Int128[] _weightedSums;
    private readonly Int128[] _sumBounds;
    private readonly Int128[] _weightedBounds;

    /// <summary>Totals of no rows.</summary>
    /// <param name="groupCount">Groups; 0 or more.</param>
    /// <param name="promptCount">Columns.</param>
    /// <param name="replicateCount">Weighted sums; 0 or more.</param>
    public SweepTotals(int groupCount, int promptCount, int replicateCount = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(groupCount);
        ArgumentOutOfRangeException.ThrowIfLessThan(promptCount, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(replicateCount);
        GroupCount = groupCount;
        PromptCount = promptCount;
        ReplicateCount = replicateCount;
        _groupRows = new long[groupCount];
        _argmaxCounts = new long[checked((long)groupCount * promptCount)];
        _sums = new Int128[checked((long)groupCount * promptCount)];
        _weightedSums = new Int128[checked((long)replicateCount * promptCount)];
        _sumBounds = new Int128[groupCount];
        _weightedBounds = new Int128[replicateCount];
    }

    /// <summary>Groups.</summary>
    public int GroupCount { get; }

    /// <summary>Columns.</summary>
    public int PromptCount { get; }

    /// <summary>Weighted sums.</summary>
    public int ReplicateCount { get; }

    /// <summary>Images that were scored, those outside every group included.</summary>
    public long RowCount { get; private set; }

    /// <summary>Scores that fewer bits left open, so that they were multiplied again in fp32; 0 for a sweep in fp32.</summary>
    public long OpenScores { get; private set; }

    /// <summary>No probability and no margin of any image is further from that of a sweep in fp32 than this; 0 for one in fp32.</summary>
    public float ProbabilityBound { get; private set; }

    /// <summary>The same for entropies, in nats; 0 where none were asked for.</summary>
    public float EntropyBound { get; private set; }

    internal long[] GroupRowsArray => _groupRows;

    internal long[] ArgmaxCountsArray => _argmaxCounts;

    internal Int128[] SumsArray => _sums;

    internal Int128[] WeightedSumsArray => _weightedSums;

    internal Int128[] SumBoundsArray => _sumBounds;

    internal Int128[] WeightedBoundsArray => _weightedBounds;

    /// <summary>Images of a group.</summary>
    public long GroupRows(int group) => _groupRows[group];

    /// <summary>Images of a group for which this prompt was the best of its segment; of equal scores the lowest column is.</summary>
    public long ArgmaxCount(int group, int prompt) => _argmaxCounts[Cell(group, prompt, GroupCount)];

    /// <summary>The sum of a prompt's probability over a group's images.</summary>
    public double ProbabilitySum(int group, int prompt) => ToDouble(_sums[Cell(group, prompt, GroupCount)]);

    /// <summary>The mean of a prompt's probability over a group's images; NaN for a group without images.</summary>
    public double MeanProbability(int group, int prompt) => ProbabilitySum(group, prompt) / _groupRows[group];

    /// <summary>The sum of weight times probability over all images.</summary>
    public double WeightedSum(int replicate, int prompt) => ToDouble(_weightedSums[Cell(replicate, prompt, ReplicateCount)]);

    /// <summary>How far each of a group's probability sums may lie from that of a sweep in fp32; 0 for one in fp32.</summary>
    public double ProbabilitySumBound(int group) => ToDouble(_sumBounds[group]);

    /// <summary>The same for the means of a group; NaN for a group without images.</summary>
    public double MeanProbabilityBound(int group) => ProbabilitySumBound(group) / _groupRows[group];

    /// <summary>The same for the weighted sums of a replicate.</summary>
    public double WeightedSumBound(int replicate) => ToDouble(_weightedBounds[replicate]);

    /// <summary>Adds the totals of other images.</summary>
    /// <param name="other">As many groups, prompts and replicates; from the same prompts and options, which is for the caller to know.</param>
    /// <exception cref="ArgumentException">Another shape.</exception>
    /// <exception cref="OverflowException">A sum leaves its range of 2^47.</exception>
    public void Merge(SweepTotals other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (other.GroupCount != GroupCount || other.PromptCount != PromptCount || other.ReplicateCount != ReplicateCount)
            throw new ArgumentException("The totals' numbers of groups, prompts and replicates differ.", nameof(other));
        checked
        {
            RowCount += other.RowCount;
            for (int i = 0; i < _groupRows.Length; i++)
                _groupRows[i] += other._groupRows[i];
            for (long i = 0; i < _argmaxCounts.LongLength; i++)
                _argmaxCounts[i] += other._argmaxCounts[i];
            for (long i = 0; i < _sums.LongLength; i++)
                _sums[i] += other._sums[i];
            for (long i = 0; i < _weightedSums.LongLength; i++)
                _weightedSums[i] += other._weightedSums[i];
            for (int i = 0; i < _sumBounds.Length; i++)
                _sumBounds[i] += other._sumBounds[i];
            for (int i = 0; i < _weightedBounds.Length; i++)
                _weightedBounds[i] += other._weightedBounds[i];
        }

        AddBounds(other.OpenScores, other.ProbabilityBound, other.EntropyBound);
    }

    /// <summary>
    /// Saves the totals as safetensors, all I64: <c>rows []</c>, <c>group_rows [groups]</c>, <c>argmax_counts [groups, prompts]</c>,
    /// <c>probability_sums [groups, prompts, 2]</c> and <c>weighted_sums [replicates, prompts, 2]</c>. The pairs are the low and
    /// high half of a signed 128-bit integer that counts units of 2^-80. Equal totals give equal bytes. Totals of fewer bits than fp32
    /// also hold <c>open_scores []</c>, <c>sum_bounds [groups, 2]</c>, <c>weighted_bounds [replicates, 2]</c>, and as F32
    /// <c>bounds [2]</c>: of probabilities and of entropies.
    /// </summary>
    /// <param name="path">The final name.</param>
    /// <exception cref="IOException">The file cannot be written; nothing is left under the final name.</exception>
    public void Save(string path)
    {
        var writer = new SafetensorsWriter(new Dictionary<string, string> { ["format"] = Format });
        writer.Add("rows", ElementType.Int64, [], MemoryMarshal.AsBytes<long>([RowCount]).ToArray());
        writer.Add("group_rows", ElementType.Int64, [GroupCount], MemoryMarshal.AsBytes<long>(_groupRows).ToArray());
        writer.Add("argmax_counts", ElementType.Int64, [GroupCount, PromptCount], MemoryMarshal.AsBytes<long>(_argmaxCounts).ToArray());
        writer.Add("probability_sums", ElementType.Int64, [GroupCount, PromptCount, 2], MemoryMarshal.AsBytes<Int128>(_sums).ToArray());
        writer.Add("weighted_sums", ElementType.Int64, [ReplicateCount, PromptCount, 2], MemoryMarshal.AsBytes<Int128>(_weightedSums).ToArray());
        if (OpenScores > 0 || ProbabilityBound > 0)
        {
            writer.Add("open_scores", ElementType.Int64, [], MemoryMarshal.AsBytes<long>([OpenScores]).ToArray());
            writer.Add("sum_bounds", ElementType.Int64, [GroupCount, 2], MemoryMarshal.AsBytes<Int128>(_sumBounds).ToArray());
            writer.Add("weighted_bounds", ElementType.Int64, [ReplicateCount, 2], MemoryMarshal.AsBytes<Int128>(_weightedBounds).ToArray());
            writer.Add("bounds", ElementType.Float32, [2], MemoryMarshal.AsBytes<float>([ProbabilityBound, EntropyBound]).ToArray());
        }

        writer.Write(path);
    }

    /// <summary>Loads what <see cref="Save"/> wrote.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="BadInputException">Missing, malformed, or no totals.</exception>
    public static SweepTotals Load(string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (!file.Metadata.TryGetValue("format", out string? format) || format != Format)
            throw new BadInputException(path, $"holds no totals of a sweep: expected the format '{Format}', found '{BadInputException.Escape(format ?? "none", 60)}'.");
        StoredTensor counts = file.Tensors.GetValueOrDefault("argmax_counts");
        StoredTensor weighted = file.Tensors.GetValueOrDefault("weighted_sums");
        if (counts.Name is null || weighted.Name is null || counts.Dimensions.Length != 2 || weighted.Dimensions.Length != 3 || counts.Dimensions[1] < 1)
            throw new BadInputException(path, "the totals are incomplete.");
        var totals = new SweepTotals(checked((int)counts.Dimensions[0]), checked((int)counts.Dimensions[1]), checked((int)weighted.Dimensions[0]));
        long[] rows = new long[1];
        Fill(file, "rows", MemoryMarshal.AsBytes(rows.AsSpan()));
        Fill(file, "group_rows", MemoryMarshal.AsBytes(totals._groupRows.AsSpan()));
        Fill(file, "argmax_counts", MemoryMarshal.AsBytes(totals._argmaxCounts.AsSpan()));
        Fill(file, "probability_sums", MemoryMarshal.AsBytes(totals._sums.AsSpan()));
        Fill(file, "weighted_sums", MemoryMarshal.AsBytes(totals._weightedSums.AsSpan()));
        totals.RowCount = rows[0];
        if (file.Tensors.ContainsKey("bounds"))
        {
            long[] open = new long[1];
            float[] bounds = new float[2];
            Fill(file, "open_scores", MemoryMarshal.AsBytes(open.AsSpan()));
            Fill(file, "sum_bounds", MemoryMarshal.AsBytes(totals._sumBounds.AsSpan()));
            Fill(file, "weighted_bounds", MemoryMarshal.AsBytes(totals._weightedBounds.AsSpan()));
            Fill(file, "bounds", MemoryMarshal.AsBytes(bounds.AsSpan()), ElementType.Float32);
            totals.AddBounds(open[0], bounds[0], bounds[1]);
        }

        return totals;
    }

    internal void AddRows(long rows) => RowCount += rows;

    internal void AddBounds(long openScores, float probabilityBound, float entropyBound)
    {
        OpenScores += openScores;
        ProbabilityBound = Math.Max(ProbabilityBound, probabilityBound);
        EntropyBound = Math.Max(EntropyBound, entropyBound);
    }

    private static void Fill(SafetensorsFile file, string name, Span<byte> destination, ElementType type = ElementType.Int64)
    {
        StoredTensor tensor = file.Tensors.GetValueOrDefault(name);
        if (tensor.Name is null || tensor.Type != type || tensor.ByteLength != destination.Length)
            throw new BadInputException(file.Path, $"the totals' {name} are missing or of another shape.");
        using TensorBytes bytes = file.Borrow(name);
        bytes.Slice(0, destination.Length).CopyTo(destination);
    }

    private static double ToDouble(Int128 units) => Math.ScaleB((double)units, -80);

    private long Cell(int row, int prompt, int rows)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(row);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(row, rows);
        ArgumentOutOfRangeException.ThrowIfNegative(prompt);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(prompt, PromptCount);
        return ((long)row * PromptCount) + prompt;
    }
}
