using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Models;

public class PositionGridTests
{
    [Theory]
    [InlineData(7, 7, 4, 4)]
    [InlineData(4, 4, 7, 9)]
    [InlineData(5, 3, 3, 8)]
    [InlineData(16, 16, 5, 5)]
    [InlineData(2, 2, 6, 6)]
    public void ResizingEqualsTorchsBicubicWithAntialias(int oldHeight, int oldWidth, int newHeight, int newWidth)
    {
        using ICheckpoint golden = Checkpoint.Open(TestData.Path("tower-options", "position-grids.safetensors"));
        string name = $"{oldHeight}x{oldWidth} to {newHeight}x{newWidth}";
        float[] resized = new float[newHeight * newWidth * 3];
        PositionGrid.Resize(golden.ReadSingles($"{name}: from"), (oldHeight, oldWidth), resized, (newHeight, newWidth), 3);
        GoldenFeatures.AssertWithin(golden.ReadSingles($"{name}: to"), resized, 2e-6);
    }

    [Fact]
    public void AModelRunsAtAnotherImageSize()
    {
        using var backend = new ToyBackend();
        using var model = LoadedModel.Load(TestData.Path("towers", "vit-gelu"), backend, new ModelOptions { ImageSize = (48, 24) });
        Assert.Equal((48, 24), (model.Encoder.Preprocess.Height, model.Encoder.Preprocess.Width));
        float[] features = GoldenFeatures.Images(model.Encoder, new float[3 * 48 * 24], new(1, 3, 48, 24), normalize: true);
        Assert.Equal(1, features.Sum(value => (double)value * value), 1e-5);
    }

    [Fact]
    public void AResNetIsNotResized()
    {
        using var backend = new ToyBackend();
        var exception = Assert.Throws<BadInputException>(() => LoadedModel.Load(TestData.Path("towers", "resnet-tiny"), backend, new ModelOptions { ImageSize = (96, 96) }));
        Assert.Contains("attention pool", exception.Message);
        Assert.Equal(0, backend.LiveWeights);
    }
}
