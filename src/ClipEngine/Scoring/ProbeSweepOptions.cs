using System.Collections.Immutable;

namespace ClipEngine.Scoring;

/// <summary>How scores become probabilities.</summary>
public enum SweepActivation
{
    /// <summary>exp(score) over its sum within the segment: CLIP.</summary>
    Softmax,

    /// <summary>1 / (1 + exp(-score)), each column by itself: SigLIP.</summary>
    Sigmoid,
}

/// <summary>
/// What scores are multiplied in. Fewer bits give the same best columns, argmax counts and ties as fp32, bit for bit, and
/// probabilities within a bound that is reported.
/// </summary>
public enum SweepPrecision
{
    /// <summary>fp32.</summary>
    Float32,

    /// <summary>Features rounded to bf16, sums in fp32; up to twice as fast. For features that are stored as bf16 it loses nothing.</summary>
    BFloat16,

    /// <summary>Features as 16-bit integers with one factor a row, exact sums; as fast as bf16 and about ten times as close for other features.</summary>
    Int16,

    /// <summary>Features as 8-bit integers with one factor a row, exact sums; up to four times as fast.</summary>
    Int8,
}

/// <summary>What a <see cref="ProbeSweep"/> computes. Only what is asked for costs memory.</summary>
public sealed record ProbeSweepOptions
{
    /// <summary>What a dot product is multiplied with: exp(logit_scale), 100 for the published CLIP models.</summary>
    public double Scale { get; init; } = 100;

    /// <summary>Added to the scaled product: SigLIP's logit_bias; 0 for CLIP.</summary>
    public double Bias { get; init; }

    /// <summary>How scores become probabilities.</summary>
    public SweepActivation Activation { get; init; }

    /// <summary>Columns of each segment, in order; each at least 1, together the number of prompts. <c>default</c>: one segment. A segment is one label set under one template.</summary>
    public ImmutableArray<int> SegmentLengths { get; init; }

    /// <summary>
    /// What scores are multiplied in on the processor; <see cref="ProbeSweep.Precision"/> says what is used. GPUs take Float32 only:
    /// there 16-bit rows use tensor cores as they are.
    /// </summary>
    public SweepPrecision Precision { get; init; }

    /// <summary>Every probability, row by row.</summary>
    public bool Probabilities { get; init; }

    /// <summary>The best columns of each row and segment, this many; 0 for none. At most the shortest segment's length.</summary>
    public int TopCount { get; init; }

    /// <summary>The entropy of each row and segment, in nats; softmax only.</summary>
    public bool Entropy { get; init; }

    /// <summary>The best minus the second-best probability of each row and segment.</summary>
    public bool Margin { get; init; }

    /// <summary>Groups that argmax counts and sums of probability are kept for; 0 for none.</summary>
    public int GroupCount { get; init; }

    /// <summary>Weighted sums of probability, for example of bootstrap replicates; 0 for none.</summary>
    public int ReplicateCount { get; init; }
}

/// <summary>Fills the weights of a run of rows.</summary>
/// <param name="firstRow">The first image's row.</param>
/// <param name="rowCount">How many rows.</param>
/// <param name="destination"><c>[replicates, rowCount]</c>, row-major; finite, of any sign.</param>
public delegate void SweepWeightReader(long firstRow, int rowCount, Span<float> destination);

/// <summary>Takes the outputs of a run of rows. Called in ascending order of rows, never twice at a time.</summary>
/// <param name="rows">Valid until the call returns.</param>
public delegate void SweepRowHandler(in SweepRows rows);

/// <summary>The outputs of a run of rows; those that the options do not ask for are empty. Row-major.</summary>
public readonly ref struct SweepRows
{
    /// <summary>The first image's row.</summary>
    public long FirstRow { get; init; }

    /// <summary>How many rows.</summary>
    public int RowCount { get; init; }

    /// <summary><c>[rows, prompts]</c>.</summary>
    public ReadOnlySpan<float> Probabilities { get; init; }

    /// <summary><c>[rows, segments, top]</c>: columns, the best first; of equal scores the lowest column.</summary>
    public ReadOnlySpan<int> TopColumns { get; init; }

    /// <summary><c>[rows, segments, top]</c>: their probabilities.</summary>
    public ReadOnlySpan<float> TopProbabilities { get; init; }

    /// <summary><c>[rows, segments]</c>, in nats.</summary>
    public ReadOnlySpan<float> Entropy { get; init; }

    /// <summary><c>[rows, segments]</c>: best minus second-best probability; the best one's where a segment has one column.</summary>
    public ReadOnlySpan<float> Margin { get; init; }

    /// <summary><c>[rows]</c>: no probability and no margin of the row is further from fp32's than this; empty in fp32.</summary>
    public ReadOnlySpan<float> Bounds { get; init; }
}

/// <summary>What is scored in one run.</summary>
public sealed class ProbeSweepInput
{
    /// <summary>The images' features <c>[rows, width]</c>, as wide as the prompts'.</summary>
    public required FeatureSource Images { get; init; }

    /// <summary>The first row of this run: a multiple of <see cref="ProbeSweep.ChunkRows"/>.</summary>
    public long FirstRow { get; init; }

    /// <summary>Rows of this run; null for all that follow. A multiple of <see cref="ProbeSweep.ChunkRows"/> unless the run reaches the last row.</summary>
    public long? RowCount { get; init; }

    /// <summary>The group of every image <c>[rows of Images]</c>, -1 for none; empty: all in group 0.</summary>
    public ReadOnlyMemory<int> Groups { get; init; }

    /// <summary>The weights; needed where <see cref="ProbeSweepOptions.ReplicateCount"/> is not 0.</summary>
    public SweepWeightReader? Weights { get; init; }

    /// <summary>Takes the row outputs; needed where the options ask for any.</summary>
    public SweepRowHandler? Rows { get; init; }

    /// <summary>Told the number of rows that are done, several times a second at most.</summary>
    public IProgress<long>? Progress { get; init; }
}
