using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Verification;
using ClipEngine.FineTuning;
using ClipEngine.Testing;
using ClipEngine.TorchSharp;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>The example from end to end: it trains, its checkpoint loads in the native engine, and the audit sees what training changed.</summary>
public sealed class FineTuningTests : IClassFixture<FineTuningTests.Example>
{
    private readonly Example _example;

    public FineTuningTests(Example example) => _example = example;

    [Fact]
    public void TheLossOfPairsThatAreHeldOutFalls() => Assert.True(_example.After < _example.Before - 0.02, $"from {_example.Before} to {_example.After}");

    [Fact]
    public void TheCheckpointGivesTheSameFeaturesInTheNativeEngine()
    {
        string[] images = Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Demo", "probe", "images"), "scene0*.png");
        string[] sentences = ["a photo of an anchor", "this is a drum", "a ladder"];
        using ClipModel native = ClipModel.Load(_example.Folder.File("model")), original = ClipModel.Load(Path.Combine(AppContext.BaseDirectory, "Demo", "models", "large"));
        using ClipModules modules = ClipModules.Load(_example.Folder.File("model"));
        using DisposeScope scope = torch.NewDisposeScope();
        int side = native.Preprocessor.Options.Height;
        float[] pixels = new float[3 * side * side], tuned = native.EncodeImages(images).Values, untuned = original.EncodeImages(images).Values;
        Assert.Contains(tuned.Zip(untuned), pair => Math.Abs(pair.First - pair.Second) > 0.01);
        for (int i = 0; i < images.Length; i++)
        {
            native.Preprocessor.Preprocess(File.ReadAllBytes(images[i]), images[i], pixels);
            AssertEqual(tuned.AsSpan(i * native.EmbedDimension, native.EmbedDimension), modules.EncodeImages(torch.tensor(pixels).reshape(1, 3, side, side), normalize: true));
        }

        int[] ids = new int[native.Tokenizer.ContextLength];
        for (int i = 0; i < sentences.Length; i++)
        {
            native.Tokenizer.Encode(sentences[i], ids);
            AssertEqual(native.EncodeTexts([sentences[i]])[0], modules.EncodeTexts(torch.tensor(ids).unsqueeze(0), normalize: true));
        }
    }

    [Fact]
    public void TheAuditShowsThatTheFiguresMatterLess()
    {
        AuditResult before = Audit("before.json"), after = Audit("after.json");
        ModelChange change = Assert.Single(RunComparison.Compare(before, after));
        Assert.InRange(change.SameLabel.Value!.Value, 0.3, 0.98);

        // Every thing is shown as often with every figure: without an association the rates of a label are the same in all groups.
        double Spread(Func<RateChange, double?> rate) => change.Rates.GroupBy(entry => entry.Label).Sum(label =>
        {
            double mean = label.Average(entry => rate(entry)!.Value);
            return label.Sum(entry => Math.Abs(rate(entry)!.Value - mean));
        });
        Assert.True(Spread(rate => rate.Second) < 0.9 * Spread(rate => rate.First), $"from {Spread(rate => rate.First)} to {Spread(rate => rate.Second)}");
    }

    private AuditResult Audit(string spec) =>
        new AuditRun(_example.Folder.File(spec), _example.Folder.File($"audit-{spec}"), new ClipProbeModels(), new ReportWriter(), _ => { }).Execute(CancellationToken.None);

    private static void AssertEqual(ReadOnlySpan<float> expected, TorchTensor found)
    {
        float[] values = found.detach().contiguous().data<float>().ToArray();
        Assert.Equal(expected.Length, values.Length);
        for (int i = 0; i < values.Length; i++)
            Assert.Equal(expected[i], values[i], 1e-5f);
    }

    /// <summary>The example, run once and shorter than by hand.</summary>
    public sealed class Example : IDisposable
    {
        public Example() => (Before, After) = DemoFineTuning.Run(Folder.Root, "cpu", steps: 120, TextWriter.Null);

        public TemporaryFolder Folder { get; } = new();

        public double Before { get; }

        public double After { get; }

        public void Dispose() => Folder.Dispose();
    }
}
