namespace ClipEngine.Audit.Balancing;

/// <summary>The dual variables that a balancing problem was solved with, and what they reach.</summary>
/// <param name="Problem">The problem.</param>
/// <param name="Upper">v of the constraints "+moment − ε", one for each moment, 0 to V.</param>
/// <param name="Lower">v of the constraints "−moment − ε".</param>
/// <param name="Mu">μ: the dual variable of E[q] = η.</param>
/// <param name="Objective">The objective's value, penalty included.</param>
/// <param name="MeanWeight">E[q].</param>
/// <param name="MomentValues">E[q·moment] for each moment.</param>
/// <param name="Passes">Passes over the data.</param>
internal sealed record BalanceSolution(
    BalanceProblem Problem, IReadOnlyList<double> Upper, IReadOnlyList<double> Lower, double Mu, double Objective, double MeanWeight,
    IReadOnlyList<double> MomentValues, int Passes)
{
    /// <summary>How far E[q·a] of a moment lies above zero on its worse side; zero or less where the constraint holds.</summary>
    public double Violation(int moment) => Math.Abs(MomentValues[moment]) - (Problem.Tolerance(moment) * MeanWeight);

    /// <summary>The largest violation of any constraint, at least zero.</summary>
    public double LargestViolation => Enumerable.Range(0, Problem.MomentCount).Max(moment => Math.Max(0, Violation(moment)));

    /// <summary>The weight of a row: clip(η − (v·a + μ)/u, 0, 1).</summary>
    /// <param name="row">m sensitive attributes, c labels, the utility.</param>
    internal double Weight(ReadOnlySpan<double> row)
    {
        Span<double> moments = stackalloc double[Problem.MomentCount];
        Problem.Moments(row, moments);
        double x = Mu;
        for (int l = 0; l < moments.Length; l++)
            x += (moments[l] * (Upper[l] - Lower[l])) - (Problem.Tolerance(l) * (Upper[l] + Lower[l]));
        return Math.Clamp(Problem.Rate - (x / row[^1]), 0, 1);
    }
}
