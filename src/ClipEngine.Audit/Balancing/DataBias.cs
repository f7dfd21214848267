using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Balancing;

/// <summary>How much of the data has an attribute.</summary>
/// <param name="Attribute">The column.</param>
/// <param name="Target">π: the wanted share, or null where none was named.</param>
/// <param name="Share">The (weighted) mean of the attribute with its interval.</param>
internal sealed record RepresentationCell(string Attribute, double? Target, Estimate Share);

/// <summary>How a label goes with an attribute.</summary>
/// <param name="Attribute">The sensitive column s.</param>
/// <param name="Label">The label column y.</param>
/// <param name="With">E[y | s = 1].</param>
/// <param name="Without">E[y | s = 0].</param>
/// <param name="Gap">The first minus the second, with its interval.</param>
internal sealed record AssociationCell(string Attribute, string Label, Estimate With, Estimate Without, Estimate Gap);

/// <summary>Representation and association bias of data, with everything behind the two maxima.</summary>
/// <param name="Representation">A cell for each sensitive attribute.</param>
/// <param name="Association">A cell for each sensitive attribute and label.</param>
/// <param name="RepresentationBias">max_k |π_k − E[s_k]|; undefined without targets.</param>
/// <param name="AssociationBias">max_{k,r} |E[y_r | s_k = 1] − E[y_r | s_k = 0]|.</param>
/// <param name="EffectiveRows">(Σ q)² / Σ q²: how many rows of equal weight tell as much.</param>
internal sealed record DataBias(
    IReadOnlyList<RepresentationCell> Representation, IReadOnlyList<AssociationCell> Association,
    Estimate RepresentationBias, Estimate AssociationBias, double EffectiveRows);

/// <summary>
/// Measures the first- and second-order bias that "CLIP the Bias" (2403.04547) names. That bias of data is of first order (who is there) and of
/// second order (who goes with what) is sourced; the two formulas are a reconstruction.
/// </summary>
/// <remarks>
/// Attributes may overlap, be probabilities, and be missing; a row with a missing value is left out of the means that need it, and only of those.
/// Shares have Wilson's interval on their effective number of rows p(1 − p)/v, with v the linearised variance of the weighted mean; gaps have
/// Newcombe's on the two. The two maxima have the envelope of all cells' intervals at the level that Bonferroni's correction asks for: it covers at
/// least as often as its level says, since the largest of several noisy gaps is larger than the largest true one.
/// </remarks>
internal static class DataBiasMeasure
{
    /// <summary>Measures.</summary>
    /// <param name="rows">m sensitive attributes, c labels and one more number a row.</param>
    /// <param name="sensitive">The m names.</param>
    /// <param name="labels">The c names.</param>
    /// <param name="target">π, or null.</param>
    /// <param name="weight">The weight of a row; null: 1.</param>
    /// <param name="level">The intervals' level.</param>
    public static DataBias Measure(IBalanceRows rows, IReadOnlyList<string> sensitive, IReadOnlyList<string> labels, IReadOnlyList<double>? target, Func<double[], double>? weight, double level)
    {
        int m = sensitive.Count, c = labels.Count, width = m + c + 1;
        var shares = new WeightedMean[m];
        var with = new WeightedMean[m * c];
        var without = new WeightedMean[m * c];
        double total = 0, squares = 0;
        // First the means, then the squares about them.
        for (int pass = 0; pass < 2; pass++)
        {
            bool isFirst = pass == 0;
            var row = new double[width];
            rows.Read((block, counts) =>
            {
                for (int i = 0; i < counts.Length; i++)
                {
                    block.Span.Slice(i * width, width).CopyTo(row);
                    double q = weight?.Invoke(row) ?? 1, count = counts.Span[i];
                    if (isFirst)
                    {
                        total += count * q;
                        squares += count * q * q;
                    }

                    for (int k = 0; k < m; k++)
                    {
                        if (double.IsNaN(row[k]))
                            continue;
                        shares[k].Add(row[k], q, count, isFirst);
                        for (int r = 0; r < c; r++)
                        {
                            if (double.IsNaN(row[m + r]))
                                continue;
                            with[(k * c) + r].Add(row[m + r], q * row[k], count, isFirst);
                            without[(k * c) + r].Add(row[m + r], q * (1 - row[k]), count, isFirst);
                        }
                    }
                }
            });
        }

        RepresentationCell[] representation = [.. sensitive.Select((name, k) => new RepresentationCell(name, target?[k], shares[k].Estimate(level)))];
        var association = new AssociationCell[m * c];
        for (int i = 0; i < association.Length; i++)
            association[i] = new AssociationCell(sensitive[i / c], labels[i % c], with[i].Estimate(level), without[i].Estimate(level), Gap(with[i], without[i], level));
        return new DataBias(
            representation, association,
            target is null ? Estimate.Undefined : Largest(Count(rows), [.. shares.Select((share, k) => (share.Mean - target[k], Shift(share.Interval(Corrected(level, m)), -target[k])))], level),
            Largest(Count(rows), [.. association.Select((cell, i) => (cell.Gap.Value, Gap(with[i], without[i], Corrected(level, m * c)).Interval))], level),
            squares > 0 ? total * total / squares : 0);
    }

    private static int Count(IBalanceRows rows) => (int)Math.Min(int.MaxValue, rows.Count);

    private static double Corrected(double level, int cells) => 1 - ((1 - level) / Math.Max(1, cells));

    private static Interval? Shift(Interval? interval, double by) => interval is null ? null : interval with { Lower = interval.Lower + by, Upper = interval.Upper + by };

    private static Estimate Gap(WeightedMean first, WeightedMean second, double level)
    {
        if (first.Mean is not double one || second.Mean is not double two)
            return Estimate.Undefined;
        return new Estimate(first.Rows + second.Rows, one - two, Proportions.Newcombe(one * first.Effective, first.Effective, two * second.Effective, second.Effective, level));
    }

    /// <summary>The largest absolute value, and the envelope of simultaneous intervals of absolute values.</summary>
    private static Estimate Largest(int count, IReadOnlyList<(double? Value, Interval? Interval)> cells, double level)
    {
        (double Value, Interval Interval)[] defined = [.. cells.Where(cell => cell is { Value: not null, Interval: not null }).Select(cell => (Math.Abs(cell.Value!.Value), cell.Interval!))];
        if (defined.Length == 0)
            return Estimate.Undefined;
        double lower = defined.Max(cell => cell.Interval.Lower > 0 ? cell.Interval.Lower : cell.Interval.Upper < 0 ? -cell.Interval.Upper : 0);
        double upper = defined.Max(cell => Math.Max(Math.Abs(cell.Interval.Lower), Math.Abs(cell.Interval.Upper)));
        double value = defined.Max(cell => cell.Value);
        return new Estimate(count, value, new Interval(Math.Min(lower, value), Math.Max(upper, value), level, $"envelope of {defined.Length} simultaneous intervals"));
    }

    /// <summary>A weighted mean of values from 0 to 1, and how many rows of equal weight would know it as well.</summary>
    private struct WeightedMean
    {
        private double _weights;
        private double _sum;
        private double _spread;
        private double _squares;
        private long _rows;

        public readonly double? Mean => _weights > 0 ? Math.Clamp(_sum / _weights, 0, 1) : null;

        /// <summary>Rows that take part.</summary>
        public readonly int Rows => (int)Math.Min(int.MaxValue, _rows);

        /// <summary>p(1 − p)/v; where nothing varies, (Σ w)²/Σ w².</summary>
        public readonly double Effective
        {
            get
            {
                double p = Mean ?? 0, kish = _weights * _weights / _squares, variance = _spread / (_weights * _weights);
                // Probabilities vary less than bits do; they count as many rows, never more than there are.
                return variance > 0 && p is > 0 and < 1 ? Math.Min(p * (1 - p) / variance, Math.Max(kish, _rows)) : kish;
            }
        }

        public void Add(double value, double weight, double count, bool isFirst)
        {
            if (weight == 0)
                return;
            if (isFirst)
            {
                _weights += count * weight;
                _sum += count * weight * value;
                _squares += count * weight * weight;
                _rows += (long)count;
                return;
            }

            double apart = weight * (value - (_sum / _weights));
            _spread += count * apart * apart;
        }

        public readonly Interval? Interval(double level) => Mean is double mean ? Proportions.Wilson(mean * Effective, Effective, level) : null;

        public readonly Estimate Estimate(double level) => Mean is null ? Results.Estimate.Undefined : new Estimate(Rows, Mean, Interval(level));
    }
}
