using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>CoCa's captions against open_clip 3.3.0: logits of given sentences within 2e-5 of their spread, and every generated id.</summary>
public class CocaCaptionTests
{
    private const double Tolerance = 2e-5;

    private static readonly string[] s_models = ["coca-b32", "coca-base", "coca-roberta-b32"];

    public static TheoryData<string, string> Models()
    {
        var data = new TheoryData<string, string>();
        foreach (string backend in BackendsUnderTest.Names)
        {
            foreach (string model in s_models)
                data.Add(model, backend);
        }

        return data;
    }

    [SkippableTheory]
    [MemberData(nameof(Models))]
    public void LogitsAndCaptionsEqualThoseOfOpenClip(string name, string backendName)
    {
        using IBackend backend = BackendsUnderTest.Create(backendName);
        Check(TestData.SharedPath("goldens", "families", name), backend);
    }

    /// <summary>One whose files are in this repository. Its maker let later words see padding, as open_clip 2 does: compared is what stands before it.</summary>
    [Fact]
    public void LogitsBeforePaddingEqualThoseOfOpenClip()
    {
        string folder = TestData.Path("towers", "coca-tiny");
        using CaptionModel model = CaptionModel.Load(folder);
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "caption.safetensors"));
        float[] images = golden.ReadSingles("pixels"), logits = golden.ReadSingles("logits");
        int[] ids = Ids(golden, "tokens");
        int count = (int)GoldenFeatures.ShapeOf(golden, "pixels")[0], one = images.Length / count, length = ids.Length / count, vocabulary = model.Captioner.CaptionVocabulary;
        double mean = logits.Average(), spread = Math.Sqrt(logits.Average(value => (value - mean) * (value - mean)));
        for (int image = 0; image < count; image++)
        {
            int[] sentence = [.. ids.Skip(image * length).Take(length).TakeWhile(static id => id != 0)];
            float[] found = model.Score(images.AsSpan(image * one, one), sentence, sentence.Length);
            for (int i = 0; i < found.Length; i++)
                Assert.Equal(logits[(image * length * vocabulary) + i], found[i], Tolerance * spread);
        }
    }

    [SkippableFact]
    public void ASentenceInPiecesHasTheLogitsOfTheWholeOneWherePaddingStandsInIt()
    {
        // Padding in the midst hides the id behind it from all later ones, whether it was stored before or not.
        string folder = TestData.SharedPath("goldens", "families", "coca-b32");
        using IBackend backend = BackendsUnderTest.Create(BackendsUnderTest.Names[0]);
        using CaptionModel model = CaptionModel.Load(folder, new ClipModelOptions { Backend = backend });
        float[] pixels = Random(3 * 32 * 32, seed: 5);
        int[] ids = [298, 5, 0, 17, 0, 0, 93, 41];
        float[] whole = model.Score(pixels, ids, ids.Length);
        ICaptioner captioner = model.Captioner;
        using PreparedImage image = Prepare(captioner, pixels);
        using CaptionState state = captioner.Begin(1, 11);
        var pieces = new List<float>();
        foreach (int[] piece in new int[][] { [298, 5, 0], [17], [0], [0, 93], [41] })
        {
            using IPass pass = backend.BeginPass();
            float[] logits = new float[piece.Length * captioner.CaptionVocabulary];
            pass.Read(captioner.Continue(pass, image, state, piece, piece.Length), logits);
            pieces.AddRange(logits);
        }

        for (int i = 0; i < whole.Length; i++)
            Assert.Equal(whole[i], pieces[i], 1e-4f);
        // And it does hide: with another id in the place of the padding the last logits are others.
        float[] without = model.Score(pixels, [298, 5, 6, 17, 0, 0, 93, 41], ids.Length);
        Assert.True(whole.Zip(without).TakeLast(300).Max(static pair => Math.Abs(pair.First - pair.Second)) > 0.01);
    }

    [SkippableFact]
    public void DrawnIdsFollowTheProbabilitiesOfThoseThatMayBeDrawn()
    {
        const int Draws = 2000;
        string folder = TestData.SharedPath("goldens", "families", "coca-base");
        using IBackend backend = BackendsUnderTest.Create(BackendsUnderTest.Names[0]);
        using CaptionModel model = CaptionModel.Load(folder, new ClipModelOptions { Backend = backend });
        float[] pixels = Random(3 * 32 * 32, seed: 7);
        double[] logits = [.. model.Score(pixels, [model.Captioner.BeginId], 1).Select(static value => (double)value)];
        int[] order = [.. Enumerable.Range(0, logits.Length).OrderByDescending(id => logits[id])];
        double[] all = Softmax(logits, order, temperature: 1);
        int nucleus = 1;
        while (all.Take(nucleus).Sum() < 0.3)
            nucleus++;
        foreach ((CaptionOptions options, int kept) in new[]
        {
            (new CaptionOptions { TopK = 5, MaximumLength = 3 }, 5),
            (new CaptionOptions { TopK = 4, Temperature = 2, MaximumLength = 3 }, 4),
            (new CaptionOptions { TopP = 0.3, MaximumLength = 3 }, nucleus),
            (new CaptionOptions { TopP = 0.3, Temperature = 3, MaximumLength = 3 }, nucleus), // the filter looks at the plain logits
        })
        {
            double[] expected = Softmax(logits, order[..kept], options.Temperature);
            var counts = new int[logits.Length];
            for (int seed = 0; seed < Draws; seed++)
                counts[model.Generate(pixels, [], options with { Seed = seed })[1]]++;
            Assert.Equal(Draws, order[..kept].Sum(id => counts[id]));
            // Five standard deviations of a count.
            for (int i = 0; i < kept; i++)
                Assert.InRange(counts[order[i]], Draws * expected[i] - 5 * Math.Sqrt(Draws * expected[i]) - 1, Draws * expected[i] + 5 * Math.Sqrt(Draws * expected[i]) + 1);
        }

        CaptionOptions drawn = new() { TopK = 50, MaximumLength = 12, Seed = 3 };
        Assert.Equal(model.Generate(pixels, [], drawn), model.Generate(pixels, [], drawn));
        Assert.NotEqual(model.Generate(pixels, [], drawn), model.Generate(pixels, [], drawn with { Seed = 4 }));
        Assert.Equal(model.Generate(pixels, [], new CaptionOptions { MaximumLength = 12 }), model.Generate(pixels, [], drawn with { TopK = 1 }));
        // The colder, the surer; logits divided by so little would be infinite.
        foreach (double temperature in new[] { 1e-30, 1e-307, double.Epsilon })
        {
            Assert.Equal(model.Generate(pixels, [], new CaptionOptions { MaximumLength = 12 }), model.Generate(pixels, [], drawn with { Temperature = temperature }));
            Assert.Equal(model.Generate(pixels, [], new CaptionOptions { MaximumLength = 12 }), model.Generate(pixels, [], new CaptionOptions { TopP = 0.9, Temperature = temperature, MaximumLength = 12, Seed = 3 }));
        }
    }

    public static TheoryData<string, CaptionOptions> Impossible() => new()
    {
        { "Beams", new CaptionOptions { Beams = 0 } },
        { "BeamGroups", new CaptionOptions { Beams = 4, BeamGroups = 3 } },
        { "TopP", new CaptionOptions { TopK = 3, TopP = 0.5 } },
        { "TopP", new CaptionOptions { TopP = 1.5 } },
        { "Beams", new CaptionOptions { TopK = 3, Beams = 2 } },
        { "Temperature", new CaptionOptions { Temperature = 2 } },
        { "MaximumLength", new CaptionOptions { MaximumLength = 15 } },
        { "MinimumLength", new CaptionOptions { MaximumLength = 8, MinimumLength = 8 } },
        { "EndId", new CaptionOptions { MaximumLength = 8, EndId = 300 } },
    };

    [SkippableTheory]
    [MemberData(nameof(Impossible))]
    public void WhatCannotBeIsRefusedByItsName(string property, CaptionOptions options)
    {
        using IBackend backend = BackendsUnderTest.Create(BackendsUnderTest.Names[0]);
        using CaptionModel model = CaptionModel.Load(TestData.SharedPath("goldens", "families", "coca-b32"), new ClipModelOptions { Backend = backend });
        var exception = Assert.Throws<ArgumentException>(() => model.Generate(new float[3 * 32 * 32], [], options.MaximumLength == 20 ? options with { MaximumLength = 10 } : options));
        Assert.StartsWith($"{property}: ", exception.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void AModelForFeaturesLeavesTheDecoderInItsFile()
    {
        string folder = TestData.SharedPath("goldens", "families", "coca-b32");
        using ClipModel features = ClipModel.Load(folder);
        using CaptionModel captions = CaptionModel.Load(folder);
        Assert.IsNotType<ICaptioner>(features.Encoder, exactMatch: false);
        Assert.Equal(ModelAbilities.Embed | ModelAbilities.Caption, ModelConfiguration.Plan(folder).Abilities);
        Assert.Equal(CaptionStyle.OpenClip, captions.Captioner.Style);
    }

    /// <summary>Compares all that a golden holds.</summary>
    internal static void Check(string folder, IBackend backend)
    {
        using CaptionModel model = CaptionModel.Load(folder, new ClipModelOptions { Backend = backend });
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "caption.safetensors"));
        using JsonDocument settings = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "caption.json")));
        float[] images = golden.ReadSingles("pixels");
        int count = (int)GoldenFeatures.ShapeOf(golden, "pixels")[0], one = images.Length / count;
        CheckLogits(model, golden);
        foreach (JsonProperty run in settings.RootElement.GetProperty("runs").EnumerateObject())
        {
            Assert.Equal(model.Captioner.BeginId, run.Value.GetProperty("sot_token_id").GetInt32());
            int padding = run.Value.GetProperty("pad_token_id").GetInt32();
            Assert.Equal(model.Captioner.PaddingId, padding);
            var options = new CaptionOptions
            {
                Beams = Setting(run.Value, "num_beams"),
                BeamGroups = Setting(run.Value, "num_beam_groups"),
                MaximumLength = run.Value.GetProperty("seq_len").GetInt32(),
                MinimumLength = run.Value.GetProperty("min_seq_len").GetInt32(),
                RepetitionPenalty = run.Value.TryGetProperty("repetition_penalty", out JsonElement penalty) ? penalty.GetDouble() : 1,
                EndId = run.Value.GetProperty("eos_token_id").GetInt32(),
            };
            string name = $"generated.{run.Name}";
            int[] expected = Ids(golden, name);
            int width = (int)GoldenFeatures.ShapeOf(golden, name)[1];
            for (int image = 0; image < count; image++)
            {
                int[] found = model.Generate(images.AsSpan(image * one, one), [], options);
                int[] row = expected[(image * width)..((image + 1) * width)];
                int[] filled = [.. found, .. Enumerable.Repeat(padding, Math.Max(0, width - found.Length))];
                Assert.True(filled.AsSpan().SequenceEqual(row), $"{name}, image {image}: expected {string.Join(' ', row)}, found {string.Join(' ', found)}");
            }
        }
    }

    private static void CheckLogits(CaptionModel model, ICheckpoint golden)
    {
        float[] images = golden.ReadSingles("pixels");
        int[] ids = Ids(golden, "tokens");
        int count = (int)GoldenFeatures.ShapeOf(golden, "pixels")[0], one = images.Length / count, length = ids.Length / count;
        var logits = new List<float>();
        for (int image = 0; image < count; image++)
            logits.AddRange(model.Score(images.AsSpan(image * one, one), ids.AsSpan(image * length, length), length));
        GoldenFeatures.AssertClose(golden, "logits", [.. logits], Tolerance);
    }

    private static int Setting(JsonElement run, string name) => run.TryGetProperty(name, out JsonElement value) ? value.GetInt32() : 1;

    private static int[] Ids(ICheckpoint golden, string name) => [.. golden.ReadInt64s(name).Select(static id => checked((int)id))];

    private static PreparedImage Prepare(ICaptioner model, float[] pixels)
    {
        using IPass pass = model.Backend.BeginPass();
        Tensor tokens = model.EncodeImageTokens(pass, pass.Upload(pixels, new Shape(1, 3, model.Preprocess.Height, model.Preprocess.Width)));
        PreparedImage image = model.PrepareImage(pass, tokens);
        pass.Read(tokens, new float[tokens.Shape.ElementCount]);
        return image;
    }

    private static double[] Softmax(double[] logits, int[] ids, double temperature)
    {
        double[] powers = [.. ids.Select(id => Math.Exp((logits[id] - logits[ids[0]]) / temperature))];
        return [.. powers.Select(power => power / powers.Sum())];
    }

    private static float[] Random(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)((2 * random.NextDouble()) - 1))];
    }
}
