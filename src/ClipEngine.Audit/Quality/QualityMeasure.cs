using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Quality;

/// <summary>
/// Zero-shot accuracy and image-text retrieval from features, by group, with intervals: what a change of bias is paid with. Scores are dot
/// products in double precision; of equal scores the earlier candidate comes first, as a stable sort would have it.
/// </summary>
internal static class QualityMeasure
{
    private static readonly int[] s_top = [1, 5];
    private static readonly int[] s_recall = [1, 5, 10];

    /// <summary>
    /// Class vectors of several sentences each, as open_clip builds its zero-shot classifier: sentence features of length 1, their mean by class,
    /// scaled to length 1.
    /// </summary>
    /// <param name="texts">[sentences, width], rows of length 1.</param>
    /// <param name="width">Length of a feature.</param>
    /// <param name="classes">The class of each sentence.</param>
    /// <param name="names">The classes in their order.</param>
    public static double[] Classifier(float[] texts, int width, IReadOnlyList<string> classes, IReadOnlyList<string> names)
    {
        var vectors = new double[names.Count * width];
        for (int name = 0; name < names.Count; name++)
        {
            Span<double> vector = vectors.AsSpan(name * width, width);
            for (int row = 0; row < classes.Count; row++)
            {
                if (classes[row] != names[name])
                    continue;
                for (int i = 0; i < width; i++)
                    vector[i] += texts[(row * width) + i];
            }

            double square = 0;
            foreach (double value in vector)
                square += value * value;
            foreach (ref double value in vector)
                value /= Math.Sqrt(square);
        }

        return vectors;
    }

    /// <summary>Top-1 and top-5 accuracy over all images, by class and by group.</summary>
    /// <param name="images">[images, width].</param>
    /// <param name="width">Length of a feature.</param>
    /// <param name="vectors">[classes, width].</param>
    /// <param name="names">The classes.</param>
    /// <param name="truth">The class of each image.</param>
    /// <param name="groups">The group of each image.</param>
    /// <param name="persons">Whom each image shows.</param>
    /// <param name="level">The intervals' level.</param>
    public static QualityResult Accuracy(float[] images, int width, double[] vectors, IReadOnlyList<string> names, IReadOnlyList<string> truth, IReadOnlyList<string> groups, IReadOnlyList<string> persons, double level)
    {
        int count = truth.Count;
        Dictionary<string, int> index = names.Select((name, number) => (name, number)).ToDictionary(entry => entry.name, entry => entry.number);
        var ranks = new int[count];
        Parallel.For(0, count, image =>
        {
            var scores = new double[names.Count];
            for (int name = 0; name < scores.Length; name++)
                scores[name] = Dot(images.AsSpan(image * width, width), vectors.AsSpan(name * width, width));
            ranks[image] = Rank(scores, index[truth[image]]);
        });
        var rates = new List<QualityRate>();
        var gaps = new List<QualityGap>();
        foreach (int top in s_top.Where(top => top < names.Count))
        {
            double[] hits = [.. ranks.Select(rank => rank < top ? 1.0 : 0.0)];
            Split($"top-{top}", hits, groups, persons, level, rates, gaps);
            foreach (string name in names)
                rates.Add(new QualityRate($"top-{top}", "class", name, ClusteredRate.Of(hits, persons, Where(truth, name), level)));
        }

        return new QualityResult("accuracy", count, rates, gaps);
    }

    /// <summary>
    /// Recall at 1, 5 and 10 in both directions. Image to text: the share of images of which any own sentence is among the first k sentences. Text to
    /// image: the share of sentences whose image is among the first k images. A sentence belongs to the group and the person of its image.
    /// </summary>
    /// <param name="images">[images, width].</param>
    /// <param name="texts">[sentences, width].</param>
    /// <param name="width">Length of a feature.</param>
    /// <param name="imageOfText">The image of each sentence; several may have the same.</param>
    /// <param name="groups">The group of each image.</param>
    /// <param name="persons">Whom each image shows.</param>
    /// <param name="level">The intervals' level.</param>
    public static QualityResult Retrieval(float[] images, float[] texts, int width, IReadOnlyList<int> imageOfText, IReadOnlyList<string> groups, IReadOnlyList<string> persons, double level)
    {
        int imageCount = groups.Count, textCount = imageOfText.Count;
        ILookup<int, int> textsOfImage = Enumerable.Range(0, textCount).ToLookup(text => imageOfText[text]);
        var imageRanks = new int[imageCount];
        var textRanks = new int[textCount];
        Parallel.For(0, imageCount, image =>
        {
            var scores = new double[textCount];
            for (int text = 0; text < textCount; text++)
                scores[text] = Dot(images.AsSpan(image * width, width), texts.AsSpan(text * width, width));
            imageRanks[image] = textsOfImage[image].Select(text => Rank(scores, text)).DefaultIfEmpty(int.MaxValue).Min();
        });
        Parallel.For(0, textCount, text =>
        {
            var scores = new double[imageCount];
            for (int image = 0; image < imageCount; image++)
                scores[image] = Dot(images.AsSpan(image * width, width), texts.AsSpan(text * width, width));
            textRanks[text] = Rank(scores, imageOfText[text]);
        });
        string[] textGroups = [.. imageOfText.Select(image => groups[image])], textPersons = [.. imageOfText.Select(image => persons[image])];
        int[] withText = [.. Enumerable.Range(0, imageCount).Where(image => textsOfImage[image].Any())];
        var rates = new List<QualityRate>();
        var gaps = new List<QualityGap>();
        foreach (int k in s_recall)
        {
            Split($"image to text, recall@{k}", [.. withText.Select(image => imageRanks[image] < k ? 1.0 : 0.0)], [.. withText.Select(image => groups[image])], [.. withText.Select(image => persons[image])], level, rates, gaps);
            Split($"text to image, recall@{k}", [.. textRanks.Select(rank => rank < k ? 1.0 : 0.0)], textGroups, textPersons, level, rates, gaps);
        }

        return new QualityResult("retrieval", imageCount, rates, gaps);
    }

    /// <summary>How many candidates come before one: those with a higher score, and earlier ones with the same.</summary>
    internal static int Rank(ReadOnlySpan<double> scores, int own)
    {
        int before = 0;
        for (int i = 0; i < scores.Length; i++)
            before += scores[i] > scores[own] || (scores[i] == scores[own] && i < own) ? 1 : 0;
        return before;
    }

    private static void Split(string measure, double[] hits, IReadOnlyList<string> groups, IReadOnlyList<string> persons, double level, List<QualityRate> rates, List<QualityGap> gaps)
    {
        rates.Add(new QualityRate(measure, "", "", ClusteredRate.Of(hits, persons, [.. Enumerable.Range(0, hits.Length)], level)));
        string[] names = [.. groups.Distinct().Order(StringComparer.Ordinal)];
        // One group is all images over again.
        if (names.Length == 1)
            return;
        int[][] members = [.. names.Select(name => Where(groups, name))];
        for (int group = 0; group < names.Length; group++)
        {
            rates.Add(new QualityRate(measure, "group", names[group], ClusteredRate.Of(hits, persons, members[group], level)));
            for (int other = 0; other < group; other++)
                gaps.Add(new QualityGap(measure, names[other], names[group], ClusteredRate.Gap(hits, persons, members[other], members[group], level)));
        }
    }

    private static int[] Where(IReadOnlyList<string> values, string value) => [.. Enumerable.Range(0, values.Count).Where(i => values[i] == value)];

    private static double Dot(ReadOnlySpan<float> image, ReadOnlySpan<double> vector)
    {
        double sum = 0;
        for (int i = 0; i < image.Length; i++)
            sum += image[i] * vector[i];
        return sum;
    }

    private static double Dot(ReadOnlySpan<float> image, ReadOnlySpan<float> text)
    {
        double sum = 0;
        for (int i = 0; i < image.Length; i++)
            sum += (double)image[i] * text[i];
        return sum;
    }
}
