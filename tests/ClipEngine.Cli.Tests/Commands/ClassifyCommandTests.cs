using System.Globalization;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

/// <summary>The verb on a shipped model, against the features that PyTorch computed of it (tools/make-demo.py).</summary>
public sealed class ClassifyCommandTests : IDisposable
{
    private const int Width = 16;
    private static readonly string Model = Path.Combine(DemoCommand.Data, "models", "small");
    private static readonly string[] Images = [.. File.ReadLines(Path.Combine(DemoCommand.Data, "probe", "manifest.csv")).Skip(1).Take(7).Select(line => Path.Combine(DemoCommand.Data, "probe", line.Split(',')[0]))];
    private static readonly string[] Labels = ["drum", "basket", "kettle", "ladder", "candle"];
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task ProbabilitiesAreTheSoftmaxOfTheMeanPromptsOfEachLabel()
    {
        string[] templates = ["a photo of a {}", "a picture of a {}", "this is a {}"];
        File.WriteAllLines(_folder.File("images.txt"), Images);
        File.WriteAllLines(_folder.File("labels.txt"), Labels);
        ProcessOutcome outcome = await CommandLine.RunAsync(["classify", "--model", Model, "--file", _folder.File("images.txt"), "--labels", _folder.File("labels.txt"), .. templates.SelectMany(template => new[] { "--template", template }), "--json"]);
        Assert.True(outcome.ExitCode == 0, outcome.ToString());

        double[][] expected = Expected(templates);
        string[] lines = outcome.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(Images.Length, lines.Length);
        for (int image = 0; image < lines.Length; image++)
        {
            using JsonDocument line = JsonDocument.Parse(lines[image]);
            Assert.Equal(Images[image], line.RootElement.GetProperty("image").GetString());
            JsonProperty[] probabilities = [.. line.RootElement.GetProperty("probabilities").EnumerateObject()];
            Assert.Equal(Labels, probabilities.Select(probability => probability.Name));
            for (int label = 0; label < Labels.Length; label++)
                Assert.Equal(expected[image][label], probabilities[label].Value.GetDouble(), 1e-3);
            Assert.Equal(probabilities.MaxBy(probability => probability.Value.GetDouble()).Name, line.RootElement.GetProperty("label").GetString());
        }
    }

    [Fact]
    public async Task WithoutJsonALineNamesTheImageAndItsBestLabels()
    {
        ProcessOutcome outcome = await CommandLine.RunAsync(["classify", "--model", Model, .. Images, "--labels", string.Join(',', Labels) + ",anchor"]);
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        string[] lines = outcome.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(Images, lines.Select(line => line.Split('\t')[0]));
        foreach (string line in lines)
        {
            double[] shown = [.. line.Split('\t').Skip(1).Select(cell => double.Parse(cell.Split(' ')[^1], CultureInfo.InvariantCulture))];
            Assert.Equal(5, shown.Length);
            Assert.Equal(shown.OrderDescending(), shown);
        }
    }

    [Fact]
    public async Task ALabelThatIsCutIsReported()
    {
        string tooLong = string.Join(' ', Enumerable.Repeat("drum", 200));
        ProcessOutcome outcome = await CommandLine.RunAsync("classify", "--model", Model, Images[0], "--labels", "basket," + tooLong, "--template", "a {}", "--template", "the {}");
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        Assert.Contains("1 of the labels did not fit 77 ids", outcome.Error);
        Assert.Contains("number 2", outcome.Error);
    }

    [Theory]
    [InlineData("absent", "basket,drum", "absent")]
    [InlineData(null, "drum,basket,drum", "'drum' is there twice")]
    [InlineData(null, ",", "is empty")]
    public async Task BadInputIsNamed(string? model, string labels, string named)
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("classify", "--model", model is null ? Model : _folder.File(model), Images[0], "--labels", labels);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains(named, outcome.Error);
        Assert.Empty(outcome.Output);
    }

    /// <summary>Softmax of the checkpoint's scale times the cosines, in double: prompts are normalised, averaged and normalised again.</summary>
    private static double[][] Expected(string[] templates)
    {
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("demo", "small.safetensors")), weights = Checkpoint.Open(Model);
        string[] captions = JsonSerializer.Deserialize<string[]>(File.ReadAllText(TestData.Path("demo", "captions.json")))!;
        double scale = Math.Exp(weights.ReadSingles("logit_scale")[0]);
        float[] texts = golden.ReadSingles("text_features"), images = golden.ReadSingles("image_features");
        double[][] labels = [.. Labels.Select(label => Unit([.. templates
            .Select(template => Unit(Row(texts, Array.IndexOf(captions, template.Replace("{}", label, StringComparison.Ordinal)))))
            .Aggregate((left, right) => [.. left.Zip(right, (a, b) => a + b)])]))];
        return [.. Enumerable.Range(0, Images.Length).Select(image => Softmax([.. labels.Select(label => scale * label.Zip(Unit(Row(images, image)), (a, b) => a * b).Sum())]))];
    }

    private static double[] Row(float[] values, int row) => [.. values.Skip(row * Width).Take(Width).Select(value => (double)value)];

    private static double[] Unit(double[] values)
    {
        double length = Math.Sqrt(values.Sum(value => value * value));
        return [.. values.Select(value => value / length)];
    }

    private static double[] Softmax(double[] logits)
    {
        double[] powers = [.. logits.Select(logit => Math.Exp(logit - logits.Max()))];
        return [.. powers.Select(power => power / powers.Sum())];
    }
}
