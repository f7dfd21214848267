using System.Reflection;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Audit.Verification;
using ClipEngine.FineTuning;
using ClipEngine.Testing;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>The sample from end to end: it trains, goes on where it was, its checkpoint loads in the native engine, and the audit sees what training changed.</summary>
public sealed class FineTuningTests : IClassFixture<FineTuningTests.Sample>
{
    private readonly Sample _sample;

    public FineTuningTests(Sample sample) => _sample = sample;

    [Fact]
    public void TheLossOfPairsThatAreHeldOutFalls()
    {
        // Weighted by the data, in nats, by the native engine and plain loops: nothing of TorchSharp's.
        Assert.True(_sample.HeldOutLoss(_sample.Folder.File("data", "tuned")) < _sample.HeldOutLoss(DemoModel()) - 0.05);
    }

    [Fact]
    public void ItGoesOnWhereItWas() => Assert.Contains("100 of 120 steps done", _sample.SecondRun, StringComparison.Ordinal);

    [Fact]
    public void TheCheckpointGivesTheSameFeaturesInTheNativeEngine()
    {
        string[] images = Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Demo", "probe", "images"), "scene0*.png");
        string[] sentences = ["a photo of an anchor", "this is a drum", "a ladder"];
        string tuned = _sample.Folder.File("data", "tuned");
        using ClipModel native = ClipModel.Load(tuned), original = ClipModel.Load(DemoModel());
        using ClipModules modules = ClipModules.Load(tuned);
        using DisposeScope scope = torch.NewDisposeScope();
        int side = native.Preprocessor.Options.Height;
        float[] pixels = new float[3 * side * side], found = native.EncodeImages(images).Values, untuned = original.EncodeImages(images).Values;
        Assert.Contains(found.Zip(untuned), pair => Math.Abs(pair.First - pair.Second) > 0.01);
        for (int i = 0; i < images.Length; i++)
        {
            native.Preprocessor.Preprocess(File.ReadAllBytes(images[i]), images[i], pixels);
            AssertEqual(found.AsSpan(i * native.EmbedDimension, native.EmbedDimension), modules.EncodeImages(torch.tensor(pixels).reshape(1, 3, side, side), normalize: true));
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

    [Fact]
    public void WrongUseIsExitCode2()
    {
        Assert.Equal(2, Run([]).ExitCode);
        (int code, string said) = Run([_sample.Folder.File("nowhere.tar"), "--model", DemoModel(), "--out", _sample.Folder.File("never")]);
        Assert.Equal(2, code);
        Assert.Contains("nowhere.tar", said, StringComparison.Ordinal);
    }

    private static string DemoModel() => Path.Combine(AppContext.BaseDirectory, "Demo", "models", "large");

    private AuditResult Audit(string spec) =>
        new AuditRun(_sample.Folder.File("data", spec), _sample.Folder.File($"audit-{spec}"), new ClipProbeModels(), new ReportWriter(), _ => { }).Execute(CancellationToken.None);

    private static void AssertEqual(ReadOnlySpan<float> expected, TorchTensor found)
    {
        float[] values = found.detach().contiguous().data<float>().ToArray();
        Assert.Equal(expected.Length, values.Length);
        for (int i = 0; i < values.Length; i++)
            Assert.Equal(expected[i], values[i], 1e-5f);
    }

    /// <summary>Runs the sample in this process.</summary>
    private static (int ExitCode, string Said) Run(string[] arguments)
    {
        TextWriter error = Console.Error, output = Console.Out;
        using var said = new StringWriter();
        Console.SetError(said);
        Console.SetOut(said);
        try
        {
            return ((int)typeof(DemoData).Assembly.EntryPoint!.Invoke(null, BindingFlags.DoNotWrapExceptions, null, [arguments], null)!, said.ToString());
        }
        finally
        {
            Console.SetError(error);
            Console.SetOut(output);
        }
    }

    /// <summary>Data, and a training that is interrupted, shorter than by hand.</summary>
    public sealed class Sample : IDisposable
    {
        private const int HeldOut = 512;

        public Sample()
        {
            Assert.Equal(0, Run(["demo-data", Folder.File("data")]).ExitCode);
            string[] arguments = [Folder.File("data", "train.tar"), "--weights", Folder.File("data", "weights.csv"), "--model", DemoModel(), "--out", Folder.File("data", "tuned"), "--pairs-at-once", "64"];
            Assert.Equal(0, Run([.. arguments, "--steps", "100"]).ExitCode);
            (int code, SecondRun) = Run([.. arguments, "--steps", "120"]);
            Assert.Equal(0, code);
        }

        public TemporaryFolder Folder { get; } = new();

        public string SecondRun { get; }

        public double HeldOutLoss(string model)
        {
            string[] lines = [.. File.ReadLines(Folder.File("data", "held-out.csv")).Skip(1).Take(HeldOut)];
            using ClipModel clip = ClipModel.Load(model);
            FeatureMatrix images = clip.EncodeImages([.. lines.Select(line => Folder.File("data", line.Split(',')[0]))]), texts = clip.EncodeTexts([.. lines.Select(line => line.Split(',')[1])]);
            double[] weights = [.. lines.Select(line => double.Parse(line.Split(',')[2], System.Globalization.CultureInfo.InvariantCulture))];
            double scale = clip.Encoder.LogitScale, loss = 0;
            double Logit(int i, int j)
            {
                double dot = 0;
                for (int k = 0; k < clip.EmbedDimension; k++)
                    dot += (double)images[i][k] * texts[j][k];
                return scale * dot;
            }

            double[,] logits = new double[HeldOut, HeldOut];
            for (int i = 0; i < HeldOut; i++)
            {
                for (int j = 0; j < HeldOut; j++)
                    logits[i, j] = Logit(i, j);
            }

            for (int i = 0; i < HeldOut; i++)
            {
                double row = 0, column = 0;
                for (int j = 0; j < HeldOut; j++)
                {
                    row += weights[j] * Math.Exp(logits[i, j]);
                    column += weights[j] * Math.Exp(logits[j, i]);
                }

                loss += weights[i] * (((Math.Log(row) + Math.Log(column)) / 2) - logits[i, i]);
            }

            return loss / weights.Sum();
        }

        public void Dispose() => Folder.Dispose();
    }
}
