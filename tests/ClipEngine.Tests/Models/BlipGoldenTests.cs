using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Stages;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using TensorPrimitives = System.Numerics.Tensors.TensorPrimitives;

namespace ClipEngine.Tests.Models;

/// <summary>BLIP against its authors' code and transformers, BLIP-2 against transformers 5.24.0: features, matching logits and caption logits within 2e-5 of their spread, and every generated id.</summary>
public class BlipGoldenTests
{
    private const double Tolerance = 2e-5;

    /// <summary>
    /// The golden's own rounding: its image tokens are 1.3e-5 of their spread away from what double precision gives, its caption logits 9.2e-5,
    /// a number that this model's last norms make of it. Given the golden's image tokens, double precision agrees to 1e-5.
    /// </summary>
    private const double CaptionTolerance = 2e-4;

    private static readonly string[] s_imageText = ["blip-tiny", "transformers-itm-tiny", "transformers-blip2-tiny"];

    private static readonly (string Name, CaptionOptions Options, bool IsNew)[] s_searches =
    [
        ("greedy", new CaptionOptions { MaximumLength = 14 }, true),
        ("beam3", new CaptionOptions { Beams = 3, MaximumLength = 14 }, true),
        ("authors", new CaptionOptions { Beams = 3, MaximumLength = 20, MinimumLength = 5 }, false),
        ("penalty", new CaptionOptions { MaximumLength = 14, RepetitionPenalty = 1.5 }, true),
    ];

    public static TheoryData<string, string> ImageText() => OnEveryBackend(s_imageText);

    /// <summary>The golden of the authors' code holds no stages.</summary>
    public static TheoryData<string, string> Staged() => OnEveryBackend(s_imageText[1..]);

    public static TheoryData<string> Backends() => [.. BackendsUnderTest.Names];

    [SkippableTheory]
    [MemberData(nameof(ImageText))]
    public void FeaturesAndMatchingEqualThoseOfTheOriginal(string name, string backendName)
    {
        string folder = name == "blip-tiny" ? TestData.Path("blip", name) : TestData.SharedPath("goldens", "blip", name);
        using IBackend backend = BackendsUnderTest.Create(backendName);
        CheckImageText(folder, backend);
    }

    [SkippableTheory]
    [MemberData(nameof(Backends))]
    public void CaptionsEqualThoseOfTransformers(string backendName)
    {
        string folder = TestData.Path("blip", "transformers-caption-tiny");
        using IBackend backend = BackendsUnderTest.Create(backendName);
        CheckCaptions(folder, backend);
    }

    /// <summary>Every stage of image tower, Q-Former and text transformer in the order in which they are computed: the first wrong one fails.</summary>
    [SkippableTheory]
    [MemberData(nameof(Staged))]
    public void StagesEqualThoseOfTheOriginal(string name, string backendName)
    {
        string folder = TestData.SharedPath("goldens", "blip", name);
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "golden.safetensors"));
        using IBackend backend = BackendsUnderTest.Create(backendName);
        using PairModel model = PairModel.Load(folder, new ClipModelOptions { Backend = backend });
        StageTrace trace = StageTrace.RunPair(model.Scorer, golden);
        Assert.All(trace.Stages, static stage => Assert.True(stage.Error <= Tolerance, $"{stage.Name}: {stage.Error:E1} of the stage's spread ({stage.Result?.Operation})"));
        Assert.Equal(golden.Tensors.Keys.Count(static key => key.StartsWith("stage.", StringComparison.Ordinal)), trace.Stages.Count);
    }

    /// <summary>Compares what a golden of the image-text model holds.</summary>
    internal static void CheckImageText(string folder, IBackend backend)
    {
        using PairModel model = PairModel.Load(folder, new ClipModelOptions { Backend = backend });
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "golden.safetensors"));
        var encoder = (IDualEncoder)model.Scorer;
        string tokens = golden.Tensors.ContainsKey("tokens") ? "tokens" : "input_ids";
        Shape pixels = GoldenFeatures.ShapeOf(golden, "pixels"), ids = GoldenFeatures.ShapeOf(golden, tokens);
        float[] images = golden.ReadSingles("pixels");
        int[] sentences = [.. golden.ReadInt64s(tokens).Select(static id => checked((int)id))];
        float[] imageFeatures = GoldenFeatures.Images(encoder, images, pixels, normalize: true), textFeatures = GoldenFeatures.Texts(encoder, sentences, (int)ids[1], normalize: true);
        GoldenFeatures.AssertClose(golden, "image_features_normalized", imageFeatures, Tolerance);
        GoldenFeatures.AssertClose(golden, "text_features_normalized", textFeatures, Tolerance);
        if (golden.Tensors.ContainsKey("image_embeds"))
            GoldenFeatures.AssertClose(golden, "image_embeds", ImageTokens(model.Scorer, images, pixels), Tolerance);
        float[] cosines = Cosines(imageFeatures, textFeatures, (int)pixels[0], (int)ids[0], encoder.EmbedDimension), logits = new float[2 * cosines.Length];
        GoldenFeatures.AssertClose(golden, "itc", cosines, Tolerance);
        model.ScoreTokens(images, sentences, (int)ids[1], logits);
        GoldenFeatures.AssertClose(golden, "itm_logits", logits, Tolerance);
        if (golden.Tensors.ContainsKey("text_ids"))
            CheckBareSentences(model, golden, images, logits);
        if (!golden.Tensors.ContainsKey("itm_logits_enc"))
            return;
        // The authors' retrieval puts [ENC], the last id, in the first place.
        for (int i = 0; i < sentences.Length; i += (int)ids[1])
            sentences[i] = model.Scorer.VocabularySize - 1;
        model.ScoreTokens(images, sentences, (int)ids[1], logits);
        GoldenFeatures.AssertClose(golden, "itm_logits_enc", logits, Tolerance);
    }

    private static float[] ImageTokens(IPairScorer scorer, float[] images, Shape shape)
    {
        using IPass pass = scorer.Backend.BeginPass();
        Tensor tokens = scorer.EncodeImageTokens(pass, pass.Upload(images, shape));
        float[] values = new float[tokens.Shape.ElementCount];
        pass.Read(tokens, values);
        return values;
    }

    /// <summary>Sentences without the placeholders that the processor puts before them are the same sentences.</summary>
    private static void CheckBareSentences(PairModel model, ICheckpoint golden, float[] images, float[] logits)
    {
        int length = (int)GoldenFeatures.ShapeOf(golden, "text_ids")[1];
        int[] ids = Ids(golden, "text_ids");
        GoldenFeatures.AssertClose(golden, "text_features_normalized", GoldenFeatures.Texts((IDualEncoder)model.Scorer, ids, length, normalize: true), Tolerance);
        float[] bare = new float[logits.Length];
        model.ScoreTokens(images, ids, length, bare);
        Assert.Equal(logits, bare);
    }

    /// <summary>The largest cosine over the vectors of an image, of which BLIP has one and BLIP-2 one of each query.</summary>
    private static float[] Cosines(float[] images, float[] texts, int imageCount, int textCount, int width)
    {
        float[] cosines = new float[imageCount * textCount];
        int vectors = images.Length / imageCount / width;
        for (int i = 0; i < cosines.Length; i++)
        {
            ReadOnlySpan<float> text = texts.AsSpan(i % textCount * width, width);
            cosines[i] = float.NegativeInfinity;
            for (int vector = 0; vector < vectors; vector++)
                cosines[i] = Math.Max(cosines[i], TensorPrimitives.Dot(text, images.AsSpan(((i / textCount * vectors) + vector) * width, width)));
        }

        return cosines;
    }

    /// <summary>Compares what a golden of the captioner holds.</summary>
    internal static void CheckCaptions(string folder, IBackend backend)
    {
        using CaptionModel model = CaptionModel.Load(folder, new ClipModelOptions { Backend = backend });
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "golden.safetensors"));
        float[] images = golden.ReadSingles("pixels");
        int one = images.Length / (int)GoldenFeatures.ShapeOf(golden, "pixels")[0], length = (int)GoldenFeatures.ShapeOf(golden, "input_ids")[1];
        int[] ids = Ids(golden, "input_ids"), mask = Ids(golden, "attention_mask"), imageOf = Ids(golden, "image_of_text");
        var logits = new List<float>();
        for (int text = 0; text < imageOf.Length; text++)
            logits.AddRange(model.Score(images.AsSpan(imageOf[text] * one, one), ids.AsSpan(text * length, length), length, [mask.AsSpan(text * length, length).ToArray().Sum()]));
        GoldenFeatures.AssertClose(golden, "logits", [.. logits], CaptionTolerance);
        GoldenFeatures.AssertClose(golden, "logits", FromImageTokens(model.Captioner, golden, ids, mask, imageOf, length), 2 * Tolerance);

        foreach ((string mode, CaptionOptions options, bool isNew) in s_searches)
        {
            foreach (string prompt in new[] { "no_prompt", "prompt0", "prompt1" })
            {
                string name = $"generate.{mode}.{prompt}";
                int[] expected = Ids(golden, name), given = prompt == "no_prompt" ? [] : Ids(golden, $"{prompt}.input_ids");
                int width = (int)GoldenFeatures.ShapeOf(golden, name)[1], begun = Math.Max(1, given.Length - 1);
                for (int image = 0; image < images.Length / one; image++)
                {
                    int[] found = model.Generate(images.AsSpan(image * one, one), given, isNew ? options with { MaximumLength = options.MaximumLength + begun } : options);
                    int[] row = expected[(image * width)..((image + 1) * width)];
                    int end = Array.IndexOf(row, model.Captioner.EndId);
                    Assert.True(found.AsSpan().SequenceEqual(end < 0 ? row : row[..(end + 1)]), $"{name}, image {image}: expected {string.Join(' ', row)}, found {string.Join(' ', found)}");
                }
            }
        }
    }

    /// <summary>The decoder alone, on the golden's own image tokens.</summary>
    private static float[] FromImageTokens(ICaptioner model, ICheckpoint golden, int[] ids, int[] mask, int[] imageOf, int length)
    {
        Shape tokens = GoldenFeatures.ShapeOf(golden, "image_embeds");
        int one = (int)(tokens[1] * tokens[2]);
        float[] values = golden.ReadSingles("image_embeds");
        var logits = new List<float>();
        for (int text = 0; text < imageOf.Length; text++)
        {
            using IPass pass = model.Backend.BeginPass();
            using PreparedImage image = model.PrepareImage(pass, pass.Upload(values.AsSpan(imageOf[text] * one, one), new Shape(1, tokens[1], tokens[2])));
            using CaptionState state = model.Begin(1, length);
            float[] own = new float[length * model.VocabularySize];
            pass.Read(model.Continue(pass, image, state, ids.AsSpan(text * length, length), length, [mask.AsSpan(text * length, length).ToArray().Sum()]), own);
            logits.AddRange(own);
        }

        return [.. logits];
    }

    private static TheoryData<string, string> OnEveryBackend(IEnumerable<string> models)
    {
        var data = new TheoryData<string, string>();
        foreach (string backend in BackendsUnderTest.Names)
        {
            foreach (string model in models)
                data.Add(model, backend);
        }

        return data;
    }

    private static int[] Ids(ICheckpoint golden, string name) => [.. golden.ReadInt64s(name).Select(static id => checked((int)id))];
}
