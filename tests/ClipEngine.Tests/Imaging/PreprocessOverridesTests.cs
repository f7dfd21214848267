using ClipEngine.Imaging;

namespace ClipEngine.Tests.Imaging;

public class PreprocessOverridesTests
{
    private static readonly PreprocessOptions s_openClip = new() { Height = 32, Width = 32 };

    [Fact]
    public void NothingAskedForKeepsEachLayoutsOwn()
    {
        Assert.Equal(s_openClip, new PreprocessOverrides().Apply(s_openClip));
        Assert.Equal(s_openClip.AsTransformers(), PreprocessOverrides.Parse(null, null, null).Apply(s_openClip.AsTransformers()));
        Assert.Equal((Resampler.Pillow13, RgbOrder.Last, AlphaHandling.Drop, CropStart.HalfEven), (s_openClip.Resampler, s_openClip.RgbOrder, s_openClip.Alpha, s_openClip.CropStart));
        PreprocessOptions transformers = s_openClip.AsTransformers();
        Assert.Equal((Resampler.Torchvision, RgbOrder.First, AlphaHandling.White, CropStart.Down), (transformers.Resampler, transformers.RgbOrder, transformers.Alpha, transformers.CropStart));
    }

    [Fact]
    public void TorchvisionMeansRgbFirstUnlessThatIsContradicted()
    {
        Assert.Equal(RgbOrder.First, PreprocessOverrides.Parse("torchvision", null, null).Apply(s_openClip).RgbOrder);
        Assert.Equal(RgbOrder.Last, PreprocessOverrides.Parse("pillow-12", "last", null).Apply(s_openClip.AsTransformers()).RgbOrder);
        Assert.Throws<BadInputException>(() => PreprocessOverrides.Parse("torchvision", "last", null).Apply(s_openClip));
        Assert.Throws<BadInputException>(() => PreprocessOverrides.Parse(null, "last", null).Apply(s_openClip.AsTransformers()));
        Assert.Throws<BadInputException>(() => new ImagePreprocessor(s_openClip with { Resampler = Resampler.Torchvision }));
    }

    [Theory]
    [InlineData("pillow", null, null, "--resampler")]
    [InlineData(null, "second", null, "--rgb")]
    [InlineData(null, null, "black", "--alpha")]
    [InlineData("", null, null, "--resampler")]
    public void AWordThatIsNoneIsRefusedByItsOption(string? resampler, string? rgb, string? alpha, string option) =>
        Assert.Equal(option, Assert.Throws<BadInputException>(() => PreprocessOverrides.Parse(resampler, rgb, alpha, "--")).InputSource);

    [Fact]
    public void RunRecordsNameEveryChoice()
    {
        Assert.Equal("32 x 32, shortest, bicubic, resampler pillow-13, RGB last, alpha drop, crop half-even, normalised in two steps, mean 0.48145467 0.4578275 0.40821072, deviation 0.26862955 0.2613026 0.2757771", PreprocessNames.Describe(s_openClip));
        Assert.Equal("32 x 32, squash, bilinear, resampler torchvision, RGB first, alpha white, no crop, normalised in one step, mean 0.5 0.5 0.5, deviation 0.5 0.5 0.5",
            PreprocessNames.Describe((s_openClip with { ResizeMode = ResizeMode.Squash, Interpolation = Interpolation.Bilinear, Mean = [0.5f, 0.5f, 0.5f], StandardDeviation = [0.5f, 0.5f, 0.5f] }).AsTransformers()));
    }
}
