using ClipEngine.Cli.Commands;
using ClipEngine.Files;
using ClipEngine.Imaging;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

public class PreprocessCommandTests
{
    [Fact]
    public async Task EveryImageBecomesAnArrayNamedAfterIt()
    {
        using var folder = new TemporaryFolder();
        int code = await Run("preprocess", TestData.Path("preprocess", "images"), "--size", "32", "--mode", "squash", "--interpolation", "bilinear", "--out", folder.File("out"));

        Assert.Equal(0, code);
        string[] images = Directory.GetFiles(TestData.Path("preprocess", "images"));
        Assert.Equal(images.Length, Directory.GetFiles(folder.File("out")).Length);
        var preprocessor = new ImagePreprocessor(new PreprocessOptions { Height = 32, Width = 32, ResizeMode = ResizeMode.Squash, Interpolation = Interpolation.Bilinear });
        var expected = new byte[preprocessor.ElementCount];
        foreach (string image in images)
        {
            (byte[] crop, var dimensions) = NpyFile.ReadAll<byte>(folder.File("out", Path.GetFileName(image) + ".npy"));
            preprocessor.CropFile(image, expected);
            Assert.Equal(new long[] { 32, 32, 3 }, dimensions);
            Assert.Equal(expected, crop);
        }
    }

    [Fact]
    public async Task ARefusedImageIsNamedAndTheOthersAreWritten()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("page.jpg"), "<html>not found</html>");
        int code = await Run("preprocess", folder.File("page.jpg"), TestData.Path("preprocess", "images", "one.png"), "--size", "8", "--out", folder.File("out"));

        Assert.Equal(2, code);
        Assert.Equal(["one.png.npy"], Directory.GetFiles(folder.File("out")).Select(Path.GetFileName));
    }

    [Fact]
    public async Task TwoImagesOfOneNameAreRefusedBeforeAnythingIsWritten()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("a"));
        Directory.CreateDirectory(folder.File("b"));
        foreach (string part in new[] { "a", "b" })
            File.Copy(TestData.Path("preprocess", "images", "one.png"), folder.File(part, "one.png"));

        Assert.Equal(2, await Run("preprocess", folder.File("a"), folder.File("b"), "--size", "8", "--out", folder.File("out")));
        Assert.False(Directory.Exists(folder.File("out")));
    }

    [Fact]
    public void TheModelsOwnPreprocessingIsUsed()
    {
        string model = Directory.GetDirectories(TestData.Path("towers")).Order(StringComparer.Ordinal).First();
        PreprocessOptions expected = Models.OpenClipConfig.Load(Path.Combine(model, "open_clip_config.json")).Preprocess;
        foreach (string named in new[] { model, Path.Combine(model, "open_clip_model.safetensors") })
        {
            Assert.Equal(expected, PreprocessCommand.Options(named, null, null, null, null, null, new()));
        }

        Assert.Throws<BadInputException>(() => PreprocessCommand.Options(model, null, null, 224, null, null, new()));
        Assert.Throws<BadInputException>(() => PreprocessCommand.Options(model + "-absent", null, null, null, null, null, new()));
    }

    [Theory]
    [InlineData(null, null, null)]
    [InlineData(8, "longest", null)]
    [InlineData(8, null, "nearest")]
    public void OptionsThatMakeNoSenseAreRefused(int? size, string? mode, string? interpolation) =>
        Assert.Throws<BadInputException>(() => PreprocessCommand.Options(null, null, null, size, mode, interpolation, new()));

    private static async Task<int> Run(params string[] arguments) => (await CommandLine.RunAsync(arguments)).ExitCode;
}
