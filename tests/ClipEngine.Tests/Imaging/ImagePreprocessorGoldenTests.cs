using System.Security.Cryptography;
using System.Text.Json;
using ClipEngine.Imaging;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Imaging;

/// <summary>Everything that Pillow 9.4 and torchvision 0.14 made of the images in <c>tests/data/preprocess</c>, byte for byte.</summary>
public class ImagePreprocessorGoldenTests
{
    public static TheoryData<string> Files()
    {
        var files = new TheoryData<string>();
        foreach (JsonProperty file in Golden().EnumerateObject())
            files.Add(file.Name);
        return files;
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void DecodedPixelsAreThoseOfPillow(string file)
    {
        JsonElement golden = Golden().GetProperty(file);
        byte[] encoded = Read(file);

        DecodedImage image = ImagePreprocessor.Decode(encoded, file);

        Assert.Equal(golden.GetProperty("width").GetInt32(), image.Width);
        Assert.Equal(golden.GetProperty("height").GetInt32(), image.Height);
        Assert.Equal(golden.GetProperty("decoded_sha256").GetString(), Convert.ToHexStringLower(SHA256.HashData(image.Rgb)));
        Assert.Equal((image.Width, image.Height), (ImagePreprocessor.ReadHeader(encoded, file).Width, ImagePreprocessor.ReadHeader(encoded, file).Height));
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void EveryTransformGivesTheBytesOfTorchvision(string file)
    {
        byte[] encoded = Read(file);
        int transforms = 0;
        foreach (JsonProperty transform in Golden().GetProperty(file).GetProperty("transforms").EnumerateObject())
        {
            var preprocessor = new ImagePreprocessor(ParseTransform(transform.Name));
            var crop = new byte[preprocessor.ElementCount];

            preprocessor.Crop(encoded, file, crop);

            Assert.True(
                transform.Value.GetProperty("sha256").GetString() == Convert.ToHexStringLower(SHA256.HashData(crop)),
                $"{file}: {transform.Name} differs on {ImagePreprocessor.Kernels}");
            transforms++;
        }

        Assert.Equal(6, transforms);
    }

    [Fact]
    public void PixelsAreTheCropsBytesScaledInSinglePrecision()
    {
        var preprocessor = new ImagePreprocessor(ParseTransform("shortest-224-bicubic"));
        byte[] encoded = Read("chelsea.png");
        var crop = new byte[preprocessor.ElementCount];
        var pixels = new float[preprocessor.ElementCount];

        preprocessor.Crop(encoded, "chelsea.png", crop);
        preprocessor.Preprocess(encoded, "chelsea.png", pixels);

        for (int channel = 0; channel < 3; channel++)
        {
            for (int i = 0; i < 224 * 224; i++)
            {
                float expected = (crop[(i * 3) + channel] / 255f - PreprocessOptions.OpenAiMean[channel]) / PreprocessOptions.OpenAiStandardDeviation[channel];
                Assert.Equal(expected, pixels[(channel * 224 * 224) + i]);
            }
        }
    }

    private static PreprocessOptions ParseTransform(string name) =>
        PreprocessGoldenTests.ParseTransform(name) with { Resampler = Resampler.Pillow12, RgbOrder = RgbOrder.First };

    private static byte[] Read(string file) => File.ReadAllBytes(TestData.Path("preprocess", "images", file));

    private static JsonElement Golden()
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("preprocess", "golden.json")));
        return document.RootElement.GetProperty("files").Clone();
    }
}
