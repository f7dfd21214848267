namespace ClipEngine.Audit.Statistics;

/// <summary>Corrections of the p-values of one family of tests.</summary>
internal static class MultipleTesting
{
    /// <summary>Holm's step-down procedure: the chance of a single false claim in the family stays below the level. Holm (1979).</summary>
    public static double[] Holm(IReadOnlyList<double> pValues)
    {
        int[] order = Order(pValues);
        var adjusted = new double[pValues.Count];
        double largest = 0;
        for (int rank = 0; rank < order.Length; rank++)
        {
            largest = Math.Max(largest, Math.Min(1, (order.Length - rank) * pValues[order[rank]]));
            adjusted[order[rank]] = largest;
        }

        return adjusted;
    }

    /// <summary>Benjamini and Hochberg's step-up procedure: the expected share of false claims among the claims stays below the level. Benjamini and Hochberg (1995).</summary>
    public static double[] BenjaminiHochberg(IReadOnlyList<double> pValues)
    {
        int[] order = Order(pValues);
        var adjusted = new double[pValues.Count];
        double smallest = 1;
        for (int rank = order.Length - 1; rank >= 0; rank--)
        {
            smallest = Math.Min(smallest, pValues[order[rank]] * order.Length / (rank + 1));
            adjusted[order[rank]] = smallest;
        }

        return adjusted;
    }

    private static int[] Order(IReadOnlyList<double> pValues) =>
        [.. Enumerable.Range(0, pValues.Count).OrderBy(index => pValues[index]).ThenBy(index => index)];
}
