using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>BLIP against its authors' code and transformers 5.24.0: features, matching logits and caption logits within 2e-5 of their spread, and every generated id.</summary>
public class BlipGoldenTests
{
    private const double Tolerance = 2e-5;

    /// <summary>
    /// The golden's own rounding: its image tokens are 1.3e-5 of their spread away from what double precision gives, its caption logits 9.2e-5,
    /// a number that this model's last norms make of it. Given the golden's image tokens, double precision agrees to 1e-5.
    /// </summary>
    private const double CaptionTolerance = 2e-4;

    private static readonly string[] s_imageText = ["blip-tiny", "transformers-itm-tiny"];

    private static readonly (string Name, CaptionOptions Options, bool IsNew)[] s_searches =
    [
        ("greedy", new CaptionOptions { MaximumLength = 14 }, true),
        ("beam3", new CaptionOptions { Beams = 3, MaximumLength = 14 }, true),
        ("authors", new CaptionOptions { Beams = 3, MaximumLength = 20, MinimumLength = 5 }, false),
        ("penalty", new CaptionOptions { MaximumLength = 14, RepetitionPenalty = 1.5 }, true),
    ];

    public static TheoryData<string, string> ImageText()
    {
        var data = new TheoryData<string, string>();
        foreach (string backend in BackendsUnderTest.Names)
        {
            foreach (string model in s_imageText)
                data.Add(model, backend);
        }

        return data;
    }

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
        int width = encoder.EmbedDimension;
        float[] cosines = new float[pixels[0] * ids[0]], logits = new float[2 * cosines.Length];
        for (int i = 0; i < cosines.Length; i++)
        {
            for (int c = 0; c < width; c++)
                cosines[i] += imageFeatures[(i / (int)ids[0] * width) + c] * textFeatures[(i % (int)ids[0] * width) + c];
        }

        GoldenFeatures.AssertClose(golden, "itc", cosines, Tolerance);
        model.ScoreTokens(images, sentences, (int)ids[1], logits);
        GoldenFeatures.AssertClose(golden, "itm_logits", logits, Tolerance);
        if (!golden.Tensors.ContainsKey("itm_logits_enc"))
            return;
        // The authors' retrieval puts [ENC], the last id, in the first place.
        for (int i = 0; i < sentences.Length; i += (int)ids[1])
            sentences[i] = model.Scorer.VocabularySize - 1;
        model.ScoreTokens(images, sentences, (int)ids[1], logits);
        GoldenFeatures.AssertClose(golden, "itm_logits_enc", logits, Tolerance);
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

    private static int[] Ids(ICheckpoint golden, string name) => [.. golden.ReadInt64s(name).Select(static id => checked((int)id))];
}
