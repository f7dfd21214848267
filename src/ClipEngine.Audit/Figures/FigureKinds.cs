namespace ClipEngine.Audit.Figures;

/// <summary>The kinds of figures: what their names begin with, and what a spec's <c>figureNotes</c> refer to.</summary>
internal static class FigureKinds
{
    public const string Arms = "arms";
    public const string Bias = "bias";
    public const string Change = "change";
    public const string Changes = "changes";
    public const string Confusion = "confusion";
    public const string Forest = "forest";
    public const string Gaps = "gaps";
    public const string Given = "given";
    public const string GroupRates = "group-rates";
    public const string ImageSimilarity = "image-similarity";
    public const string PatchFrequency = "patch-frequency";
    public const string PatchProbability = "patch-probability";
    public const string Rates = "rates";
    public const string Scatter = "scatter";
    public const string Softmax = "softmax";
    public const string Stacked = "stacked";
    public const string TextSimilarity = "text-similarity";
    public const string Wordings = "wordings";

    /// <summary>All of them.</summary>
    public static IReadOnlyList<string> All { get; } =
        [Arms, Bias, Change, Changes, Confusion, Forest, Gaps, Given, GroupRates, ImageSimilarity, PatchFrequency, PatchProbability, Rates, Scatter, Softmax, Stacked, TextSimilarity, Wordings];
}
