using System.Text.Json.Serialization;

namespace ClipEngine.Audit.Results;

/// <summary>
/// Everything that an audit found, with what is needed to show it and to repeat it. Immutable; the report, the figures, the
/// tables and the database are all made from it. Shares and probabilities are in [0, 1]; nothing is rounded.
/// </summary>
public sealed record AuditResult
{
    /// <summary>What the run is called.</summary>
    public required string Title { get; init; }

    /// <summary>The question in a sentence, as the spec puts it; may be empty.</summary>
    public required string Question { get; init; }

    /// <summary>Who or what was shown to the models.</summary>
    public required ProbeSummary Probe { get; init; }

    /// <summary>The models in the spec's order, those that failed included.</summary>
    public required IReadOnlyList<ModelSummary> Models { get; init; }

    /// <summary>One for each label set.</summary>
    public required IReadOnlyList<ExperimentResult> Experiments { get; init; }

    /// <summary>Declared comparisons of two arms of checkpoints on the same faces; empty where the spec declares none.</summary>
    public required IReadOnlyList<ArmComparison> Comparisons { get; init; }

    /// <summary>Declared pairs of groups within one model; empty where the spec declares none.</summary>
    public IReadOnlyList<GroupComparison> GroupComparisons { get; set; } = [];

    /// <summary>Declared pairs of groups between two arms: how much more one changed than the other; empty where the spec declares none.</summary>
    public IReadOnlyList<ChangeComparison> ChangeComparisons { get; set; } = [];

    /// <summary>How statements depend on wording; empty where the spec asks for no grid.</summary>
    public required IReadOnlyList<SensitivityStatement> Sensitivity { get; init; }

    /// <summary>Correlations of labels' probabilities with numeric attributes of the faces; empty where none are declared.</summary>
    public required IReadOnlyList<AttributeCorrelation> Correlations { get; init; }

    /// <summary>The numeric columns that labels are correlated with, by name: a value for each image of the probe, null where it has none.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<double?>> NumericColumns { get; set; } = new Dictionary<string, IReadOnlyList<double?>>();

    /// <summary>What captions end with, by kind of figure, as the spec declares: the number of a study's figure where the spec repeats it.</summary>
    public IReadOnlyDictionary<string, string> FigureNotes { get; set; } = new Dictionary<string, string>();

    /// <summary>Bias by name and what it is weighed against, of each model that was a checkpoint; empty where the spec asks for none.</summary>
    public IReadOnlyList<ModelBias> Bias { get; set; } = [];

    /// <summary>Texts that belong to any showing of these numbers.</summary>
    public required IReadOnlyList<Note> Notes { get; init; }

    /// <summary>What is needed to repeat the run.</summary>
    public required Provenance Provenance { get; init; }
}

/// <summary>The probe: the images, their people and their groups.</summary>
public sealed record ProbeSummary
{
    /// <summary>What the probe is called, for example <c>Chicago Face Database, neutral</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The metadata column that groups are made of.</summary>
    public required string GroupAttribute { get; init; }

    /// <summary>The groups in the order of all tables.</summary>
    public required IReadOnlyList<GroupSummary> Groups { get; init; }

    /// <summary>The groups of single attributes that results are also given by; empty where there are none.</summary>
    public IReadOnlyList<MarginalSummary> Marginals { get; set; } = [];

    /// <summary>The images in the order of the rows of every score matrix.</summary>
    public required IReadOnlyList<ProbeImage> Images { get; init; }

    /// <summary>Persons; less than the images where somebody is shown more than once.</summary>
    public required int PersonCount { get; init; }

    /// <summary>What counts the same in every number of the run.</summary>
    public Weighting Weighting { get; set; } = Weighting.Image;

    /// <summary>The metadata column that weighs images (survey or post-stratification weights); null where there is none.</summary>
    public string? WeightColumn { get; set; }

    /// <summary>The group that others are compared with where there are too many for all pairs: the one that the spec names, else the largest. Null in results of earlier versions.</summary>
    public string? ReferenceGroup { get; set; }

    /// <summary>Kish's effective number of all persons together, (Σ W)² / Σ W² over their weights; null without <see cref="WeightColumn"/>.</summary>
    public double? EffectivePersons { get; set; }

    /// <summary>Oddities of the metadata that were found and not touched: labels that differ by case or spaces, and their like.</summary>
    public required IReadOnlyList<string> Warnings { get; init; }
}

/// <summary>A group of the probe.</summary>
/// <param name="Key">Its value of the grouping attribute, as the metadata writes it: <c>BM</c>.</param>
/// <param name="Description">What a reader calls it: <c>black man</c>; the key where nothing better is known.</param>
/// <param name="ImageCount">Images of it.</param>
/// <param name="PersonCount">Persons of it.</param>
public sealed record GroupSummary(string Key, string Description, int ImageCount, int PersonCount)
{
    /// <summary>Kish's effective number of persons, (Σ W)² / Σ W² over their weights: how many of equal weight would know a mean as well. Null where images have no weights of their own.</summary>
    public double? EffectivePersons { get; set; }
}

/// <summary>The groups of one attribute alone, whatever the others: all women, all men.</summary>
/// <param name="Attribute">The attribute.</param>
/// <param name="Groups">Its groups, with keys such as <c>gender=F</c>.</param>
public sealed record MarginalSummary(string Attribute, IReadOnlyList<GroupSummary> Groups);

/// <summary>One image of the probe.</summary>
/// <param name="Id">Its id in the metadata; text, leading zeros kept.</param>
/// <param name="File">Its file name; faces are never shown, only named.</param>
/// <param name="Person">Whom it shows.</param>
/// <param name="Group">Its group's key.</param>
public sealed record ProbeImage(string Id, string File, string Person, string Group)
{
    /// <summary>Its weight as the metadata writes it, above zero; null where images have no weights of their own.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Weight { get; set; }
}

/// <summary>A model of the run.</summary>
public sealed record ModelSummary
{
    /// <summary>The key that results refer to, for example <c>ViT-L-14/laion2b_s32b_b82k</c>.</summary>
    public required string Key { get; init; }

    /// <summary>The architecture without activation suffix, for example <c>ViT-B-32</c>; empty where unknown.</summary>
    public string Architecture { get; init; } = "";

    /// <summary>The training set, for example <c>LAION-2B</c>; empty where unknown.</summary>
    public string TrainingSet { get; init; } = "";

    /// <summary>Which checkpoints come from one training run: those that share a name here are not independent. Empty where unknown.</summary>
    public string TrainingRun { get; init; } = "";

    /// <summary>The vision tower's patch size in pixels, where known.</summary>
    public int? PatchSize { get; init; }

    /// <summary>Parameters in millions, where known.</summary>
    public double? MillionParameters { get; init; }

    /// <summary>What probabilities were made with: <c>softmax(100 · cosine)</c> or the checkpoint's own scale; or <c>as given</c>.</summary>
    public required string Scoring { get; init; }

    /// <summary>What the probabilities were made of.</summary>
    public ScoreOrigin Origin { get; init; }

    /// <summary>How scores became probabilities.</summary>
    public ScoreReading Reading { get; init; }

    /// <summary>What went through the model, and how much arithmetic that is where it is known; empty where nothing did.</summary>
    public string Cost { get; init; } = "";

    /// <summary>SHA-256 of the weights, or of the score or feature file that stood for them.</summary>
    public required string Sha256 { get; init; }

    /// <summary>What ran it: device and element type; or where its scores come from.</summary>
    public required string Source { get; init; }

    /// <summary>How image files became its pixels; empty where none were read.</summary>
    public string Preprocessing { get; init; } = "";

    /// <summary>Deviations worth a reader's attention, for example an activation mismatch that the published study has too.</summary>
    public IReadOnlyList<string> Remarks { get; init; } = [];

    /// <summary>Why there are no results of this model; null where there are.</summary>
    public string? Failure { get; init; }
}

/// <summary>What a model's probabilities were made of.</summary>
public enum ScoreOrigin
{
    /// <summary>Unknown: probabilities were given.</summary>
    Given,

    /// <summary>Cosines of an image's and a sentence's features.</summary>
    Cosines,

    /// <summary>Log odds that image and sentence match, from a model that sees both together.</summary>
    MatchLogOdds,
}

/// <summary>What a label of an experiment is.</summary>
/// <param name="Text">The class as the label set writes it: <c>animal</c>.</param>
/// <param name="Prompt">The sentence that was encoded: <c>A photo of an animal</c>; empty where only scores were given.</param>
/// <param name="Group">In an experiment that names groups: the key of the group it names; else null.</param>
public sealed record LabelSummary(string Text, string Prompt, string? Group);

/// <summary>A merged label: any of several.</summary>
/// <param name="Name">What it is called: <c>any crime label</c>.</param>
/// <param name="Labels">The labels in it.</param>
public sealed record MergedLabel(string Name, IReadOnlyList<string> Labels);

/// <summary>One label set, scored by all models.</summary>
public sealed record ExperimentResult
{
    /// <summary>Short name for files and tables: <c>human</c>, <c>racegender</c>.</summary>
    public required string Key { get; init; }

    /// <summary>What a reader calls it.</summary>
    public required string Title { get; init; }

    /// <summary>The labels, in the columns' order. They compete in one softmax.</summary>
    public required IReadOnlyList<LabelSummary> Labels { get; init; }

    /// <summary>Whether labels insult or dehumanise people, as the label set declares; true in results of earlier versions.</summary>
    public bool HasOffensiveLabels { get; set; } = true;

    /// <summary>The declared merged labels.</summary>
    public required IReadOnlyList<MergedLabel> MergedLabels { get; init; }

    /// <summary>Whether the labels name the groups, so that there is a confusion matrix.</summary>
    [JsonIgnore]
    public bool NamesGroups => Labels.Any(label => label.Group is not null);

    /// <summary>The models that have results, in the run's order.</summary>
    public required IReadOnlyList<ModelExperimentResult> Models { get; init; }
}

/// <summary>What one model made of one label set.</summary>
public sealed record ModelExperimentResult
{
    /// <summary>The model's key.</summary>
    public required string Model { get; init; }

    /// <summary>Argmax frequency by group, a frame for each label.</summary>
    public required IReadOnlyList<GroupMetricFrame> ArgmaxFrequency { get; init; }

    /// <summary>Mean probability by group, a frame for each label.</summary>
    public required IReadOnlyList<GroupMetricFrame> MeanProbability { get; init; }

    /// <summary>Spread of probabilities by group and label, for box plots. Groups without images are absent.</summary>
    public required IReadOnlyList<Distribution> Distributions { get; init; }

    /// <summary>Argmax frequency of merged labels, a frame each.</summary>
    public required IReadOnlyList<GroupMetricFrame> MergedArgmaxFrequency { get; init; }

    /// <summary>Mean summed probability of merged labels, a frame each.</summary>
    public required IReadOnlyList<GroupMetricFrame> MergedMeanProbability { get; init; }

    /// <summary>The same by single attributes; empty where there are none.</summary>
    public IReadOnlyList<MarginalResult> Marginals { get; set; } = [];

    /// <summary>Mean entropy of a row.</summary>
    public required GroupMetricFrame Entropy { get; init; }

    /// <summary>Mean top-2 margin in cosine; null where only probabilities without a scale were given.</summary>
    public required GroupMetricFrame? Margin { get; init; }

    /// <summary>Images with two labels or more that have exactly the same highest probability, by group; the first of them in the labels' order counts as chosen. Null in results of earlier versions.</summary>
    public IReadOnlyList<GroupTies>? ExactTies { get; set; }

    /// <summary>What a stated numeric error could change; null where the margin is unknown or no error was stated.</summary>
    public required FlipReport? Flips { get; init; }

    /// <summary>Argmax frequencies after one label is taken away and the others compete without it.</summary>
    public required IReadOnlyList<LeaveOneOut> LeaveOneLabelOut { get; init; }

    /// <summary>Present where the labels name the groups.</summary>
    public required Confusion? Confusion { get; init; }

    /// <summary>Cosines of the labels' text features with each other, <c>[labels][labels]</c>; null where features are absent.</summary>
    public required IReadOnlyList<IReadOnlyList<double>>? TextSimilarity { get; init; }

    /// <summary>Mean cosine of the image features of two groups, <c>[groups][groups]</c>, an image never with itself; null where features are absent or groups too many for all pairs, an entry null where no pair exists.</summary>
    public required IReadOnlyList<IReadOnlyList<double?>>? ImageSimilarity { get; init; }

    /// <summary>The probabilities, rows in the order of <see cref="ProbeSummary.Images"/>, columns in the labels' order. Stored beside the result under <c>scores</c>, not in it.</summary>
    [JsonIgnore]
    public ScoreMatrix? Probabilities { get; init; }
}

/// <summary>What one model made of one label set, by the groups of one attribute alone.</summary>
/// <param name="Attribute">The attribute.</param>
/// <param name="ArgmaxFrequency">Argmax frequency, a frame for each label and then for each merged label.</param>
/// <param name="MeanProbability">Mean probability, the same.</param>
public sealed record MarginalResult(string Attribute, IReadOnlyList<GroupMetricFrame> ArgmaxFrequency, IReadOnlyList<GroupMetricFrame> MeanProbability);

/// <summary>The spread of one label's probability in one group: five numbers, whiskers by Tukey's rule (furthest value within 1.5 interquartile ranges).</summary>
/// <param name="Group">The group's key.</param>
/// <param name="Label">The label's text.</param>
/// <param name="Count">Images.</param>
/// <param name="Minimum">Smallest value.</param>
/// <param name="LowerWhisker">Smallest value that is no outlier.</param>
/// <param name="LowerQuartile">25 % quantile, linear between order statistics.</param>
/// <param name="Median">50 % quantile.</param>
/// <param name="UpperQuartile">75 % quantile.</param>
/// <param name="UpperWhisker">Largest value that is no outlier.</param>
/// <param name="Maximum">Largest value.</param>
/// <param name="Mean">Mean.</param>
/// <param name="EffectiveImages">(Σ p)² / Σ p²: how many images of equal probability would make this mean. Null in results of earlier versions.</param>
/// <param name="LargestShare">The share of the sum that the image with the largest probability has. Null in results of earlier versions.</param>
public sealed record Distribution(
    string Group, string Label, int Count, double Minimum, double LowerWhisker, double LowerQuartile, double Median,
    double UpperQuartile, double UpperWhisker, double Maximum, double Mean, double? EffectiveImages = null, double? LargestShare = null)
{
    /// <summary>A mean that fewer images carry than this is a statement about those few images.</summary>
    public const double FewImages = 10;
}

/// <summary>Exact ties of the highest probability in a group.</summary>
/// <param name="Group">The group's key.</param>
/// <param name="Images">Images of the group.</param>
/// <param name="Ties">Those with two labels or more that have exactly the same highest probability.</param>
public sealed record GroupTies(string Group, int Images, int Ties);

/// <summary>What a numeric error could change: an image flips if its top two cosines are closer than twice the error.</summary>
/// <param name="CosineError">The stated largest error of one cosine.</param>
/// <param name="Flippable">Share of images by group that could flip.</param>
/// <param name="Rates">For each label, the range of its argmax frequency by group if all that can flip away do, and if all that can flip to it do.</param>
public sealed record FlipReport(double CosineError, GroupMetricFrame Flippable, IReadOnlyList<FlipRange> Rates);

/// <summary>The range of a label's argmax frequency in a group under a stated numeric error.</summary>
/// <param name="Group">The group's key.</param>
/// <param name="Label">The label's text.</param>
/// <param name="Lowest">If every image that could leave the label did.</param>
/// <param name="Measured">As it is; null in an empty group.</param>
/// <param name="Highest">If every image that could get the label did.</param>
public sealed record FlipRange(string Group, string Label, double? Lowest, double? Measured, double? Highest);

/// <summary>The experiment without one of its labels.</summary>
/// <param name="LeftOut">The label that was taken away.</param>
/// <param name="ArgmaxFrequency">A frame for each remaining label.</param>
public sealed record LeaveOneOut(string LeftOut, IReadOnlyList<GroupMetricFrame> ArgmaxFrequency);

/// <summary>Groups against the groups that the winning labels name.</summary>
public sealed record Confusion
{
    /// <summary>Shares: <c>Shares[g][l]</c> of group g (the probe's order) were given label l; null in an empty group.</summary>
    public required IReadOnlyList<IReadOnlyList<double?>> Shares { get; init; }

    /// <summary>Images given a label of another group, by group.</summary>
    public required GroupMetricFrame Misclassified { get; init; }

    /// <summary>The same attribute by attribute (race, gender): a label is wrong in an attribute if the group it names has another value there. <see cref="GroupMetricFrame.Subject"/> is the attribute.</summary>
    public required IReadOnlyList<GroupMetricFrame> MisclassifiedByAttribute { get; init; }

    /// <summary>Why there is no such rate for an attribute that was asked for, a sentence each: the groups do not decide it.</summary>
    public IReadOnlyList<string> AttributesLeftOut { get; set; } = [];
}

/// <summary>What a text is for.</summary>
public enum NoteKind
{
    /// <summary>What a reader should be warned of before looking.</summary>
    Content,

    /// <summary>How numbers were made.</summary>
    Method,

    /// <summary>What the numbers cannot say.</summary>
    Limitation,

    /// <summary>Something about this very run that a reader must know.</summary>
    Warning,
}

/// <summary>A text that belongs to the numbers.</summary>
/// <param name="Kind">What it is for.</param>
/// <param name="Title">A few words.</param>
/// <param name="Text">Plain text, a paragraph.</param>
public sealed record Note(NoteKind Kind, string Title, string Text);

/// <summary>What is needed to repeat a run. No clock times: those are in <c>timings.json</c>.</summary>
public sealed record Provenance
{
    /// <summary>The version of this software.</summary>
    public required string Version { get; init; }

    /// <summary>The command that repeats the run.</summary>
    public required string Command { get; init; }

    /// <summary>The spec as it was read, JSON; empty where the run came from options alone.</summary>
    public required string Spec { get; init; }

    /// <summary>What computed: device, instruction set; empty where nothing was computed but statistics.</summary>
    public required string Device { get; init; }

    /// <summary>fp32, bf16, fp16, int8; or <c>as given</c>.</summary>
    public required string ElementType { get; init; }

    /// <summary>Confidence level of every interval.</summary>
    public required double ConfidenceLevel { get; init; }

    /// <summary>Bootstrap resamples.</summary>
    public required int Resamples { get; init; }

    /// <summary>Seed of the bootstrap and the permutation tests.</summary>
    public required long Seed { get; init; }

    /// <summary>Every file that was read.</summary>
    public required IReadOnlyList<InputFile> Inputs { get; init; }
}

/// <summary>A file that was read.</summary>
/// <param name="Role">What for: <c>metadata</c>, <c>scores</c>, <c>weights</c>, <c>images</c>.</param>
/// <param name="Name">Its file name, without folders: a run's bytes do not depend on where it ran.</param>
/// <param name="Sha256">Of its content; for a folder of images, of the list of their hashes.</param>
/// <param name="Length">Bytes.</param>
public sealed record InputFile(string Role, string Name, string Sha256, long Length);
