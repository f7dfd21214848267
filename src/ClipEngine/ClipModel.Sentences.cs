using ClipEngine.Imaging;
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
        ObjectDisposedException.ThrowIf(_handle.Calls.IsClosed, this);
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

            Span<float> rows = values.AsSpan(start * rowLength, n * rowLength);
            RunTokens(ids.AsSpan(0, n * length), length, rows, normalize, cancellationToken);
            if (RowNotFinite(rows, n) is { } row)
                throw NotFinite($"sentence {start + row + 1} ('{BadInputException.Escape(texts[start + row], 80)}')");
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
        string[] prompts = LabelPrompts(labels, templates);
        return MeansOfPrompts(EncodeTexts(prompts, cancellationToken: cancellationToken), templates);
    }

    /// <summary>The sentences that stand for labels: all of the first label's, then all of the second's, and so on.</summary>
    internal static string[] LabelPrompts(IReadOnlyList<string> labels, IReadOnlyList<string>? templates)
    {
        if (labels.Count == 0)
            throw new BadInputException("labels", "expected at least one label, found none.");
        if (templates is null || templates.Count == 0)
            return [.. labels];
        foreach (string template in templates)
        {
            if (!template.Contains("{}", StringComparison.Ordinal))
                throw new BadInputException("template", $"expected {{}} where the label goes, found '{BadInputException.Escape(template)}'.", "Write for instance 'a photo of a {}.'");
        }

        return [.. labels.SelectMany(_ => templates, (label, template) => template.Replace("{}", label, StringComparison.Ordinal))];
    }

    /// <summary>The labels' features out of those of their prompts, normalised; without templates they are the same.</summary>
    internal static FeatureMatrix MeansOfPrompts(FeatureMatrix features, IReadOnlyList<string>? templates)
    {
        if (templates is null || templates.Count == 0)
            return features;
        int promptsOfLabel = templates.Count, labels = features.Count / promptsOfLabel;
        float[] means = new float[labels * features.Length];
        double[] sum = new double[features.Length];
        for (int label = 0; label < labels; label++)
        {
            Array.Clear(sum);
            for (int prompt = 0; prompt < promptsOfLabel; prompt++)
            {
                ReadOnlySpan<float> row = features[(label * promptsOfLabel) + prompt];
                for (int i = 0; i < row.Length; i++)
                    sum[i] += row[i];
            }

            double length = Math.Sqrt(sum.Sum(value => value * value));
            for (int i = 0; i < sum.Length; i++)
                means[(label * sum.Length) + i] = (float)(sum[i] / length);
        }

        return new FeatureMatrix(means, new Shape(labels, features.Length), [.. features.Truncated.Select(prompt => prompt / promptsOfLabel).Distinct()]);
    }

    /// <summary>Encodes labels once, to compare any number of images with them.</summary>
    /// <param name="labels">At least one.</param>
    /// <param name="templates">Prompts with <c>{}</c> where the label goes; none means the label itself. Several are averaged.</param>
    /// <param name="cancellationToken">Looked at before each batch.</param>
    /// <exception cref="BadInputException">No label, or a template without <c>{}</c>.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public ZeroShotClassifier CreateClassifier(IReadOnlyList<string> labels, IReadOnlyList<string>? templates = null, CancellationToken cancellationToken = default) =>
        new(this, labels, EncodeLabels(labels, templates, cancellationToken));

    /// <summary>Zero-shot classification of image files; <see cref="CreateClassifier"/> spares encoding the labels again and again.</summary>
    /// <param name="files">Image files.</param>
    /// <param name="labels">At least one.</param>
    /// <param name="templates">Prompts with <c>{}</c> where the label goes; none means the label itself. Several are averaged.</param>
    /// <param name="cancellationToken">Looked at before each image and batch.</param>
    /// <exception cref="BadInputException">A file is no image, no label is given, or a template has no <c>{}</c>.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Classification Classify(IReadOnlyList<string> files, IReadOnlyList<string> labels, IReadOnlyList<string>? templates = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(files);
        return Classify([.. files.Select(ImageInput.FromFile)], labels, templates, cancellationToken);
    }

    /// <summary>Zero-shot classification of images from anywhere.</summary>
    /// <param name="images">Files, bytes, streams, pixels.</param>
    /// <param name="labels">At least one.</param>
    /// <param name="templates">Prompts with <c>{}</c> where the label goes; none means the label itself. Several are averaged.</param>
    /// <param name="cancellationToken">Looked at before each image and batch.</param>
    /// <exception cref="BadInputException">One is no image, no label is given, or a template has no <c>{}</c>.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Classification Classify(IReadOnlyList<ImageInput> images, IReadOnlyList<string> labels, IReadOnlyList<string>? templates = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(images);
        using ZeroShotClassifier classifier = CreateClassifier(labels, templates, cancellationToken);
        return classifier.Classify(images, cancellationToken);
    }

    /// <summary>Zero-shot classification of features that are there already.</summary>
    /// <param name="images">Normalised image features <c>[images, EmbedDimension]</c>.</param>
    /// <param name="labels">The labels' names.</param>
    /// <param name="labelFeatures">As <see cref="EncodeLabels"/> makes them.</param>
    /// <param name="cancellationToken">Looked at between batches.</param>
    /// <exception cref="ArgumentException">The numbers or lengths do not fit each other.</exception>
    /// <exception cref="BadInputException">A feature is not finite, or all of a row's are zero.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Classification Classify(FeatureMatrix images, IReadOnlyList<string> labels, FeatureMatrix labelFeatures, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(images);
        ArgumentNullException.ThrowIfNull(labels);
        ArgumentNullException.ThrowIfNull(labelFeatures);
        using var classifier = new ZeroShotClassifier(this, labels, labelFeatures);
        return classifier.Classify(images, cancellationToken);
    }
}
