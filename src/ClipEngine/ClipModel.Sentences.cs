using ClipEngine.Tensors;
using ClipEngine.Tokenization;

namespace ClipEngine;

/// <content>Sentences, and labels made of them.</content>
public sealed partial class ClipModel
{
    /// <summary>Encodes sentences.</summary>
    /// <param name="texts">Any number of them.</param>
    /// <param name="normalize">Scale each feature to length 1.</param>
    /// <param name="progress">Told after each batch.</param>
    /// <param name="cancellationToken">Looked at before each batch.</param>
    /// <returns>One row for each sentence, in their order; <see cref="FeatureMatrix.Truncated"/> names those that had to be cut.</returns>
    /// <exception cref="BadInputException">The model needs a tokenizer that is not built.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public FeatureMatrix EncodeTexts(IReadOnlyList<string> texts, bool normalize = true, IProgress<EncodeProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ITokenizer tokenizer = Tokenizer;
        int length = tokenizer.ContextLength, batch = TextBatchSize;
        Shape shape = Encoder.TextFeatureShape(texts.Count, length);
        float[] values = new float[shape.ElementCount];
        int rowLength = texts.Count == 0 ? 0 : values.Length / texts.Count;
        int[] ids = new int[batch * length];
        var truncated = new List<int>();
        for (int start = 0; start < texts.Count; start += batch)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int n = Math.Min(batch, texts.Count - start);
            for (int i = 0; i < n; i++)
            {
                if (tokenizer.Encode(texts[start + i], ids.AsSpan(i * length, length)).IsTruncated)
                    truncated.Add(start + i);
            }

            EncodeTokens(ids.AsSpan(0, n * length), length, values.AsSpan(start * rowLength, n * rowLength), normalize);
            progress?.Report(new EncodeProgress(start + n, texts.Count));
        }

        return new FeatureMatrix(values, shape, truncated);
    }

    /// <summary>
    /// The labels' features for zero-shot classification: each is the mean of its prompts' normalised features, normalised
    /// again (arXiv:2103.00020, section 3.1.4).
    /// </summary>
    /// <param name="labels">At least one.</param>
    /// <param name="templates">Prompts with <c>{}</c> where the label goes; none means the label itself.</param>
    /// <param name="cancellationToken">Looked at before each batch.</param>
    /// <returns>One row of length 1 for each label.</returns>
    /// <exception cref="BadInputException">No label, or a template without <c>{}</c>.</exception>
    public FeatureMatrix EncodeLabels(IReadOnlyList<string> labels, IReadOnlyList<string>? templates = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(labels);
        if (labels.Count == 0)
            throw new BadInputException("labels", "expected at least one label, found none.");
        if (templates is null || templates.Count == 0)
            return EncodeTexts(labels, cancellationToken: cancellationToken);
        foreach (string template in templates)
        {
            if (!template.Contains("{}", StringComparison.Ordinal))
                throw new BadInputException("template", $"expected {{}} where the label goes, found '{BadInputException.Escape(template)}'.", "Write for instance 'a photo of a {}.'");
        }

        string[] prompts = [.. labels.SelectMany(_ => templates, (label, template) => template.Replace("{}", label, StringComparison.Ordinal))];
        FeatureMatrix features = EncodeTexts(prompts, cancellationToken: cancellationToken);
        float[] means = new float[labels.Count * features.Length];
        double[] sum = new double[features.Length];
        for (int label = 0; label < labels.Count; label++)
        {
            Array.Clear(sum);
            for (int prompt = 0; prompt < templates.Count; prompt++)
            {
                ReadOnlySpan<float> row = features[(label * templates.Count) + prompt];
                for (int i = 0; i < row.Length; i++)
                    sum[i] += row[i];
            }

            double length = Math.Sqrt(sum.Sum(value => value * value));
            for (int i = 0; i < sum.Length; i++)
                means[(label * sum.Length) + i] = (float)(sum[i] / length);
        }

        return new FeatureMatrix(means, new Shape(labels.Count, features.Length), [.. features.Truncated.Select(prompt => prompt / templates.Count).Distinct()]);
    }

    /// <summary>Zero-shot probabilities of features that are already there.</summary>
    /// <param name="images">Normalised image features <c>[images, EmbedDimension]</c>.</param>
    /// <param name="labels">The labels' names.</param>
    /// <param name="labelFeatures">As <see cref="EncodeLabels"/> makes them.</param>
    public Classification Classify(FeatureMatrix images, IReadOnlyList<string> labels, FeatureMatrix labelFeatures)
    {
        ArgumentNullException.ThrowIfNull(images);
        ArgumentNullException.ThrowIfNull(labels);
        ArgumentNullException.ThrowIfNull(labelFeatures);
        if (labels.Count != labelFeatures.Count || (images.Count > 0 && images.Length != labelFeatures.Length))
            throw new ArgumentException($"expected {labels.Count} rows of {images.Length}, found {labelFeatures.Shape}.", nameof(labelFeatures));
        double[] probabilities = new double[images.Count * labels.Count];
        for (int image = 0; image < images.Count; image++)
        {
            Span<double> row = probabilities.AsSpan(image * labels.Count, labels.Count);
            for (int label = 0; label < labels.Count; label++)
                row[label] = (Encoder.LogitScale * Dot(images[image], labelFeatures[label])) + (Encoder.LogitBias ?? 0);
            if (Encoder.LogitBias is null)
                Softmax(row);
            else
                Sigmoid(row);
        }

        return new Classification(labels, probabilities);
    }

    private static double Dot(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        double sum = 0;
        for (int i = 0; i < left.Length; i++)
            sum += (double)left[i] * right[i];
        return sum;
    }

    private static void Softmax(Span<double> logits)
    {
        double largest = double.NegativeInfinity, sum = 0;
        foreach (double logit in logits)
            largest = Math.Max(largest, logit);
        foreach (ref double logit in logits)
            sum += logit = Math.Exp(logit - largest);
        foreach (ref double logit in logits)
            logit /= sum;
    }

    private static void Sigmoid(Span<double> logits)
    {
        foreach (ref double logit in logits)
            logit = 1 / (1 + Math.Exp(-logit));
    }
}
