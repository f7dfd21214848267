using ClipEngine.Imaging;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Imaging;

/// <summary>Changes a setting of the whole process, so nothing else runs meanwhile.</summary>
[CollectionDefinition(nameof(DecodeBudgetTests), DisableParallelization = true)]
public sealed class DecodeBudgetCollection;

[Collection(nameof(DecodeBudgetTests))]
public sealed class DecodeBudgetTests : IDisposable
{
    private readonly long _limit = DecodeBudget.Limit;

    public void Dispose() => DecodeBudget.Limit = _limit;

    [Fact]
    public async Task ImagesWaitUntilTheyFit()
    {
        DecodeBudget.Limit = 100;
        Assert.True(DecodeBudget.Enter(60));
        Assert.False(DecodeBudget.Enter(101));
        Task<bool> second = Task.Run(() => DecodeBudget.Enter(50));
        Task<bool> small = Task.Run(() => DecodeBudget.Enter(40));
        Assert.True(await small);
        Assert.False(second.IsCompleted);
        Assert.Equal(100, DecodeBudget.Used);
        DecodeBudget.Leave(60);
        Assert.True(await second);
        DecodeBudget.Leave(50);
        DecodeBudget.Leave(40);
        Assert.Equal(0, DecodeBudget.Used);
    }

    [Fact]
    public void AnImageThatNeverFitsIsRefusedAndRowByRowOnesAlwaysFit()
    {
        DecodeBudget.Limit = 1000;
        ImageException refusal = ImageFiles.Refusal(ImageFiles.Sample("lossless.webp"));
        Assert.Equal(ImageProblem.TooLarge, refusal.Kind);
        Assert.Contains(DecodeBudget.Variable, refusal.Message);
        Assert.Equal(ImageProblem.TooLarge, ImageFiles.Refusal(ImageFiles.Sample("progressive.jpg")).Kind);
        Assert.Equal(ImageProblem.TooLarge, ImageFiles.Refusal(ImageFiles.Sample("first-frame.gif")).Kind);
        foreach (string name in new[] { "gray.jpg", "cmyk.jpg", "rgba.png", "gray16.png", "plain.bmp" })
            ImageFiles.Crop(ImageFiles.Sample(name));
        Assert.Equal(0, DecodeBudget.Used);
    }

    [Fact]
    public void ManyThreadsStayWithinTheBudgetAndGiveItBackWhenTheyFail()
    {
        byte[] webp = ImageFiles.Sample("lossless.webp"), cut = ImageFiles.Sample("progressive.jpg")[..^2000];
        ImageHeader header = ImagePreprocessor.ReadHeader(webp, "webp");
        DecodeBudget.Limit = 2L * header.Width * header.Height * 8;
        byte[] expected = ImageFiles.Crop(webp);
        long most = 0;
        Parallel.For(0, 64, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i =>
        {
            if (i % 2 == 0)
                Assert.Equal(expected, ImageFiles.Crop(webp));
            else
                ImageFiles.Refusal(cut);
            most = Math.Max(most, DecodeBudget.Used);
        });
        Assert.InRange(most, 0, DecodeBudget.Limit);
        Assert.Equal(0, DecodeBudget.Used);
    }

    [Theory]
    [InlineData(null, null)]
    [InlineData("", null)]
    [InlineData("1", 1L)]
    [InlineData("500M", 500L << 20)]
    [InlineData("2G", 2L << 30)]
    public void TheVariableHoldsBytesOrThousandsOfThem(string? text, long? expected) => Assert.Equal(expected, DecodeBudget.Parse(text));

    [Theory]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("1.5G")]
    [InlineData("G")]
    [InlineData("99999999999G")]
    [InlineData("lots")]
    public void AVariableThatIsNoSizeIsRefusedByName(string text) =>
        Assert.Equal(DecodeBudget.Variable, Assert.Throws<BadInputException>(() => DecodeBudget.Parse(text)).InputSource);
}
