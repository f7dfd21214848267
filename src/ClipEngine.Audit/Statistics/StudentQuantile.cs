using MathNet.Numerics.Distributions;
using MathNet.Numerics.RootFinding;

namespace ClipEngine.Audit.Statistics;

/// <summary>Quantiles of Student's t distribution, for intervals.</summary>
internal static class StudentQuantile
{
    /// <summary>The number t for which a variable lies within [-t, t] with the probability <paramref name="level"/>.</summary>
    /// <param name="freedom">Degrees of freedom, at least 1.</param>
    /// <param name="level">A probability in [0.5, 1).</param>
    /// <remarks>
    /// Math.NET's own <c>StudentT.InvCDF</c> searches between -800 and 800 only, which one degree of freedom leaves at a level of 0.9992. Its distribution function is
    /// right beyond. Logarithms of the tail and of t lie almost on a line, so the search takes few steps.
    /// </remarks>
    public static double TwoSided(double freedom, double level)
    {
        double tail = Math.Log((1 - level) / 2);
        // From e^-1, below every median of |t|, to e^40, beyond what one degree of freedom needs for the largest level below 1.
        return Math.Exp(Brent.FindRoot(logarithm => Math.Log(StudentT.CDF(0, 1, freedom, -Math.Exp(logarithm))) - tail, -1, 40, 1e-14, 200));
    }
}
