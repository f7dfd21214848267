using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Demo;

/// <summary>The shipped checkpoints against what PyTorch computed from the same weights and the same files (tools/make-demo.py).</summary>
public class DemoFeatureTests
{
    /// <summary>Greatest difference allowed, in standard deviations of the golden's values.</summary>
    private const double Tolerance = 2e-5;

    [Theory]
    [InlineData("small")]
    [InlineData("large")]
    [InlineData("null")]
    public void FeaturesEqualPyTorchs(string name)
    {
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("demo", name + ".safetensors"));
        string[] captions = JsonSerializer.Deserialize<string[]>(File.ReadAllText(TestData.Path("demo", "captions.json")))!;
        string[] images = [.. File.ReadLines(Path.Combine(DemoCommand.Data, "probe", "manifest.csv")).Skip(1).Select(line => Path.Combine(DemoCommand.Data, "probe", line.Split(',')[0]))];
        using ClipModel model = ClipModel.Load(Path.Combine(DemoCommand.Data, "models", name));

        AssertClose(golden.ReadSingles("image_features"), model.EncodeImages(images, normalize: false).Values);
        AssertClose(golden.ReadSingles("text_features"), model.EncodeTexts(captions, normalize: false).Values);
    }

    private static void AssertClose(float[] expected, float[] found)
    {
        Assert.Equal(expected.Length, found.Length);
        double mean = expected.Average(), spread = Math.Sqrt(expected.Average(value => (value - mean) * (value - mean)));
        double worst = expected.Zip(found, (e, f) => Math.Abs((double)e - f)).Max();
        Assert.True(worst <= Tolerance * spread, $"greatest difference {worst / spread:E1} of the spread, {Tolerance:E1} allowed");
    }
}
