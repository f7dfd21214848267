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
    public const string Given = "given";
    public const string ImageSimilarity = "image-similarity";
    public const string PatchFrequency = "patch-frequency";
    public const string PatchProbability = "patch-probability";
    public const string Rates = "rates";
    public const string Softmax = "softmax";
    public const string TextSimilarity = "text-similarity";

    /// <summary>All of them.</summary>
    public static IReadOnlyList<string> All { get; } =
        [Arms, Bias, Change, Changes, Confusion, Forest, Given, ImageSimilarity, PatchFrequency, PatchProbability, Rates, Softmax, TextSimilarity];
}
