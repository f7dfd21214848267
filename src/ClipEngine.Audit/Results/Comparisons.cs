namespace ClipEngine.Audit.Results;

/// <summary>One arm of a comparison: checkpoints whose outcomes are averaged face by face.</summary>
/// <param name="Name">What it is called: <c>400M</c>.</param>
/// <param name="Models">Keys of its models.</param>
/// <param name="TrainingRuns">How many training runs stand behind them; checkpoints of one run are not independent. Null where unknown.</param>
public sealed record Arm(string Name, IReadOnlyList<string> Models, int? TrainingRuns);

/// <summary>
/// The second arm minus the first, on the same faces: one declared comparison (<c>ViT-B-32, LAION-400M to LAION-2B</c>) of one
/// label in one group. Which checkpoints are paired or pooled is data of the spec.
/// </summary>
public sealed record ArmComparison
{
    /// <summary>The declared comparison's name; what is compared is the same for all entries of one name.</summary>
    public required string Name { get; init; }

    /// <summary>What the comparison is about: <c>scaling</c>, <c>patch size</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>The architecture that both arms share; empty where they differ in it.</summary>
    public required string Architecture { get; init; }

    /// <summary>Known confounders, in words; empty where none is declared.</summary>
    public required string ConfoundedWith { get; init; }

    /// <summary>What is compared with.</summary>
    public required Arm First { get; init; }

    /// <summary>What is compared.</summary>
    public required Arm Second { get; init; }

    /// <summary>The experiment's key.</summary>
    public required string Experiment { get; init; }

    /// <summary>The label's text, or a merged label's name.</summary>
    public required string Label { get; init; }

    /// <summary>The group's key; <c>gender=F</c> for a group of a single attribute, <see cref="AverageOverGroups"/> for the average over the groups.</summary>
    public required string Group { get; init; }

    /// <summary>The first arm's argmax frequency, averaged over its checkpoints.</summary>
    public required Estimate FirstRate { get; init; }

    /// <summary>The second arm's.</summary>
    public required Estimate SecondRate { get; init; }

    /// <summary>Difference of argmax frequencies (second minus first), paired by face; a share: 0.199 are 19.9 percentage points.</summary>
    public required Estimate RateDifference { get; init; }

    /// <summary>Exact McNemar test; only where each arm is one checkpoint, else null.</summary>
    public required McNemarCounts? McNemar { get; init; }

    /// <summary>Paired permutation test (signs of the faces' differences) of the rate difference. Null where there are no faces or no face data.</summary>
    public required TestResult? RateTest { get; init; }

    /// <summary>Difference of mean probabilities, paired by face.</summary>
    public required Estimate MeanDifference { get; init; }

    /// <summary>Paired permutation test of the difference of mean probabilities.</summary>
    public required TestResult? MeanTest { get; init; }

    /// <summary>Cohen's d of the paired differences in probability (mean over standard deviation); null where undefined.</summary>
    public required double? EffectSize { get; init; }

    /// <summary>The arms over their training runs; null where these are unknown or each arm has one.</summary>
    public RunAverages? Runs { get; set; }

    /// <summary>Stands for the average over the groups, each counting the same.</summary>
    public const string AverageOverGroups = "(average over groups)";
}

/// <summary>Two arms over training runs, not checkpoints: what another training run would give.</summary>
/// <param name="First">The rate of each run of the first arm.</param>
/// <param name="Second">The rate of each run of the second.</param>
/// <param name="Difference">Mean of the second's minus mean of the first's; n counts runs. With Welch's interval where there are enough runs.</param>
/// <param name="Test">Exact permutation test over runs; null where there are too few for it to reach the level.</param>
public sealed record RunAverages(IReadOnlyList<double> First, IReadOnlyList<double> Second, Estimate Difference, TestResult? Test);

/// <summary>Two groups within one model: one entry of a declared family.</summary>
public sealed record GroupComparison
{
    /// <summary>The family that declares it.</summary>
    public required string Family { get; init; }

    /// <summary>The model's key.</summary>
    public required string Model { get; init; }

    /// <summary>The experiment's key.</summary>
    public required string Experiment { get; init; }

    /// <summary>The label's text, or a merged label's name.</summary>
    public required string Label { get; init; }

    /// <summary>The group that is compared.</summary>
    public required string First { get; init; }

    /// <summary>The group that it is compared with: the reference group.</summary>
    public required string Second { get; init; }

    /// <summary>The first group's argmax frequency.</summary>
    public required Estimate FirstRate { get; init; }

    /// <summary>The second's.</summary>
    public required Estimate SecondRate { get; init; }

    /// <summary>First minus second.</summary>
    public required Estimate RateDifference { get; init; }

    /// <summary>First over second; undefined where the second is zero.</summary>
    public required Estimate RateRatio { get; init; }

    /// <summary>Fisher's exact test where every person has one image and stands in one group, else a permutation of persons between the groups. Null where a group is empty.</summary>
    public required TestResult? RateTest { get; init; }

    /// <summary>Difference of mean probabilities, first minus second.</summary>
    public required Estimate MeanDifference { get; init; }

    /// <summary>Permutation of persons between the groups.</summary>
    public required TestResult? MeanTest { get; init; }
}

/// <summary>
/// A difference of differences: what a step between two arms did to one group, minus what it did to another. One entry of a declared family.
/// </summary>
public sealed record ChangeComparison
{
    /// <summary>The family that declares it.</summary>
    public required string Family { get; init; }

    /// <summary>The declared comparison's name.</summary>
    public required string Comparison { get; init; }

    /// <summary>The arm that is compared with.</summary>
    public required string FirstArm { get; init; }

    /// <summary>The arm that is compared.</summary>
    public required string SecondArm { get; init; }

    /// <summary>Known confounders of the comparison, in words; may be empty.</summary>
    public required string ConfoundedWith { get; init; }

    /// <summary>The experiment's key.</summary>
    public required string Experiment { get; init; }

    /// <summary>The label's text, or a merged label's name.</summary>
    public required string Label { get; init; }

    /// <summary>The group that is compared.</summary>
    public required string First { get; init; }

    /// <summary>The group that it is compared with.</summary>
    public required string Second { get; init; }

    /// <summary>The first group's change of argmax frequency, second arm minus first.</summary>
    public required Estimate FirstChange { get; init; }

    /// <summary>The second group's.</summary>
    public required Estimate SecondChange { get; init; }

    /// <summary>The first group's change minus the second's.</summary>
    public required Estimate RateDifference { get; init; }

    /// <summary>Permutation of persons, with their changes, between the groups. Null where a group is empty.</summary>
    public required TestResult? RateTest { get; init; }

    /// <summary>The same of mean probabilities.</summary>
    public required Estimate MeanDifference { get; init; }

    /// <summary>Its test.</summary>
    public required TestResult? MeanTest { get; init; }
}

/// <summary>Discordant pairs and McNemar's exact p.</summary>
/// <param name="OnlyFirst">Faces that the first checkpoint alone gave the label.</param>
/// <param name="OnlySecond">Faces that the second alone gave it.</param>
/// <param name="PValue">Two-sided, exact binomial.</param>
public sealed record McNemarCounts(int OnlyFirst, int OnlySecond, double PValue);

/// <summary>A test within its declared family.</summary>
/// <param name="Family">The family it was declared in before the data were seen: <c>primary</c>, or <c>exploratory: ...</c>.</param>
/// <param name="IsPrimary">Whether the family is confirmatory.</param>
/// <param name="FamilySize">How many tests the family has.</param>
/// <param name="PValue">Two-sided, uncorrected.</param>
/// <param name="Holm">Holm's step-down correction within the family.</param>
/// <param name="BenjaminiHochberg">Benjamini and Hochberg's false-discovery correction within the family.</param>
public sealed record TestResult(string Family, bool IsPrimary, int FamilySize, double PValue, double Holm, double BenjaminiHochberg);

/// <summary>How one number depends on wording: the same statement over a grid of templates, synonyms and label sets.</summary>
public sealed record SensitivityStatement
{
    /// <summary>What is stated: <c>criminal, BM, ViT-L-14/laion2b_s32b_b82k</c>.</summary>
    public required string Statement { get; init; }

    /// <summary>The model's key.</summary>
    public required string Model { get; init; }

    /// <summary>The group's key.</summary>
    public required string Group { get; init; }

    /// <summary>The concept: a label of the published set that the grid has synonyms for.</summary>
    public required string Label { get; init; }

    /// <summary>With the published wording.</summary>
    public required Estimate Published { get; init; }

    /// <summary>The smallest rate of the grid; null where the group is empty.</summary>
    public required double? Lowest { get; init; }

    /// <summary>The middle one.</summary>
    public required double? Median { get; init; }

    /// <summary>The largest.</summary>
    public required double? Highest { get; init; }

    /// <summary>Every wording.</summary>
    public required IReadOnlyList<SensitivityCell> Cells { get; init; }
}

/// <summary>One wording of the grid.</summary>
/// <param name="Template">The template: <c>A photo of {a} {label}</c>.</param>
/// <param name="Synonym">What stood for the label.</param>
/// <param name="LabelSet">The label set it competed in.</param>
/// <param name="Kind">Part of the grid, or a control.</param>
/// <param name="IsPublished">Whether this is the published wording.</param>
/// <param name="Rate">Argmax frequency.</param>
/// <param name="Mean">Mean probability.</param>
public sealed record SensitivityCell(
    string Template, string Synonym, string LabelSet, WordingKind Kind, bool IsPublished, Estimate Rate, Estimate Mean);

/// <summary>What a wording is there for. Controls are shown beside the range and are no part of it.</summary>
public enum WordingKind
{
    /// <summary>One of the wordings that the range goes over.</summary>
    Grid,

    /// <summary>Word-order control: the prompt's words in another order.</summary>
    BagOfWords,

    /// <summary>The label set with neutral labels added or in its place.</summary>
    Neutral,
}

/// <summary>The correlation of a label's probability with a numeric column of the metadata, over persons with the means of their images.</summary>
/// <param name="Model">The model's key.</param>
/// <param name="Experiment">The experiment's key.</param>
/// <param name="Label">The label's text, or a merged label's name.</param>
/// <param name="Attribute">The metadata column: <c>fWHR</c>.</param>
/// <param name="Pearson">Pearson's r; n counts persons that have the attribute.</param>
/// <param name="Spearman">Spearman's rho.</param>
public sealed record AttributeCorrelation(string Model, string Experiment, string Label, string Attribute, Estimate Pearson, Estimate Spearman)
{
    /// <summary>Stands for the correlation of distances from the groups' means.</summary>
    public const string WithinGroups = "(within groups)";

    /// <summary>Empty: over all persons. <see cref="WithinGroups"/>, or a group's key: over the persons of that group.</summary>
    public string Group { get; set; } = "";

    /// <summary>Images without a value of the attribute, which are left out.</summary>
    public int ImagesWithout { get; set; }

    /// <summary>Permutation test of Pearson's r, corrected over columns and models. Null where the correlation is undefined, and in results of earlier versions.</summary>
    public TestResult? PearsonTest { get; set; }

    /// <summary>The same of Spearman's rho.</summary>
    public TestResult? SpearmanTest { get; set; }
}
