using System.Collections;

namespace ClipEngine;

/// <summary>A label and how probable it is.</summary>
/// <param name="Label">The label, as given.</param>
/// <param name="Probability">0 to 1.</param>
public readonly record struct LabelProbability(string Label, float Probability);

/// <summary>Zero-shot classification of several images: one answer for each, in their order.</summary>
/// <example><code>
/// Classification answer = model.Classify(["cat.jpg", "dog.jpg"], ["cat", "dog"], ["a photo of a {}."]);
/// Console.WriteLine($"{answer[0].Label} {answer[0].Probability}");   // the best label of cat.jpg
/// foreach ((string label, float probability) in answer[1])           // all labels of dog.jpg, the most probable first
///     Console.WriteLine($"{label} {probability}");
/// </code></example>
public sealed class Classification : IReadOnlyList<ImageClassification>
{
    private readonly float[] _probabilities;

    /// <summary>Wraps probabilities; they are not copied.</summary>
    /// <param name="labels">At least one.</param>
    /// <param name="probabilities"><c>[images, labels]</c>, row-major.</param>
    /// <exception cref="ArgumentException">No label, or the numbers do not fit each other.</exception>
    public Classification(IReadOnlyList<string> labels, float[] probabilities)
    {
        ArgumentNullException.ThrowIfNull(labels);
        ArgumentNullException.ThrowIfNull(probabilities);
        if (labels.Count == 0 || probabilities.Length % labels.Count != 0)
            throw new ArgumentException($"{probabilities.Length} probabilities do not make rows of {labels.Count} labels.", nameof(probabilities));
        Labels = labels;
        _probabilities = probabilities;
    }

    /// <summary>The labels, as given.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <summary>
    /// <c>[images, labels]</c>, row-major, in the order of <see cref="Labels"/>. A softmax over the labels; for a model with a logit bias a
    /// sigmoid for each label by itself.
    /// </summary>
    public ReadOnlySpan<float> Probabilities => _probabilities;

    /// <summary>How many images.</summary>
    public int Count => _probabilities.Length / Labels.Count;

    /// <summary>The answer for one image.</summary>
    /// <param name="image">In <c>[0, Count)</c>.</param>
    public ImageClassification this[int image]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(image);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(image, Count);
            return new ImageClassification(Labels, _probabilities.AsMemory(image * Labels.Count, Labels.Count));
        }
    }

    /// <inheritdoc/>
    public IEnumerator<ImageClassification> GetEnumerator()
    {
        for (int image = 0; image < Count; image++)
            yield return this[image];
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

/// <summary>How probable each label is for one image; as a list, the most probable label comes first, and the earlier of equal ones.</summary>
public sealed class ImageClassification : IReadOnlyList<LabelProbability>
{
    private readonly ReadOnlyMemory<float> _probabilities;
    private int[]? _ranking;

    internal ImageClassification(IReadOnlyList<string> labels, ReadOnlyMemory<float> probabilities)
    {
        Labels = labels;
        _probabilities = probabilities;
        ReadOnlySpan<float> row = probabilities.Span;
        for (int label = 1; label < row.Length; label++)
        {
            if (row[label] > row[BestIndex])
                BestIndex = label;
        }
    }

    /// <summary>The labels, as given.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <summary>The probabilities in the order of <see cref="Labels"/>.</summary>
    public ReadOnlySpan<float> Probabilities => _probabilities.Span;

    /// <summary>Where the most probable label stands in <see cref="Labels"/>; of equal ones the first.</summary>
    public int BestIndex { get; }

    /// <summary>The most probable label.</summary>
    public string Label => Labels[BestIndex];

    /// <summary>Its probability.</summary>
    public float Probability => _probabilities.Span[BestIndex];

    /// <summary>How many labels.</summary>
    public int Count => _probabilities.Length;

    /// <summary>A label by its rank, 0 being the most probable.</summary>
    /// <param name="rank">In <c>[0, Count)</c>.</param>
    public LabelProbability this[int rank]
    {
        get
        {
            int label = Ranking()[rank];
            return new LabelProbability(Labels[label], _probabilities.Span[label]);
        }
    }

    /// <inheritdoc/>
    public IEnumerator<LabelProbability> GetEnumerator()
    {
        for (int rank = 0; rank < Count; rank++)
            yield return this[rank];
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private int[] Ranking() => _ranking ??= [.. Enumerable.Range(0, Count).OrderByDescending(label => _probabilities.Span[label])];
}
