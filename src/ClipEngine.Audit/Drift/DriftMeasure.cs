using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Statistics;
using MathNet.Numerics.Statistics;

namespace ClipEngine.Audit.Drift;

/// <summary>
/// Associations of concepts with two groups, before and after, with bootstrap intervals over persons. Building blocks for questions that
/// "Variation of Gender Biases in Visual Recognition Models Before and After Finetuning" (2303.07615) asks; its formulas were not at hand, so
/// the definitions here are a reconstruction, and none of them is its Bias Transfer Score.
/// </summary>
internal sealed class DriftMeasure
{
    private readonly int[][] _concepts;
    private readonly int[] _first;
    private readonly int[] _second;
    private readonly string[] _names;
    private readonly int[] _person;
    private readonly int[][] _strata;
    private readonly int _images;

    /// <summary>Sorts images into sets.</summary>
    /// <param name="sets">The set of each image.</param>
    /// <param name="persons">Whom each shows.</param>
    /// <param name="groups">The two groups' sets.</param>
    /// <param name="concepts">The concepts' sets.</param>
    public DriftMeasure(IReadOnlyList<string> sets, IReadOnlyList<string> persons, IReadOnlyList<string> groups, IReadOnlyList<string> concepts)
    {
        _images = sets.Count;
        _names = [.. concepts];
        int[] Of(string set) => [.. Enumerable.Range(0, sets.Count).Where(image => sets[image] == set)];
        _concepts = [.. concepts.Select(Of)];
        _first = Of(groups[0]);
        _second = Of(groups[1]);
        string[] known = [.. persons.Distinct()];
        Dictionary<string, int> index = known.Select((name, number) => (name, number)).ToDictionary(entry => entry.name, entry => entry.number);
        _person = [.. persons.Select(person => index[person])];
        // Drawn among those who appear in the same sets, so that no draw leaves a set empty.
        _strata = [.. Enumerable.Range(0, known.Length)
            .GroupBy(person => string.Join('\n', Enumerable.Range(0, sets.Count).Where(image => _person[image] == person).Select(image => sets[image]).Distinct().Order(StringComparer.Ordinal)))
            .Select(stratum => stratum.ToArray())];
        Persons = known.Length;
    }

    /// <summary>Units that are drawn.</summary>
    public int Persons { get; }

    /// <summary>d(concept) on features of length 1: mean cosine of the concept's images to the first group's minus to the second's.</summary>
    /// <param name="features">[images, width].</param>
    /// <param name="width">Length of a feature.</param>
    /// <param name="weights">How often each image counts.</param>
    public double[] OnFeatures(float[] features, int width, ReadOnlySpan<double> weights)
    {
        var difference = new double[width];
        var mean = new double[width];
        Mean(features, width, _first, weights, difference);
        Mean(features, width, _second, weights, mean);
        for (int i = 0; i < width; i++)
            difference[i] -= mean[i];
        var associations = new double[_concepts.Length];
        for (int concept = 0; concept < associations.Length; concept++)
        {
            Mean(features, width, _concepts[concept], weights, mean);
            for (int i = 0; i < width; i++)
                associations[concept] += mean[i] * difference[i];
        }

        return associations;
    }

    /// <summary>Mean probability of each concept's sentence on the first group's images minus on the second's.</summary>
    /// <param name="probabilities">[images, concepts], softmax over the concepts' sentences.</param>
    /// <param name="weights">How often each image counts.</param>
    public double[] OnScores(float[] probabilities, ReadOnlySpan<double> weights)
    {
        int columns = _concepts.Length;
        var first = new double[columns];
        var second = new double[columns];
        Mean(probabilities, columns, _first, weights, first);
        Mean(probabilities, columns, _second, weights, second);
        return [.. first.Zip(second, (one, two) => one - two)];
    }

    /// <summary>Compares two models in one measure.</summary>
    /// <param name="measure">The measure's name.</param>
    /// <param name="before">Associations in the first model for weights of images.</param>
    /// <param name="after">In the second.</param>
    /// <param name="intervals">Level, resamples and seed.</param>
    public MeasuredDrift Compare(string measure, Association before, Association after, IntervalSpec intervals)
    {
        int concepts = _names.Length;
        double[] ones = [.. Enumerable.Repeat(1.0, _images)];
        double[] first = before(ones), second = after(ones);
        var draws = new double[intervals.Resamples][];
        ulong stream = SplitMix64.Stream("drift");
        Parallel.For(0, intervals.Resamples, resample =>
        {
            double[] weights = Draw(intervals.Seed, stream, resample);
            double[] one = before(weights), two = after(weights);
            draws[resample] = [.. one, .. two, .. one.Zip(two, (b, a) => a - b), .. Together(one, two)];
        });
        double[] summary = Together(first, second);
        Estimate Of(int column, int count, double value)
        {
            double[] distribution = [.. draws.Select(draw => draw[column]).Where(double.IsFinite)];
            return new Estimate(count, double.IsFinite(value) ? value : null, double.IsFinite(value) ? Bootstrap.Interval(distribution, value, [], intervals.Level, BootstrapMethod.Percentile) : null);
        }

        int last = 3 * concepts;
        var result = new DriftMeasureResult(
            measure,
            [.. _names.Select((name, i) => new ConceptDrift(name, _concepts[i].Length, Of(i, _concepts[i].Length, first[i]), Of(concepts + i, _concepts[i].Length, second[i]), Of((2 * concepts) + i, _concepts[i].Length, second[i] - first[i])))],
            Of(last, concepts, summary[0]), Of(last + 1, concepts, summary[1]), Of(last + 2, concepts, summary[2]), Of(last + 3, concepts, summary[3]));
        return new MeasuredDrift(result, summary, [.. draws.Select(draw => draw[last..])]);
    }

    /// <summary>
    /// Sign agreement, Pearson, Spearman and slope of the second on the first, the mean size (distance from zero) of the first and of the second, and the
    /// change of it; NaN where undefined.
    /// </summary>
    internal static double[] Together(double[] before, double[] after)
    {
        int agree = 0;
        for (int i = 0; i < before.Length; i++)
            agree += Math.Sign(before[i]) == Math.Sign(after[i]) ? 1 : 0;
        double meanBefore = before.Average(), meanAfter = after.Average(), xx = 0, xy = 0;
        for (int i = 0; i < before.Length; i++)
        {
            xx += (before[i] - meanBefore) * (before[i] - meanBefore);
            xy += (before[i] - meanBefore) * (after[i] - meanAfter);
        }

        return
        [
            (double)agree / before.Length,
            Correlation.Pearson(before, after), // NaN where a side does not vary
            Correlation.Spearman(before, after),
            xx > 0 ? xy / xx : double.NaN,
            before.Average(Math.Abs),
            after.Average(Math.Abs),
            after.Average(Math.Abs) - before.Average(Math.Abs),
        ];
    }

    private double[] Draw(long seed, ulong stream, int resample)
    {
        SplitMix64 generator = SplitMix64.For(seed, stream, resample);
        var times = new double[Persons];
        foreach (int[] stratum in _strata)
        {
            for (int i = 0; i < stratum.Length; i++)
                times[stratum[generator.Below(stratum.Length)]]++;
        }

        return [.. _person.Select(person => times[person])];
    }

    private static void Mean(float[] values, int width, int[] images, ReadOnlySpan<double> weights, double[] mean)
    {
        Array.Clear(mean);
        double total = 0;
        foreach (int image in images)
        {
            double weight = weights[image];
            if (weight == 0)
                continue;
            total += weight;
            ReadOnlySpan<float> row = values.AsSpan(image * width, width);
            for (int i = 0; i < width; i++)
                mean[i] += weight * row[i];
        }

        for (int i = 0; i < width; i++)
            mean[i] /= total;
    }
}

/// <summary>A comparison with what it is put together with others from.</summary>
/// <param name="Result">What is reported.</param>
/// <param name="Values">The numbers over concepts, as <see cref="DriftStudy.Statistics"/> names them.</param>
/// <param name="Draws">The same in each bootstrap draw; a draw of one number takes the same persons in every comparison of a probe.</param>
internal sealed record MeasuredDrift(DriftMeasureResult Result, double[] Values, double[][] Draws);

/// <summary>The associations of all concepts where each image counts as often as its weight says.</summary>
/// <param name="weights">[images].</param>
internal delegate double[] Association(double[] weights);
