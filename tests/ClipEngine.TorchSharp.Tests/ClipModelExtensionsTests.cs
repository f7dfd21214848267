using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using ClipEngine.Tests.Models;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>Tensors into a model and out of it: the features of the other way in, and the caller's own memory.</summary>
public sealed class ClipModelExtensionsTests : IDisposable
{
    private readonly TorchBackend _backend = TorchBackend.Create();
    private readonly ClipModel _model;
    private readonly ICheckpoint _golden = Checkpoint.Open(TestData.Path("towers", "vit-gelu", "golden.safetensors"));
    private readonly DisposeScope _scope = torch.NewDisposeScope();

    public ClipModelExtensionsTests() => _model = ClipModel.Load(TestData.Path("towers", "vit-gelu"), new ClipModelOptions { Backend = _backend });

    public void Dispose()
    {
        _scope.Dispose();
        _golden.Dispose();
        _model.Dispose();
        _backend.Dispose();
    }

    [Fact]
    public void FeaturesAreThoseOfTheGoldensAndOfTheModelsOwnCalls()
    {
        TorchTensor pixels = Pixels(), ids = Ids();
        float[] images = _model.EncodeImages(pixels, normalize: false).data<float>().ToArray(), texts = _model.EncodeTexts(ids, normalize: false).data<float>().ToArray();
        GoldenFeatures.AssertWithin(_golden.ReadSingles("image_features"), images, 2e-5);
        GoldenFeatures.AssertWithin(_golden.ReadSingles("text_features"), texts, 2e-5);
        float[] own = new float[images.Length];
        _model.EncodePixels(_golden.ReadSingles("pixels"), own);
        GoldenFeatures.AssertWithin(own, _model.EncodeImages(pixels).data<float>().ToArray(), 1e-5);
    }

    /// <summary>The example of docs/dotnet-api.md.</summary>
    [Fact]
    public void TheNearestOfAnIndexIsFoundOnTheBackend()
    {
        TorchTensor pixels = Pixels(), index = _model.EncodeImages(pixels);
        string folder = TestData.Path("towers", "vit-gelu");

        using TorchBackend backend = TorchBackend.Create(new TorchBackendOptions { Device = "cpu" });
        using ClipModel model = ClipModel.Load($"{folder}", new ClipModelOptions { Backend = backend });
        using DisposeScope scope = torch.NewDisposeScope();
        torch.Tensor features = model.EncodeImages(pixels);
        torch.Tensor nearest = features.matmul(index.t()).argmax(1);

        Assert.Equal(Enumerable.Range(0, (int)pixels.shape[0]).Select(i => (long)i), nearest.data<long>().ToArray());
    }

    [Fact]
    public void NothingIsCopiedOnTheWayInOrOut()
    {
        TorchTensor pixels = Pixels();
        using (TorchPass pass = _backend.BeginTorchPass())
        {
            Tensor imported = pass.Import(pixels);
            Assert.Equal(TorchTensors.AddressOf(pixels), TorchTensors.AddressOf((TorchTensor)imported.Storage!));
            Assert.Equal(TorchTensors.AddressOf(pixels), TorchTensors.AddressOf(pass.Export(imported)));
        }

        Assert.False(pixels.IsInvalid); // the pass has given back its handle, not the caller's
        TorchTensor other = pixels.to(torch.ScalarType.Float64);
        GoldenFeatures.AssertWithin(_model.EncodeImages(pixels).data<float>().ToArray(), _model.EncodeImages(other).data<float>().ToArray(), 1e-6);
    }

    [Fact]
    public void GradientsReachThePixelsThatAskForThem()
    {
        TorchTensor pixels = Pixels().requires_grad_(true);
        _model.EncodeImages(pixels).sum().backward();
        Assert.True(pixels.grad!.abs().sum().Number() > 0);
        Assert.False(_model.EncodeImages(Pixels()).requires_grad);
    }

    [Fact]
    public void WhatDoesNotFitIsRefusedAndGivenBack()
    {
        TorchTensor pixels = Pixels();
        long before = LiveTensors.Count();
        Assert.Throws<ArgumentException>(() => _model.EncodeImages(torch.zeros(1, 3, 2, 2).DetachFromDisposeScope()));
        Assert.Throws<ArgumentException>(() => _model.EncodeTexts(torch.zeros(new long[] { 3 }, torch.ScalarType.Int64)));
        Assert.ThrowsAny<ArgumentException>(() => _model.EncodeTexts(torch.full(new long[] { 1, 4 }, _model.Encoder.VocabularySize, torch.ScalarType.Int64)));
        using ClipModel native = ClipModel.Load(TestData.Path("towers", "vit-gelu"));
        Assert.Contains("TorchBackend", Assert.Throws<InvalidOperationException>(() => native.EncodeImages(pixels)).Message);
        _model.Dispose();
        Assert.Throws<ObjectDisposedException>(() => _model.EncodeImages(pixels));
        LiveTensors.AssertAtMost(before + 3); // the three that this test made
    }

    private TorchTensor Pixels()
    {
        Shape shape = GoldenFeatures.ShapeOf(_golden, "pixels");
        return torch.tensor(_golden.ReadSingles("pixels")).reshape(TorchTensors.Sizes(shape));
    }

    private TorchTensor Ids()
    {
        Shape shape = GoldenFeatures.ShapeOf(_golden, "tokens");
        return torch.tensor(GoldenFeatures.Ids(_golden)).reshape(TorchTensors.Sizes(shape));
    }
}
