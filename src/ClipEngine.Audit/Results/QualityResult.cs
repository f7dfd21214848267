namespace ClipEngine.Audit.Results;

/// <summary>A rate over all images, by group, and for one kind of item.</summary>
/// <param name="Measure">For example <c>top-1</c>, <c>image to text, recall@5</c>.</param>
/// <param name="Part">Empty for all images; else <c>group</c> or <c>class</c>.</param>
/// <param name="Name">The group or class; empty for all.</param>
/// <param name="Rate">The share of images or sentences with its interval.</param>
public sealed record QualityRate(string Measure, string Part, string Name, Estimate Rate);

/// <summary>A difference of two groups in one measure: the first minus the second.</summary>
/// <param name="Measure">The measure.</param>
/// <param name="First">A group.</param>
/// <param name="Second">Another.</param>
/// <param name="Gap">The difference with its interval.</param>
public sealed record QualityGap(string Measure, string First, string Second, Estimate Gap);

/// <summary>How well a model does its job, by group.</summary>
/// <param name="Kind">accuracy or retrieval.</param>
/// <param name="Images">Images.</param>
/// <param name="Rates">All rates.</param>
/// <param name="Gaps">All pairs of groups.</param>
public sealed record QualityResult(string Kind, int Images, IReadOnlyList<QualityRate> Rates, IReadOnlyList<QualityGap> Gaps);
