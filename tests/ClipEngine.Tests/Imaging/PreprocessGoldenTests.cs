using System.Security.Cryptography;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Imaging;

/// <summary>
/// Modes, resamplers and image processors, byte for byte: <c>preprocess-modes</c> by open_clip, <c>preprocess-resamplers</c> by Pillow 12.3 and
/// 13.0 and torchvision 0.29, <c>preprocess-transformers</c> by transformers 5.24 and BLIP's authors. What is too large for every clone is
/// read from the shared folder.
/// </summary>
public class PreprocessGoldenTests
{
    private static readonly string[] s_orders = ["open_clip", "rgb_first"];

    [Fact]
    public void ImagesOfEveryModeAreResizedInTheOrderThatIsAskedFor() => Assert.Equal(240, CheckModes(TestData.Path("preprocess-modes")));

    [Fact]
    public void EachResamplerGivesItsOwnBytes() => Assert.Equal(210, CheckResamplers(TestData.Path("preprocess-resamplers")));

    [SkippableFact]
    public void EachResamplerGivesItsOwnBytesForLargeImagesToo() => Assert.Equal(462, CheckResamplers(TestData.SharedPath("goldens", "preprocess-resamplers")));

    [Fact]
    public void ProcessorsOfTransformersGiveTheirBytesAndTheirNumbers()
    {
        string folder = TestData.Path("preprocess-transformers");
        int variants = 0;
        foreach (JsonProperty file in Golden(folder).EnumerateObject())
        {
            byte[] encoded = File.ReadAllBytes(Path.Combine(folder, "images", file.Name));
            foreach (JsonProperty variant in file.Value.GetProperty("variants").EnumerateObject())
            {
                int dash = variant.Name.LastIndexOf('-');
                int size = int.Parse(variant.Name[(dash + 1)..]);
                var squash = new PreprocessOptions { Height = size, Width = size, ResizeMode = ResizeMode.Squash };
                PreprocessOptions pillow = squash.AsTransformers() with { Resampler = Resampler.Pillow13, Normalization = Normalization.InTwoSteps };
                PreprocessOptions authors = squash with { RgbOrder = RgbOrder.First };
                PreprocessOptions options = variant.Name[..dash] switch
                {
                    "torchvision" => squash.AsTransformers(),
                    "pil" => pillow,
                    "pil-horizontal-first" => pillow with { Resampler = Resampler.Pillow12 },
                    "authors" => authors,
                    "authors-horizontal-first" => authors with { Resampler = Resampler.Pillow12 },
                    _ => throw new InvalidOperationException(variant.Name),
                };
                var preprocessor = new ImagePreprocessor(options);
                float[] pixels = new float[preprocessor.ElementCount];
                preprocessor.Preprocess(encoded, file.Name, pixels);
                Assert.True(variant.Value.GetProperty("uint8_sha256").GetString() == Crop(options, encoded, file.Name), $"{file.Name}: {variant.Name}");
                Assert.True(variant.Value.GetProperty("float_sha256").GetString() == Hash(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(pixels)), $"{file.Name}: {variant.Name}, the numbers");
                variants++;
            }
        }

        Assert.Equal(52, variants);
    }

    [SkippableTheory]
    [InlineData("hf-clip")]
    [InlineData("hf-clip-legacy-eos")]
    [InlineData("hf-metaclip2")]
    [InlineData("hf-siglip")]
    public void ProcessorsOfFamiliesGiveTheirNumbers(string family)
    {
        string folder = TestData.SharedPath("goldens", "families", family);
        using ICheckpoint golden = Checkpoint.Open(Path.Combine(folder, "golden.safetensors"));
        using JsonDocument steps = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "preprocessor_config.json")));
        float[] Numbers(string key) => [.. steps.RootElement.GetProperty(key).EnumerateArray().Select(number => number.GetSingle())];
        var preprocessor = new ImagePreprocessor(new PreprocessOptions
        {
            Height = 32,
            Width = 32,
            ResizeMode = steps.RootElement.TryGetProperty("crop_size", out _) ? ResizeMode.Shortest : ResizeMode.Squash,
            Interpolation = steps.RootElement.GetProperty("resample").GetInt32() == 2 ? Interpolation.Bilinear : Interpolation.Bicubic,
            Mean = [.. Numbers("image_mean")],
            StandardDeviation = [.. Numbers("image_std")],
        }.AsTransformers());
        float[] pixels = new float[preprocessor.ElementCount];
        preprocessor.Preprocess(ImageFiles.Png(golden, "processor.image_u8"), family, pixels);
        Assert.Equal(golden.ReadSingles("processor.pixel_values"), pixels);
    }

    [SkippableFact]
    public void PatchesOfNaFlexAreThoseOfTransformers()
    {
        string folder = TestData.SharedPath("goldens", "families", "hf-siglip2-naflex");
        using ICheckpoint golden = Checkpoint.Open(Path.Combine(folder, "golden.safetensors"));
        var options = new PreprocessOptions { Height = 1, Width = 1, Interpolation = Interpolation.Bilinear, Mean = [0.5f, 0.5f, 0.5f], StandardDeviation = [0.5f, 0.5f, 0.5f] };
        var preprocessor = new NaFlexPreprocessor(options.AsTransformers(), patchSize: 4, maximumPatches: 18);
        float[] patches = new float[preprocessor.MaximumPatches * preprocessor.PatchLength];
        PatchGrid grid = preprocessor.Preprocess(ImageFiles.Png(golden, "processor.image_u8"), "naflex", patches);
        Assert.Equal(golden.ReadInt64s("processor.spatial_shapes"), new long[] { grid.Rows, grid.Columns });
        Assert.Equal(golden.ReadSingles("processor.pixel_values"), patches);
    }

    [Theory]
    [InlineData(224, 224, 16, 256, 16, 16)]
    [InlineData(1, 1000, 16, 256, 1, 256)]
    [InlineData(1000, 1, 16, 256, 256, 1)]
    [InlineData(480, 640, 16, 256, 14, 18)]
    [InlineData(1, 1, 16, 1, 1, 1)]
    public void GridsKeepTheProportionsAndTheLimit(int height, int width, int patch, int maximum, int rows, int columns) =>
        Assert.Equal(new PatchGrid(rows, columns), PatchGrid.Fit(height, width, patch, maximum));

    private static int CheckModes(string folder)
    {
        int crops = 0;
        foreach (JsonProperty file in Golden(folder).EnumerateObject())
        {
            byte[] encoded = File.ReadAllBytes(Path.Combine(folder, "images", file.Name));
            foreach (string order in s_orders)
            {
                foreach (JsonProperty transform in file.Value.GetProperty(order).EnumerateObject())
                {
                    PreprocessOptions options = ParseTransform(transform.Name) with { Resampler = Resampler.Pillow12, RgbOrder = order == "open_clip" ? RgbOrder.Last : RgbOrder.First };
                    Assert.True(transform.Value.GetProperty("sha256").GetString() == Crop(options, encoded, file.Name), $"{file.Name}: {order}, {transform.Name} differs on {ImagePreprocessor.Kernels}");
                    crops++;
                }
            }
        }

        return crops;
    }

    private static int CheckResamplers(string folder)
    {
        int crops = 0;
        foreach (JsonProperty file in Golden(folder).EnumerateObject())
        {
            string path = Path.Combine(folder, "images", file.Name);
            if (!File.Exists(path))
                continue;
            byte[] encoded = File.ReadAllBytes(path);
            foreach (JsonProperty transform in file.Value.EnumerateObject().Where(member => member.Name.Contains('-')))
            {
                foreach (JsonProperty resampler in transform.Value.EnumerateObject())
                {
                    PreprocessOptions options = resampler.Name switch
                    {
                        "pillow12" => ParseTransform(transform.Name) with { Resampler = Resampler.Pillow12 },
                        "pillow13" => ParseTransform(transform.Name) with { Resampler = Resampler.Pillow13 },
                        _ => ParseTransform(transform.Name).AsTransformers(),
                    };
                    Assert.True(resampler.Value.GetProperty("sha256").GetString() == Crop(options, encoded, file.Name), $"{file.Name}: {resampler.Name}, {transform.Name} differs on {ImagePreprocessor.Kernels}");
                    crops++;
                }
            }
        }

        return crops;
    }

    internal static PreprocessOptions ParseTransform(string name)
    {
        string[] parts = name.Split('-');
        int size = int.Parse(parts[1]);
        return new PreprocessOptions
        {
            Height = size,
            Width = size,
            ResizeMode = Enum.Parse<ResizeMode>(parts[0], ignoreCase: true),
            Interpolation = Enum.Parse<Interpolation>(parts[2], ignoreCase: true),
        };
    }

    private static string Crop(PreprocessOptions options, byte[] encoded, string name)
    {
        var preprocessor = new ImagePreprocessor(options);
        byte[] crop = new byte[preprocessor.ElementCount];
        preprocessor.Crop(encoded, name, crop);
        return Hash(crop);
    }

    private static string Hash(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    private static JsonElement Golden(string folder)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "golden.json")));
        return document.RootElement.GetProperty("files").Clone();
    }
}
