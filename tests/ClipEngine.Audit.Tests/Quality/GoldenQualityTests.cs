using ClipEngine.Audit.Probes;
using ClipEngine.Audit.Quality;
using ClipEngine.Audit.Results;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Quality;

/// <summary>
/// Accuracy and recall on features that the original libraries computed: the goldens of families and towers, those of one width stacked. Of a golden's
/// sentences the j-th belongs to its image j modulo its images; two sentences in a row are the templates of a class, and the i-th image is of class i modulo the classes.
/// </summary>
public class GoldenQualityTests
{
    /// <summary>What numpy has for the same stacks (float64, argsort of the negative scores, stable), to the last digit; and a plain computation here.</summary>
    [SkippableTheory]
    [InlineData(24, 33, 61, 0.030303030303030304, 0.09090909090909091, 0.0, 0.030303030303030304, 0.09090909090909091, 0.01639344262295082, 0.01639344262295082, 0.22950819672131148)]
    [InlineData(32, 31, 59, 0.06451612903225806, 0.22580645161290322, 0.06451612903225806, 0.12903225806451613, 0.2903225806451613, 0.05084745762711865, 0.2033898305084746, 0.3050847457627119)]
    [InlineData(40, 15, 29, 0.0, 0.3333333333333333, 0.0, 0.26666666666666666, 0.5333333333333333, 0.06896551724137931, 0.3448275862068966, 0.6206896551724138)]
    [InlineData(48, 17, 32, 0.058823529411764705, 0.4117647058823529, 0.058823529411764705, 0.35294117647058826, 0.47058823529411764, 0.0625, 0.25, 0.53125)]
    [InlineData(512, 10, 20, 0.1, 0.4, 0.0, 0.4, 0.6, 0.05, 0.45, 1.0)]
    [InlineData(768, 6, 12, 0.16666666666666666, 1.0, 0.16666666666666666, 0.5, 1.0, 0.3333333333333333, 0.8333333333333334, 1.0)]
    public void AccuracyAndRecallEqualNumpyToTheLastDigit(int width, int imageCount, int textCount, params double[] expected)
    {
        (float[] images, float[] texts, int[] imageOfText) = Stack(width);
        Assert.Equal((imageCount, textCount), (images.Length / width, imageOfText.Length));
        int classes = textCount / 2;
        double[] plain = [.. Accuracy(images, texts, width, classes), .. Recall(images, texts, width, imageOfText)];
        Assert.Equal(expected, plain);

        // The same through files, as 'audit accuracy' and 'audit retrieval' have them.
        using var folder = new TemporaryFolder();
        NpyFile.Write<float>(folder.File("i.npy"), images, imageCount, width);
        NpyFile.Write<float>(folder.File("t.npy"), texts, textCount, width);
        NpyFile.Write<float>(folder.File("c.npy"), texts[..(2 * classes * width)], 2 * classes, width);
        File.WriteAllLines(folder.File("m.csv"), Enumerable.Range(0, imageCount).Select(i => $"{i},{(i % 3 == 0 ? "a" : "b")},class {i % classes}").Prepend("id,group,class"));
        File.WriteAllLines(folder.File("classes.csv"), Enumerable.Range(0, 2 * classes).Select(j => $"class {j / 2}").Prepend("class"));
        File.WriteAllLines(folder.File("captions.csv"), imageOfText.Select(image => $"{image}").Prepend("image"));
        QualityInputs inputs = new() { ImageFeatures = folder.File("i.npy"), TextFeatures = folder.File("t.npy"), Metadata = folder.File("m.csv"), Columns = new ProbeColumns { Group = ["group"] } };
        QualityResult accuracy = QualityRun.Accuracy(inputs with { TextFeatures = folder.File("c.npy") }, folder.File("classes.csv"), "class", "class", folder.File("accuracy"));
        QualityResult retrieval = QualityRun.Retrieval(inputs, folder.File("captions.csv"), "image", folder.File("retrieval"));
        double All(QualityResult result, string measure) => result.Rates.Single(rate => rate.Measure == measure && rate.Part.Length == 0).Rate.Value!.Value;
        double[] measured =
        [
            All(accuracy, "top-1"), All(accuracy, "top-5"), .. new[] { 1, 5, 10 }.Select(k => All(retrieval, $"image to text, recall@{k}")), .. new[] { 1, 5, 10 }.Select(k => All(retrieval, $"text to image, recall@{k}")),
        ];
        Assert.Equal(expected, measured);
        // A group's and a class's rates are the hits among its own.
        foreach (string group in new[] { "a", "b" })
        {
            int[] own = [.. Enumerable.Range(0, imageCount).Where(i => (i % 3 == 0 ? "a" : "b") == group)];
            Assert.Equal(own.Average(i => IsRight(images, texts, width, classes, i, 1) ? 1.0 : 0), accuracy.Rates.Single(rate => rate.Measure == "top-1" && rate.Part == "group" && rate.Name == group).Rate.Value!.Value, 14);
        }

        Assert.Equal(Enumerable.Range(0, imageCount).Where(i => i % classes == 1).Average(i => IsRight(images, texts, width, classes, i, 5) ? 1.0 : 0), accuracy.Rates.Single(rate => rate is { Measure: "top-5", Part: "class", Name: "class 1" }).Rate.Value!.Value, 14);
    }

    private static double[] Accuracy(float[] images, float[] texts, int width, int classes) =>
        [.. new[] { 1, 5 }.Select(k => (double)Enumerable.Range(0, images.Length / width).Count(i => IsRight(images, texts, width, classes, i, k)) / (images.Length / width))];

    private static bool IsRight(float[] images, float[] texts, int width, int classes, int image, int top)
    {
        double Score(int c)
        {
            double[] mean = [.. Enumerable.Range(0, width).Select(j => ((double)texts[(2 * c * width) + j] + texts[(((2 * c) + 1) * width) + j]) / 2)];
            double length = Math.Sqrt(mean.Sum(value => value * value));
            return mean.Select((value, j) => value / length * images[(image * width) + j]).Sum();
        }

        return Enumerable.Range(0, classes).OrderByDescending(Score).Take(top).Contains(image % classes);
    }

    private static double[] Recall(float[] images, float[] texts, int width, int[] imageOfText)
    {
        int imageCount = images.Length / width;
        double Score(int image, int text) => Enumerable.Range(0, width).Sum(j => (double)images[(image * width) + j] * texts[(text * width) + j]);
        int[][] textsOf = [.. Enumerable.Range(0, imageCount).Select(image => Enumerable.Range(0, imageOfText.Length).OrderByDescending(text => Score(image, text)).ToArray())];
        int[][] imagesOf = [.. Enumerable.Range(0, imageOfText.Length).Select(text => Enumerable.Range(0, imageCount).OrderByDescending(image => Score(image, text)).ToArray())];
        return
        [
            .. new[] { 1, 5, 10 }.Select(k => (double)Enumerable.Range(0, imageCount).Count(image => textsOf[image].Take(k).Any(text => imageOfText[text] == image)) / imageCount),
            .. new[] { 1, 5, 10 }.Select(k => (double)Enumerable.Range(0, imageOfText.Length).Count(text => imagesOf[text].Take(k).Contains(imageOfText[text])) / imageOfText.Length),
        ];
    }

    private static (float[] Images, float[] Texts, int[] ImageOfText) Stack(int width)
    {
        string[] files =
        [
            .. new[] { "families", "towers" }.SelectMany(kind => Directory.GetDirectories(TestData.SharedPath("goldens", kind)).Select(folder => Path.Combine(folder, "golden.safetensors")).Where(File.Exists)),
            .. Directory.GetFiles(TestData.SharedPath("goldens", "towers-full"), "*.golden.safetensors"),
        ];
        var images = new List<float>();
        var texts = new List<float>();
        var imageOfText = new List<int>();
        foreach (string path in files.Order(StringComparer.Ordinal))
        {
            using SafetensorsFile file = SafetensorsFile.Open(path);
            if (!file.Tensors.TryGetValue("image_features_normalized", out StoredTensor tensor) || tensor.Dimensions[^1] != width)
                continue;
            int before = images.Count / width, own = (int)tensor.Dimensions[0];
            images.AddRange(file.ReadSingles("image_features_normalized"));
            texts.AddRange(file.ReadSingles("text_features_normalized"));
            for (int text = 0; text < file.Tensors["text_features_normalized"].Dimensions[0]; text++)
                imageOfText.Add(before + (text % own));
        }

        return ([.. images], [.. texts], [.. imageOfText]);
    }
}
