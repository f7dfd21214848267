namespace ClipEngine.Audit.Balancing;

/// <summary>
/// What data balancing is to reach: multi-modal moment matching (M4) of "CLIP the Bias" (2403.04547). The paper names the ingredients used
/// here (overlapping groups, utilities, soft constraints with an enforcement level V, a rate eta); the closed forms are a reconstruction.
/// </summary>
/// <remarks>
/// Minimise E[(u/2)(q − η)²] + V · Σ_j max(0, E[q·a_j]) over the weights 0 ≤ q ≤ 1 with E[q] = η. With m sensitive attributes s and c labels y the
/// constraints a are, for each k and r, ±(s_k − π_k)·y_r − ε_D, and then for each k, ±(s_k − π_k) − ε_R: 2m(c + 1) of them.
/// Where all hold, the weighted covariance of every s_k with every y_r is at most ε_D.
/// </remarks>
internal sealed record BalanceProblem
{
    /// <summary>π: the wanted share of each sensitive attribute, each from 0 to 1.</summary>
    public required IReadOnlyList<double> Target { get; init; }

    /// <summary>c: how many labels a row has.</summary>
    public required int LabelCount { get; init; }

    /// <summary>ε_D: the tolerance of the second-order constraints (association).</summary>
    public required double AssociationTolerance { get; init; }

    /// <summary>ε_R: the tolerance of the first-order constraints (representation).</summary>
    public required double RepresentationTolerance { get; init; }

    /// <summary>η: the mean weight, above 0 and below 1.</summary>
    public required double Rate { get; init; }

    /// <summary>V: the price of a violation, and so the largest value of a dual variable.</summary>
    public required double Enforcement { get; init; }

    /// <summary>m: how many sensitive attributes a row has.</summary>
    public int SensitiveCount => Target.Count;

    /// <summary>m(c + 1): the moments that are bounded from both sides.</summary>
    public int MomentCount => SensitiveCount * (LabelCount + 1);

    /// <summary>Numbers in a row: sensitive attributes, labels, utility.</summary>
    internal int RowWidth => SensitiveCount + LabelCount + 1;

    /// <summary>The tolerance of a moment; moments are ordered as <see cref="Moments"/> writes them.</summary>
    internal double Tolerance(int moment) => moment < SensitiveCount * LabelCount ? AssociationTolerance : RepresentationTolerance;

    /// <summary>
    /// The moments of a row: (s_k − π_k)·y_r at k·c + r, then s_k − π_k at m·c + k. A missing value (NaN) takes part in no moment that it
    /// belongs to: the row then neither helps nor hurts there.
    /// </summary>
    /// <param name="row">m sensitive attributes, c labels, the utility.</param>
    /// <param name="moments">m(c + 1) numbers.</param>
    internal void Moments(ReadOnlySpan<double> row, Span<double> moments)
    {
        int m = SensitiveCount, c = LabelCount;
        for (int k = 0; k < m; k++)
        {
            double apart = double.IsNaN(row[k]) ? 0 : row[k] - Target[k];
            for (int r = 0; r < c; r++)
                moments[(k * c) + r] = double.IsNaN(row[m + r]) ? 0 : apart * row[m + r];
            moments[(m * c) + k] = apart;
        }
    }
}
