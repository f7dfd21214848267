using System.Text.Json.Serialization;
using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Specs;

/// <summary>
/// An audit as data: who is shown to which models, with which words, and what is made of the answers. Paths are relative to the
/// spec's own folder. Unknown keys are refused: a misspelt option must not be an option that was never taken.
/// </summary>
/// <remarks>Optional members have setters, not initialisers: generated deserialisation would overwrite the defaults of absent ones.</remarks>
internal sealed record AuditSpec
{
    /// <summary>For editors: the address of this file's schema, as <c>audit spec --schema</c> prints it. Not read.</summary>
    [JsonPropertyName("$schema")]
    public string? Schema { get; set; }

    /// <summary>What the run is called.</summary>
    public required string Title { get; init; }

    /// <summary>The question in a sentence.</summary>
    public string Question { get; set; } = "";

    /// <summary>The images and their groups.</summary>
    public required ProbeSpec Probe { get; init; }

    /// <summary>The models, in the order of all tables.</summary>
    public required IReadOnlyList<ModelSpec> Models { get; init; }

    /// <summary>The label sets; every model scores all of them.</summary>
    public required IReadOnlyList<ExperimentSpec> Experiments { get; init; }

    /// <summary>What cosines are multiplied with before the softmax: a number (the published study's is 100), or <c>checkpoint</c> for the model's own. For a scorer of pairs: what its log odds of a match are multiplied with; <c>checkpoint</c> is then 1.</summary>
    public string Scale { get; set; } = "100";

    /// <summary>fp32, bf16, fp16 or int8.</summary>
    public string ElementType { get; set; } = "fp32";

    /// <summary>What image and prompt features are multiplied in: fp32, bf16, int16 or int8. Fewer bits find the labels that fp32 finds, but for images whose two best probabilities are equal to the last digit; a model's scoring states the bound on its probabilities.</summary>
    public string ScorePrecision { get; set; } = "fp32";

    /// <summary>Whose resize makes the pixels: pillow-13, pillow-12 or torchvision; absent: what belongs to each model's layout.</summary>
    public string? Resampler { get; set; }

    /// <summary>When images of another mode become RGB: last or first; absent: what belongs to each model's layout.</summary>
    public string? Rgb { get; set; }

    /// <summary>What becomes of transparency: drop or white; absent: what belongs to each model's layout.</summary>
    public string? Alpha { get; set; }

    /// <summary>How intervals are made.</summary>
    public IntervalSpec Intervals { get; set; } = new();

    /// <summary>The stated largest error of a cosine, for the flip report; absent for none.</summary>
    public double? CosineError { get; set; }

    /// <summary>Which checkpoints are compared with which.</summary>
    public IReadOnlyList<ComparisonSpec> Comparisons { get; set; } = [];

    /// <summary>Families of tests, declared before the data are seen. A test belongs to the first that names it; what none names is exploratory, a family for each comparison and experiment.</summary>
    public IReadOnlyList<FamilySpec> Families { get; set; } = [];

    /// <summary>How far the statements depend on the wording; absent for no grid.</summary>
    public SensitivitySpec? Sensitivity { get; set; }

    /// <summary>What captions end with, by kind of figure (arms, change, confusion and so on): where the spec repeats a study, the number of its figure there.</summary>
    public IReadOnlyDictionary<string, string> FigureNotes { get; set; } = new Dictionary<string, string>();

    /// <summary>Labels whose probability is correlated with numeric attributes of the images.</summary>
    public IReadOnlyList<CorrelationSpec> Correlations { get; set; } = [];

    /// <summary>Which of two words models prefer for images of nobody in particular; absent: not measured.</summary>
    public RepresentationBiasSpec? RepresentationBias { get; set; }

    /// <summary>Which word of a pair (nurse, doctor) models prefer, by group; absent: not measured.</summary>
    public AssociationBiasSpec? AssociationBias { get; set; }

    /// <summary>Whom sentences find first; absent: not measured.</summary>
    public RankingSpec? Ranking { get; set; }

    /// <summary>Zero-shot accuracy, which bias is weighed against; absent: not measured.</summary>
    public AccuracySpec? Accuracy { get; set; }

    /// <summary>Image-text retrieval, which bias is weighed against; absent: not measured.</summary>
    public RetrievalSpec? Retrieval { get; set; }

    /// <summary>Whether anything is asked of models that stands beside the experiments.</summary>
    [JsonIgnore]
    internal bool HasMeasures => RepresentationBias is not null || AssociationBias is not null || Ranking is not null || Accuracy is not null || Retrieval is not null;
}

/// <summary>How a probe's metadata is laid out.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<ProbeLayout>))]
internal enum ProbeLayout
{
    /// <summary>A CSV file with one row an image.</summary>
    Csv,

    /// <summary>The Chicago Face Database: <c>cfd.csv</c> with <c>person_id</c>, <c>img_neutral</c>, <c>r_g</c>, <c>race</c>, <c>gender</c>; images found by name anywhere below the folder.</summary>
    Cfd,

    /// <summary>FairFace: a CSV file with <c>file</c>, <c>age</c>, <c>gender</c>, <c>race</c>.</summary>
    FairFace,

    /// <summary>UTKFace: a folder of images named <c>age_gender_race_date.jpg</c>; no metadata file.</summary>
    UtkFace,
}

/// <summary>The images and their groups.</summary>
internal sealed record ProbeSpec
{
    /// <summary>What the probe is called.</summary>
    public string? Name { get; set; }

    /// <summary>How the metadata is laid out.</summary>
    public ProbeLayout Layout { get; set; } = ProbeLayout.Csv;

    /// <summary>The metadata file; for UTKFace absent.</summary>
    public string? Metadata { get; set; }

    /// <summary>The images' folder; absent where all models bring features or scores of their own.</summary>
    public string? Images { get; set; }

    /// <summary>The id column; absent: the layout's own, or the first column.</summary>
    public string? Id { get; set; }

    /// <summary>The column that says whom an image shows; absent: the layout's own, or every image is another person.</summary>
    public string? Person { get; set; }

    /// <summary>The column with the image's path below the images' folder; absent: the layout's own, or the id.</summary>
    public string? File { get; set; }

    /// <summary><c>person</c>: every person of a group counts the same, with however many images; <c>image</c>: every image does.</summary>
    public Weighting Weighting { get; set; }

    /// <summary>The column with each image's weight (survey, post-stratification): every rate, mean, interval and test is of the weighted probe. A person then counts the mean of its images' weights, or with <c>image</c> their sum. Rows of weight 0 are left out and counted; a missing or negative weight is an error.</summary>
    public string? Weight { get; set; }

    /// <summary>The columns whose combinations are the groups; absent: the layout's own.</summary>
    public IReadOnlyList<string> Group { get; set; } = [];

    /// <summary>The group that all others are compared with where there are more than 16, too many for all pairs, and in the figures of gaps; absent: the largest.</summary>
    public string? Reference { get; set; }

    /// <summary>By column: the values of the rows to keep; all other rows are left out. Matrices and features computed elsewhere still have a row for each row of the whole table.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<string>> Where { get; set; } = new Dictionary<string, IReadOnlyList<string>>();

    /// <summary>What stands for a missing value in the columns that groups are made of, beside empty cells, NaN, NA, None and null.</summary>
    public IReadOnlyList<string> MissingValues { get; set; } = [];

    /// <summary>The group of rows without a value in a column that groups are made of; absent: such a row is an error.</summary>
    public string? MissingGroup { get; set; }

    /// <summary>How columns of numbers become groups, by column; a column of more than 12 different numbers without bins is refused.</summary>
    public IReadOnlyDictionary<string, ColumnBins> Bins { get; set; } = new Dictionary<string, ColumnBins>();

    /// <summary>Columns by which results are also given on their own (race, gender), beside the groups; absent: those of <see cref="Group"/> where it has several, and the layout's own.</summary>
    public IReadOnlyList<string>? Marginals { get; set; }

    /// <summary>What readers call the groups.</summary>
    public IReadOnlyDictionary<string, string> GroupNames { get; set; } = new Dictionary<string, string>();

    /// <summary>For the Chicago Face Database: the expressions to use, of N (neutral), A (angry), F (fearful), HC and HO (happy, mouth closed and open); all images of a person count as one person.</summary>
    public IReadOnlyList<string> Expressions { get; set; } = ["N"];
}

/// <summary>A model, or what it computed elsewhere.</summary>
internal sealed record ModelSpec
{
    /// <summary>The key that results refer to.</summary>
    public required string Key { get; init; }

    /// <summary>A folder in the OpenCLIP layout or a catalogue name; absent where scores or features are given.</summary>
    public string? Model { get; set; }

    /// <summary>The architecture without activation suffix.</summary>
    public string Architecture { get; set; } = "";

    /// <summary>The training set.</summary>
    public string TrainingSet { get; set; } = "";

    /// <summary>The training run: checkpoints that share it are not independent.</summary>
    public string TrainingRun { get; set; } = "";

    /// <summary>Patch size in pixels.</summary>
    public int? PatchSize { get; set; }

    /// <summary>Parameters in millions.</summary>
    public double? MillionParameters { get; set; }

    /// <summary>SHA-256 of the weights, or its first digits (8 or more): other weights are refused.</summary>
    public string? Sha256 { get; set; }

    /// <summary>Run weights of the catalogue with the activation of the model's name although they were trained with the other one, as the published study did; results say so.</summary>
    public bool AcceptActivationMismatch { get; set; }

    /// <summary><c>features</c>: an image and a sentence become features, whose cosine is the score; <c>pairs</c>: the model looks at both together (BLIP's matching head), which costs a pass for every image with every sentence. Absent: features where the model makes them.</summary>
    public string? Scorer { get; set; }

    /// <summary><c>softmax</c>: probabilities over the labels of a set, which compete; <c>sigmoid</c>: the probability that an image and a sentence belong together, each by itself, with the model's own scale and bias whatever <c>scale</c> says, or of a scorer of pairs that they match. Absent: sigmoid for features that were trained with one (SigLIP), softmax for all else. The label that is chosen is the same.</summary>
    public string? Reading { get; set; }

    /// <summary>What a reader must know about this entry.</summary>
    public IReadOnlyList<string> Remarks { get; set; } = [];

    /// <summary>Score matrices computed elsewhere, by experiment.</summary>
    public IReadOnlyDictionary<string, ScoreFiles> Scores { get; set; } = new Dictionary<string, ScoreFiles>();

    /// <summary>Image features computed elsewhere, <c>[images, width]</c>, <c>.npy</c> or <c>.safetensors</c>.</summary>
    public string? ImageFeatures { get; set; }

    /// <summary>Text features computed elsewhere, by experiment, <c>[labels, width]</c>, <c>.npy</c> or <c>.safetensors</c>.</summary>
    public IReadOnlyDictionary<string, string> TextFeatures { get; set; } = new Dictionary<string, string>();
}

/// <summary>A score matrix computed elsewhere; one of the two must be given.</summary>
internal sealed record ScoreFiles
{
    /// <summary>Softmax probabilities, <c>[images, labels]</c>.</summary>
    public string? Softmax { get; set; }

    /// <summary>Cosines, <c>[images, labels]</c>; with probabilities given too, used for margins only.</summary>
    public string? Cosine { get; set; }
}

/// <summary>A label set.</summary>
internal sealed record ExperimentSpec
{
    /// <summary>Short name for files and tables.</summary>
    public required string Key { get; init; }

    /// <summary>What a reader calls it.</summary>
    public required string Title { get; init; }

    /// <summary>The sentence: <c>{label}</c> becomes the label, <c>{a}</c> becomes <c>a</c> or <c>an</c> as the label asks.</summary>
    public required string Template { get; init; }

    /// <summary>The labels, in the columns' order.</summary>
    public required IReadOnlyList<LabelSpec> Labels { get; init; }

    /// <summary>Whether labels insult or dehumanise people: the report then begins with a note on what they are there for.</summary>
    public bool Offensive { get; set; }

    /// <summary>Merged labels to report beside the single ones.</summary>
    public IReadOnlyList<MergedLabelSpec> Merged { get; set; } = [];

    /// <summary>Where the labels name groups: the attributes in which a wrong label can be wrong.</summary>
    public IReadOnlyList<string> Factors { get; set; } = [];
}

/// <summary>A label.</summary>
internal sealed record LabelSpec
{
    /// <summary>The class.</summary>
    public required string Text { get; init; }

    /// <summary>The group that it names, where it names one.</summary>
    public string? Group { get; set; }
}

/// <summary>A merged label: its rate is that of the winner being any of its labels, its probability their sum.</summary>
internal sealed record MergedLabelSpec
{
    /// <summary>What it is called.</summary>
    public required string Name { get; init; }

    /// <summary>Its labels.</summary>
    public required IReadOnlyList<string> Labels { get; init; }
}

/// <summary>How intervals are made.</summary>
internal sealed record IntervalSpec
{
    /// <summary>Nominal coverage, between 0.5 and 1.</summary>
    public double Level { get; set; } = 0.95;

    /// <summary>Bootstrap resamples and drawn permutations, 99 to 1,000,000.</summary>
    public int Resamples { get; set; } = 9999;

    /// <summary>Seed of both.</summary>
    public long Seed { get; set; } = 20240508;

    /// <summary><c>bca</c> or <c>percentile</c>.</summary>
    public string Method { get; set; } = "bca";
}

/// <summary>One arm of checkpoints against another, on the same images.</summary>
internal sealed record ComparisonSpec
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>What it is about: <c>scaling</c>, <c>patch size</c>.</summary>
    public string Kind { get; set; } = "scaling";

    /// <summary>The architecture that both arms share.</summary>
    public string Architecture { get; set; } = "";

    /// <summary>Known confounders.</summary>
    public string ConfoundedWith { get; set; } = "";

    /// <summary>What is compared with.</summary>
    public required ArmSpec First { get; init; }

    /// <summary>What is compared.</summary>
    public required ArmSpec Second { get; init; }
}

/// <summary>Checkpoints whose outcomes are averaged image by image.</summary>
internal sealed record ArmSpec
{
    /// <summary>What it is called.</summary>
    public required string Name { get; init; }

    /// <summary>Keys of models of the spec.</summary>
    public required IReadOnlyList<string> Models { get; init; }
}

/// <summary>
/// A family of tests that are corrected together. Of comparisons alone: each label's change in each group. Of pairs of groups, or groups against a
/// reference: with comparisons how much more one group changed than the other, without them the gap within each model.
/// </summary>
internal sealed record FamilySpec
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Whether it is confirmatory.</summary>
    public bool Primary { get; set; }

    /// <summary>The comparisons in it.</summary>
    public IReadOnlyList<string> Comparisons { get; set; } = [];

    /// <summary>Without comparisons: the models in it; empty: all.</summary>
    public IReadOnlyList<string> Models { get; set; } = [];

    /// <summary>The experiment.</summary>
    public required string Experiment { get; init; }

    /// <summary>The labels and merged labels.</summary>
    public required IReadOnlyList<string> Labels { get; init; }

    /// <summary>The groups in it, by key, or <c>attribute=value</c> for a group of a single attribute; empty: all groups of the probe, or all others of the reference's attribute.</summary>
    public IReadOnlyList<string> Groups { get; set; } = [];

    /// <summary>The group that the others are compared with; absent for none.</summary>
    public string? Reference { get; set; }

    /// <summary>Pairs of groups, the first minus the second.</summary>
    public IReadOnlyList<GroupPairSpec> Pairs { get; set; } = [];

    /// <summary>Whether its tests are of pairs of groups.</summary>
    [JsonIgnore]
    internal bool IsOfGroupPairs => Reference is not null || Pairs.Count > 0;
}

/// <summary>A file of families alone, for <c>audit scores</c>.</summary>
internal sealed record FamilyList
{
    /// <summary>The families.</summary>
    public required IReadOnlyList<FamilySpec> Families { get; init; }

    /// <summary>Reads such a file.</summary>
    /// <exception cref="BadInputException">Missing, no JSON, or an unknown or missing key.</exception>
    public static IReadOnlyList<FamilySpec> Read(string path) =>
        SpecReader.Deserialize(path, ClipEngine.Files.TextFile.ReadDocument(path, "families of tests (JSON)"), SpecJson.Default.FamilyList, "Write { \"families\": [ ... ] } as in a spec.").Families;
}

/// <summary>A pair of groups.</summary>
internal sealed record GroupPairSpec
{
    /// <summary>The group that is compared.</summary>
    public required string First { get; init; }

    /// <summary>The group that it is compared with.</summary>
    public required string Second { get; init; }
}

/// <summary>A grid of wordings: every template with every synonym in every label set, and controls.</summary>
internal sealed record SensitivitySpec
{
    /// <summary>The experiment whose wording is varied.</summary>
    public required string Experiment { get; init; }

    /// <summary>Other templates than the experiment's own.</summary>
    public IReadOnlyList<string> Templates { get; set; } = [];

    /// <summary>For each label that statements are made of: other words for it.</summary>
    public required IReadOnlyDictionary<string, IReadOnlyList<string>> Synonyms { get; init; }

    /// <summary>Other label sets than the experiment's own; a statement is made in those that have its label.</summary>
    public IReadOnlyList<LabelSetSpec> LabelSets { get; set; } = [];

    /// <summary>Label sets with neutral labels, shown beside the range and no part of it.</summary>
    public IReadOnlyList<LabelSetSpec> NeutralSets { get; set; } = [];

    /// <summary>Whether the words of the published prompts are also tried in reverse order.</summary>
    public bool BagOfWords { get; set; }
}

/// <summary>A named list of labels.</summary>
internal sealed record LabelSetSpec
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Its labels.</summary>
    public required IReadOnlyList<string> Labels { get; init; }
}

/// <summary>A correlation to report.</summary>
internal sealed record CorrelationSpec
{
    /// <summary>The experiment.</summary>
    public required string Experiment { get; init; }

    /// <summary>The label.</summary>
    public required string Label { get; init; }

    /// <summary>The metadata column, numeric.</summary>
    public required string Attribute { get; init; }
}
