using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Native;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using ClipEngine.Tokenization;

namespace ClipEngine.Audit.Tests.Runs;

/// <summary>A run with a registered architecture that scores pairs and has no features.</summary>
public class PairScorerTests
{
    private static readonly string s_demo = Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "Demo", "Data", "probe");
    private static readonly string[] s_labels = [.. "anchor basket candle drum kettle ladder apple bottle chair desk engine fork glove hammer iron jar knife lamp mirror".Split(' ')];

    [Fact]
    public void ScoresAreTheSoftmaxOfTheLogOddsOfEachPairScoredAlone()
    {
        using var folder = new TemporaryFolder();
        using IDisposable registration = ModelFamilies.Register(new PairFamily());
        PairFamily.Write(folder.File("pairs"));
        AuditResult result = Run(folder, "A photo of");
        Dictionary<string, string> before = AuditRunTests.Contents(folder.File("out"));

        Assert.Null(result.Models[0].Failure);
        Assert.Contains("0.5 · log odds", result.Models[0].Scoring);
        ModelExperimentResult own = result.Experiments[0].Models[0];
        Assert.Equal(ScoreOrigin.MatchLogOdds, result.Models[0].Origin);
        string report = File.ReadAllText(folder.File("out", "report.html"));
        Assert.Contains("the log odds that the two match", report);
        Assert.DoesNotContain("cosine between", report);
        Assert.DoesNotContain("are cosines", report);
        Assert.Null(own.Margin);
        Assert.Null(own.TextSimilarity);
        using CpuBackend backend = CpuBackend.Create();
        using ICheckpoint checkpoint = Checkpoint.Open(folder.File("pairs"));
        using var reader = new WeightReader(checkpoint, backend);
        var model = new PairFamily.Model(reader, backend);
        IReadOnlyList<Weight> weights = reader.Complete();
        // The first images, and one of each later batch of them.
        foreach (int row in new[] { 0, 1, 5, 17, 19 })
        {
            double[] odds = [.. s_labels.Select(label => Alone(model, Path.Combine(s_demo, result.Probe.Images[row].Id), $"A photo of {(label[0] is 'a' or 'e' or 'i' ? "an" : "a")} {label}"))];
            double sum = odds.Sum(value => Math.Exp(0.5 * value));
            for (int column = 0; column < odds.Length; column++)
                Assert.Equal(Math.Exp(0.5 * odds[column]) / sum, own.Probabilities![row, column], 1e-6);
        }

        // What the images and sentences have to do with each other is in the scores.
        Assert.NotEqual(own.Probabilities!.Row(0).ToArray(), own.Probabilities.Row(1).ToArray());
        foreach (Weight weight in weights)
            weight.Dispose();

        int calls = PairFamily.Calls;
        Run(folder, "A photo of");
        Assert.Equal(calls, PairFamily.Calls);
        Assert.Equal(before, AuditRunTests.Contents(folder.File("out")));
        Run(folder, "A picture of");
        Assert.True(PairFamily.Calls > calls);
    }

    private static double Alone(PairFamily.Model model, string file, string sentence)
    {
        var pixels = new float[3 * PairFamily.Side * PairFamily.Side];
        new ImagePreprocessor(model.Preprocess).Preprocess(File.ReadAllBytes(file), file, pixels);
        var ids = new int[PairFamily.Context];
        new ClipTokenizer(PairFamily.Context).Encode(sentence, ids);
        PreparedImage image;
        using (IPass pass = model.Backend.BeginPass())
        {
            Tensor tokens = model.EncodeImageTokens(pass, pass.Upload(pixels, new Shape(1, 3, PairFamily.Side, PairFamily.Side)));
            image = model.PrepareImage(pass, tokens);
            pass.Read(tokens, new float[tokens.Shape.ElementCount]);
        }

        var logits = new float[2];
        using (image)
        using (IPass pass = model.Backend.BeginPass())
            pass.Read(model.ScorePairs(pass, image, ids, PairFamily.Context), logits);
        return (double)logits[1] - logits[0];
    }

    private static AuditResult Run(TemporaryFolder folder, string words)
    {
        // Twenty images: more than one chunk, and the last batch is not full.
        File.WriteAllLines(folder.File("probe.csv"), File.ReadLines(Path.Combine(s_demo, "manifest.csv")).Take(21));
        File.WriteAllText(folder.File("spec.json"), $$"""
            {
              "title": "Test",
              "probe": { "metadata": "probe.csv", "images": "{{s_demo}}", "id": "image", "file": "image", "group": ["group"] },
              "models": [{ "key": "pairs", "model": "pairs" }],
              "experiments": [{ "key": "things", "title": "Things", "template": "{{words}} {a} {label}",
                "labels": [{{string.Join(", ", s_labels.Select(label => $"{{ \"text\": \"{label}\" }}"))}}] }],
              "scale": "0.5",
              "cosineError": 0.001,
              "intervals": { "resamples": 99 }
            }
            """);
        return new AuditRun(folder.File("spec.json"), folder.File("out"), new ClipProbeModels(), new ReportWriter()).Execute();
    }

    /// <summary>Two image tokens that a sentence's tokens attend to; the mean of what they see are the two logits.</summary>
    private sealed class PairFamily : IModelFamily
    {
        public const int Side = 8;
        public const int Context = 16;
        private const int Vocabulary = 49408;

        /// <summary>Batches of pairs that were scored.</summary>
        public static int Calls { get; private set; }

        public string Name => "pairs of a test";

        public bool Recognizes(ModelFiles files) => files.Configuration.TryGetProperty("pairs-of-a-test", out _);

        public ModelPlan Plan(ModelFiles files) => new PairPlan(files.Source);

        public static void Write(string folder)
        {
            Directory.CreateDirectory(folder);
            var random = new Random(3);
            float[] Numbers(int count, double size) => [.. Enumerable.Range(0, count).Select(_ => (float)((random.NextDouble() - 0.5) * size))];
            var writer = new SafetensorsWriter();
            writer.Add("image", Numbers(4 * 3 * Side * Side, 0.5), 4, 3 * Side * Side);
            writer.Add("table", Numbers(Vocabulary * 2, 8), Vocabulary, 2);
            writer.Add("positions", Numbers(Context * 2, 1), Context, 2);
            writer.Write(Path.Combine(folder, "open_clip_model.safetensors"));
            File.WriteAllText(Path.Combine(folder, "open_clip_config.json"), """{"pairs-of-a-test": {}}""");
        }

        private sealed class PairPlan(string source) : ModelPlan
        {
            public override string Family => "pairs of a test";

            public override string Source => source;

            public override ModelAbilities Abilities => ModelAbilities.ScorePairs;

            public override PreprocessOptions Preprocess { get; } = new() { Height = Side, Width = Side };

            public override TokenizerConfig Tokenizer { get; } = new();

            public override int ContextLength => Context;

            public override int VocabularySize => Vocabulary;

            public override IModel Build(WeightReader weights, IBackend backend, ModelOptions options) => new Model(weights, backend);
        }

        public sealed class Model(WeightReader weights, IBackend backend) : IPairScorer
        {
            private readonly Weight _image = weights.Read("image", WeightRole.Linear, 4, 3 * Side * Side);
            private readonly Weight _table = weights.Read("table", WeightRole.EmbeddingTable, Vocabulary, 2);
            private readonly Weight _positions = weights.Read("positions", WeightRole.Tokens, Context, 2);

            public string Architecture => "pairs of a test";

            public IBackend Backend => backend;

            public PreprocessOptions Preprocess { get; } = new() { Height = Side, Width = Side };

            public TokenizerConfig Tokenizer { get; } = new();

            public int ContextLength => Context;

            public int VocabularySize => Vocabulary;

            public IReadOnlyList<string> Notices => [];

            public int ImageTokenWidth => 2;

            public Tensor EncodeImageTokens(IPass pass, in Tensor pixels) =>
                pass.Linear(pixels.Reshape(new Shape(pixels.Shape[0], 3 * Side * Side)), _image, bias: null).Reshape(new Shape(pixels.Shape[0], 2, 2));

            public PreparedImage PrepareImage(IPass pass, in Tensor imageTokens)
            {
                TokenStore store = Backend.CreateTokenStore(imageTokens.Shape);
                pass.Store(store, imageTokens);
                return new PreparedImage([store]);
            }

            public Tensor ScorePairs(IPass pass, PreparedImage image, ReadOnlySpan<int> ids, int length)
            {
                Calls += Backend is CpuBackend ? 1 : 0; // not where only shapes go through, to count what it costs
                Tensor tokens = pass.TokenEmbedding(pass.Upload(ids, new Shape(ids.Length / length, length)), _table, appendedToken: null, _positions), seen = pass.Load(image.Stores[0]);
                return pass.MeanTokens(pass.Attention(tokens, seen, seen, heads: 1)).Reshape(new Shape(ids.Length / length, 2));
            }
        }
    }
}
