using ClipEngine.Checkpoints;
using ClipEngine.Cli;
using ClipEngine.Cli.Commands;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

/// <summary>
/// Tiny random models of families beside CLIP against open_clip 3.3.0 with timm 1.0.31, and transformers 5.24.0: features, normalised
/// features and logits within 2e-5 of their own spread.
/// </summary>
public class FamilyGoldenTests
{
    private const double Tolerance = 2e-5;

    // In tests/data; the others stand in the shared folder.
    private static readonly string[] s_copied = ["siglip-b16", "hf-siglip", "convnext-base-w"];

    private static readonly string[] s_families =
    [
        "siglip-b16", "siglip-so400m14", "siglip-so400m16-i18n", "siglip2-b16", "siglip2-gopt16", "hf-siglip", "hf-siglip2-naflex",
        "clipa-h14", "worldwide-h14", "worldwide-l14-quickgelu", "coca-b32", "coca-base", "hf-clip", "hf-clip-legacy-eos", "hf-metaclip2",
        "eva01-g14", "eva02-b16", "eva02-e14", "mobileclip-b", "mobileclip2-l14", "pe-core-b16", "pe-core-bigg14", "vit-medium-gap", "roberta-b32", "xlm-roberta-b32", "coca-roberta-b32",
        "mt5-b32", "nllb-clip-b32", "nllb-clip-siglip", "hf-altclip", "hf-chinese-clip",
        "convnext-base-w", "convnext-large-d-320", "convnext-xxlarge", "mobileclip2-s0", "mobileclip2-s3", "vitamin-s", "vitamin-xl",
    ];

    /// <summary>All that pass; their files stand in the shared folder.</summary>
    internal static IEnumerable<string> AllFamilies => s_families;

    /// <summary>Those whose files stand in the shared folder only.</summary>
    internal static IEnumerable<string> SharedFamilies => s_families.Except(s_copied);

    public static TheoryData<string, string> Families()
    {
        var data = new TheoryData<string, string>();
        foreach (string backend in BackendsUnderTest.Names)
        {
            foreach (string family in s_families)
                data.Add(family, backend);
        }

        return data;
    }

    [SkippableTheory]
    [MemberData(nameof(Families))]
    public void FeaturesAndLogitsEqualThoseOfTheOriginal(string family, string backendName)
    {
        string folder = Folder(family);
        using IBackend backend = BackendsUnderTest.Create(backendName);
        using LoadedModel model = LoadedModel.Load(folder, backend);
        using ICheckpoint golden = Checkpoint.OpenAsStored(Path.Combine(folder, "golden.safetensors"));
        Check(model.Encoder, golden);
    }

    /// <summary>
    /// A FastViT whose branches were added up as timm's <c>reparameterize_model</c> does it, in double precision and by the definition of
    /// each branch, gives the features of the one that it was made of.
    /// </summary>
    [SkippableTheory]
    [InlineData("mobileclip2-s0")]
    [InlineData("mobileclip2-s3")]
    public void FusedBranchesGiveTheSameFeatures(string family)
    {
        string original = TestData.SharedPath("goldens", "families", family);
        using var folder = new TemporaryFolder();
        foreach (string file in Directory.GetFiles(original).Where(static file => !file.EndsWith("open_clip_model.safetensors", StringComparison.Ordinal)))
            File.Copy(file, folder.File(Path.GetFileName(file)));
        using (ICheckpoint stored = Checkpoint.OpenAsStored(Path.Combine(original, "open_clip_model.safetensors")))
            FusedFastVit.Write(stored, folder.File("open_clip_model.safetensors"));
        using ICheckpoint golden = Checkpoint.OpenAsStored(folder.File("golden.safetensors"));
        using (ICheckpoint fused = Checkpoint.OpenAsStored(folder.File("open_clip_model.safetensors")))
            Assert.DoesNotContain(fused.Tensors.Keys, static key => key.Contains("conv_kxk", StringComparison.Ordinal) || key.Contains("large_conv", StringComparison.Ordinal) || key.Contains("pos_enc", StringComparison.Ordinal));
        foreach (string name in BackendsUnderTest.Names)
        {
            using IBackend backend = BackendsUnderTest.Create(name);
            using LoadedModel model = LoadedModel.Load(folder.Root, backend);
            Check(model.Encoder, golden);
        }
    }

    /// <summary>Every folder of reference outputs is loaded; what is refused is a tower that no folder has, and is refused by the family's name in one line.</summary>
    [Theory]
    [InlineData("swin_base_patch4_window7_224", "Swin")]
    [InlineData("resnet50", "ResNet of timm")]
    [InlineData("naflexvit_base_patch16_siglip", "NaFlex")]
    [InlineData("vit_relpos_medium_patch16_cls_224", "CLIP with an image tower of timm")]
    public void AFamilyThatIsNotSupportedIsRefusedByNameInOneLine(string tower, string family)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("open_clip_config.json"), $$"""{ "embed_dim": 8, "vision_cfg": { "timm_model_name": "{{tower}}" }, "text_cfg": { "context_length": 4, "vocab_size": 9, "width": 8, "heads": 2, "layers": 1 } }""");
        var weights = new SafetensorsWriter();
        weights.Add("logit_scale", new[] { 1f });
        weights.Write(folder.File("open_clip_model.safetensors"));
        using var output = new StringWriter();
        var exception = Assert.Throws<UnsupportedFamilyException>(() => InspectCommand.Run(folder.Root, configurationPath: null, asJson: false, output));
        Assert.Contains($"the family {exception.Family}, which is not supported", exception.Message, StringComparison.Ordinal);
        Assert.Equal($"{family} ({tower})", exception.Family);
        Assert.DoesNotContain('\n', exception.Message);
        Assert.Empty(output.ToString());
        using IBackend backend = BackendsUnderTest.Create(BackendsUnderTest.Names[0]);
        Assert.Throws<UnsupportedFamilyException>(() => LoadedModel.Load(folder.Root, backend));
    }

    [SkippableFact]
    public void EveryGoldenFolderIsInTheList()
    {
        string[] folders = [.. Directory.GetDirectories(TestData.SharedPath("goldens", "families")).Select(static path => Path.GetFileName(path)!).Order(StringComparer.Ordinal)];
        Assert.Equal(folders, s_families.Order(StringComparer.Ordinal));
    }

    /// <summary>docs/models.md has a row for every family that a golden passes for, and for no other.</summary>
    [SkippableFact]
    public void TheTableOfModelsHasEveryFamily()
    {
        // BLIP and BLIP-2 have goldens of their own, BERT none in this layout.
        SortedSet<string> expected = ["BLIP", "BLIP-2", "CLIP with a BERT text tower", .. s_families.Select(static family => ModelConfiguration.Plan(TestData.SharedPath("goldens", "families", family)).Family)];
        string table = File.ReadAllText(Path.Combine(TestData.RepositoryRoot, "docs", "models.md")).Split("\n\n").First(static part => part.StartsWith("| family |", StringComparison.Ordinal));
        Assert.Equal(expected, new SortedSet<string>(table.Split('\n').Skip(2).Select(static row => row.Split('|')[1].Trim())));
    }

    /// <summary>Compares everything that a golden of either library holds.</summary>
    internal static void Check(IDualEncoder encoder, ICheckpoint golden)
    {
        (string pixels, string tokens, string logits) = golden.Tensors.ContainsKey("pixels") ? ("pixels", "tokens", "logits") : ("pixel_values", "input_ids", "logits_per_image");
        float[] images = encoder.Packing is { } packing
            ? GoldenFeatures.Images(encoder, RawInput.Pack(golden, pixels, packing, out long count), new Shape(count, 3, packing.Size.Height, packing.Size.Width), normalize: false)
            : GoldenFeatures.Images(encoder, golden.ReadSingles(pixels), GoldenFeatures.ShapeOf(golden, pixels), normalize: false);
        int[] ids = [.. golden.ReadInt64s(tokens).Select(static id => checked((int)id))];
        float[] texts = GoldenFeatures.Texts(encoder, ids, (int)GoldenFeatures.ShapeOf(golden, tokens)[1], normalize: false);
        GoldenFeatures.AssertClose(golden, "image_features", images, Tolerance);
        GoldenFeatures.AssertClose(golden, "text_features", texts, Tolerance);
        float[] imageUnits = Normalized(images, encoder.EmbedDimension), textUnits = Normalized(texts, encoder.EmbedDimension);
        GoldenFeatures.AssertClose(golden, "image_features_normalized", imageUnits, Tolerance);
        GoldenFeatures.AssertClose(golden, "text_features_normalized", textUnits, Tolerance);
        int width = encoder.EmbedDimension, rows = images.Length / width, columns = texts.Length / width;
        float[] found = new float[rows * columns];
        for (int i = 0; i < found.Length; i++)
        {
            double cosine = 0;
            for (int c = 0; c < width; c++)
                cosine += (double)imageUnits[(i / columns * width) + c] * textUnits[(i % columns * width) + c];
            found[i] = (float)((encoder.LogitScale * cosine) + (encoder.LogitBias ?? 0));
        }

        GoldenFeatures.AssertClose(golden, logits, found, Tolerance);
    }

    private static string Folder(string family) => s_copied.Contains(family) ? TestData.Path("families", family) : TestData.SharedPath("goldens", "families", family);

    private static float[] Normalized(float[] rows, int width)
    {
        float[] units = new float[rows.Length];
        for (int start = 0; start < rows.Length; start += width)
        {
            double length = Math.Sqrt(rows.AsSpan(start, width).ToArray().Sum(static value => (double)value * value));
            for (int i = 0; i < width; i++)
                units[start + i] = (float)(rows[start + i] / length);
        }

        return units;
    }
}
