namespace ClipEngine;

/// <summary>Zero-shot classification of several images.</summary>
/// <param name="Labels">The labels, as given.</param>
/// <param name="Probabilities"><c>[images, labels]</c>, row-major. A softmax over the labels; for a model with a logit bias a sigmoid for each label by itself.</param>
public sealed record Classification(IReadOnlyList<string> Labels, double[] Probabilities)
{
    /// <summary>How many images.</summary>
    public int Count => Probabilities.Length / Labels.Count;

    /// <summary>The probabilities of one image, in the order of <see cref="Labels"/>.</summary>
    /// <param name="image">In <c>[0, Count)</c>.</param>
    public ReadOnlySpan<double> this[int image] => Probabilities.AsSpan(image * Labels.Count, Labels.Count);

    /// <summary>The index of the most probable label, the first of several.</summary>
    /// <param name="image">In <c>[0, Count)</c>.</param>
    public int Best(int image)
    {
        ReadOnlySpan<double> row = this[image];
        int best = 0;
        for (int label = 1; label < row.Length; label++)
        {
            if (row[label] > row[best])
                best = label;
        }

        return best;
    }
}
