using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Drift;

/// <summary>A concept's association with the first group less that with the second.</summary>
/// <param name="Concept">The set.</param>
/// <param name="Images">Images in it.</param>
/// <param name="Before">In the first model.</param>
/// <param name="After">In the second.</param>
/// <param name="Change">After minus before, from the same draws.</param>
internal sealed record ConceptDrift(string Concept, int Images, Estimate Before, Estimate After, Estimate Change);

/// <summary>All concepts in one measure, and how the two models' associations go together over concepts.</summary>
/// <param name="Measure"><c>features</c>: d = mean cosine to the first group minus to the second; <c>zero-shot</c>: mean probability of the concept's sentence on images of the first group minus on those of the second.</param>
/// <param name="Concepts">A row for each concept.</param>
/// <param name="SignAgreement">Share of concepts whose association has the same sign before and after.</param>
/// <param name="Pearson">Correlation over concepts.</param>
/// <param name="Spearman">Rank correlation over concepts.</param>
/// <param name="Slope">Slope of after on before over concepts, least squares.</param>
internal sealed record DriftMeasureResult(string Measure, IReadOnlyList<ConceptDrift> Concepts, Estimate SignAgreement, Estimate Pearson, Estimate Spearman, Estimate Slope);

/// <summary>What changed between two models.</summary>
/// <param name="Title">What the comparison is called.</param>
/// <param name="Before">The first model, as it was named.</param>
/// <param name="After">The second.</param>
/// <param name="Groups">The two groups.</param>
/// <param name="GroupImages">Images in each.</param>
/// <param name="Persons">Units that the bootstrap draws.</param>
/// <param name="Measures">Image features, and zero-shot scores where sentences were given.</param>
/// <param name="Notices">What a reader should know.</param>
internal sealed record DriftResult(string Title, string Before, string After, IReadOnlyList<string> Groups, IReadOnlyList<int> GroupImages, int Persons, IReadOnlyList<DriftMeasureResult> Measures, IReadOnlyList<string> Notices);
