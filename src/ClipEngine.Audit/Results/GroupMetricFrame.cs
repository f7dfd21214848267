namespace ClipEngine.Audit.Results;

/// <summary>What a metric is measured in. Tables and records hold unrounded values in these units; percent is made only for the eye.</summary>
public enum MetricUnit
{
    /// <summary>A share or a probability in [0, 1].</summary>
    Proportion,

    /// <summary>Natural units of information.</summary>
    Nats,

    /// <summary>Cosine similarity in [-1, 1].</summary>
    Cosine,
}

/// <summary>What was measured.</summary>
public enum Metric
{
    /// <summary>Share of images whose highest probability is this label's.</summary>
    ArgmaxFrequency,

    /// <summary>Mean probability of the label under the softmax over the experiment's labels.</summary>
    MeanProbability,

    /// <summary>Share of images whose highest probability is that of any label of a merged set.</summary>
    MergedArgmaxFrequency,

    /// <summary>Mean of the summed probability of a merged set's labels.</summary>
    MergedMeanProbability,

    /// <summary>Share of images that were given a label of another group (or of another value of one attribute).</summary>
    MisclassificationRate,

    /// <summary>Mean entropy of the softmax over the experiment's labels.</summary>
    Entropy,

    /// <summary>Mean difference of the highest and the second-highest cosine.</summary>
    TopTwoMargin,

    /// <summary>Share of images whose label a stated numeric error could change.</summary>
    FlippableShare,

    /// <summary>Share of images for which the first of two words is preferred; equal scores count one half.</summary>
    PairPreference,
}

/// <summary>A confidence interval.</summary>
/// <param name="Lower">Its lower end, in the metric's unit.</param>
/// <param name="Upper">Its upper end.</param>
/// <param name="Level">The nominal coverage, for example 0.95.</param>
/// <param name="Method">How it was made: <c>Wilson</c>, <c>Newcombe</c>, <c>bootstrap percentile</c>, <c>bootstrap BCa</c>, each with <c>, over persons</c> where persons are drawn.</param>
public sealed record Interval(double Lower, double Upper, double Level, string Method);

/// <summary>A metric over some images.</summary>
/// <param name="Count">How many images it was taken over.</param>
/// <param name="Value">The value, or null where it is undefined: over no images nothing is zero.</param>
/// <param name="Interval">Null where the estimate is, or where no interval can be had (a bootstrap over one person).</param>
public sealed record Estimate(int Count, double? Value, Interval? Interval)
{
    /// <summary>Nothing was there to measure.</summary>
    public static Estimate Undefined { get; } = new(0, null, null);
}

/// <summary>A metric over the images of one group.</summary>
/// <param name="Group">The group's value of the grouping attribute, as the metadata writes it.</param>
/// <param name="Estimate">The metric with its n and its interval.</param>
public sealed record GroupEstimate(string Group, Estimate Estimate);

/// <summary>The signed difference of two groups: the first minus the second.</summary>
/// <param name="First">The group that is subtracted from.</param>
/// <param name="Second">The group that is subtracted.</param>
/// <param name="Difference">Null where either side is undefined. <see cref="Estimate.Count"/> is the sum of the two groups' images.</param>
public sealed record GroupGap(string First, string Second, Estimate Difference);

/// <summary>
/// One metric by group: the only shape in which this library hands out group metrics. Every group carries its n and its
/// interval; gaps are signed and pairwise, because a largest-minus-smallest gap cannot be negative and its interval cannot straddle zero.
/// </summary>
public sealed record GroupMetricFrame
{
    /// <summary>What was measured.</summary>
    public required Metric Metric { get; init; }

    /// <summary>The unit of every number in here.</summary>
    public required MetricUnit Unit { get; init; }

    /// <summary>What it was measured of: a label, a merged set's name, an attribute; empty where the metric concerns the whole row.</summary>
    public required string Subject { get; init; }

    /// <summary>The groups in the probe's order; empty ones are there too, with n = 0 and no value.</summary>
    public required IReadOnlyList<GroupEstimate> Groups { get; init; }

    /// <summary>Over all images together.</summary>
    public required Estimate Overall { get; init; }

    /// <summary>The average over the groups that have images, each group counting the same. Null where there is one group, and in results of earlier versions.</summary>
    public Estimate? Average { get; init; }

    /// <summary>
    /// All pairs of groups (i before j in <see cref="Groups"/>), the first minus the second; with more than <see cref="MostGroupsInPairs"/> groups each group
    /// minus <see cref="ProbeSummary.ReferenceGroup"/>, or minus the largest group of a single attribute. Empty in leave-one-label-out frames.
    /// </summary>
    public required IReadOnlyList<GroupGap> Gaps { get; init; }

    /// <summary>With more than <see cref="MostGroupsInPairs"/> groups each group minus <see cref="Overall"/>, of which its images are a part; for shares and probabilities. Else empty.</summary>
    public IReadOnlyList<GroupGap> OverallGaps { get; set; } = [];

    /// <summary>So many groups are compared in all pairs (120). Pairs of more would cost their square, and nobody reads them.</summary>
    public const int MostGroupsInPairs = 16;

    /// <summary>Stands for all images together.</summary>
    public const string AllImages = "(all)";

    /// <summary>The estimate of one group.</summary>
    /// <exception cref="KeyNotFoundException">There is no such group.</exception>
    public Estimate this[string group] =>
        Groups.FirstOrDefault(entry => entry.Group == group)?.Estimate
        ?? throw new KeyNotFoundException($"there is no group '{group}'; the groups are {string.Join(", ", Groups.Select(entry => entry.Group))}");
}
