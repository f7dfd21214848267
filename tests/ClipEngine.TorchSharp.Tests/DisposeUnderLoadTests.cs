using ClipEngine.Tensors;
using ClipEngine.Testing;
using TorchSharp;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>
/// Whatever is disposed while operations run on it: they finish, right, or throw <see cref="ObjectDisposedException"/>, and every tensor is
/// released. <c>CLIPENGINE_LONG=1</c> for 1,000 rounds each. The other backends: ClipEngine.Tests.
/// </summary>
public sealed class DisposeUnderLoadTests
{
    private const int Width = 16;

    private static readonly float[] s_matrix = Numbers(1, Width * Width), s_input = Numbers(2, 3 * Width);

    [Fact]
    public void AModel()
    {
        using TorchBackend backend = TorchBackend.Create();
        float[] pixels = Numbers(3, 3 * 32 * 32);
        long before = LiveTensors.Count();
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            ClipModel model = ClipModel.Load(TestData.Path("towers", "vit-quickgelu"), new ClipModelOptions { Backend = backend });
            float[] expected = Encode(model);
            UnderLoad.Dispose(round, () => AssertClose(expected, Encode(model)), model.Dispose, threadCount: 2);
        }

        LiveTensors.AssertAtMost(before);

        float[] Encode(ClipModel model)
        {
            float[] features = new float[model.EmbedDimension];
            model.EncodePixels(pixels, features);
            return features;
        }
    }

    [Fact]
    public void AWeight()
    {
        using TorchBackend backend = TorchBackend.Create();
        long before = LiveTensors.Count();
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            Weight weight = Matrix(backend);
            float[] expected = Multiply();
            UnderLoad.Dispose(round, () => AssertClose(expected, Multiply()), weight.Dispose);

            float[] Multiply()
            {
                using IPass pass = backend.BeginPass();
                return MultiplyTwice(pass, weight);
            }
        }

        LiveTensors.AssertAtMost(before);
    }

    [Fact]
    public void AStoreOfTokens()
    {
        using TorchBackend backend = TorchBackend.Create();
        var shape = new Shape(1, 3, Width);
        long before = LiveTensors.Count();
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            TokenStore store = backend.CreateTokenStore(shape);
            using (IPass pass = backend.BeginPass())
                pass.Store(store, pass.Upload(s_input, shape));
            UnderLoad.Dispose(round, () =>
            {
                using IPass pass = backend.BeginPass();
                Tensor tokens = pass.Load(store);
                float[] output = new float[s_input.Length];
                pass.Read(pass.Add(tokens, tokens), output);
                Assert.Equal(s_input.Select(static value => 2 * value), output);
            }, store.Dispose);
        }

        LiveTensors.AssertAtMost(before);
    }

    /// <summary>A pass belongs to one thread; another one may dispose it.</summary>
    [Fact]
    public void APass()
    {
        using TorchBackend backend = TorchBackend.Create();
        using Weight weight = Matrix(backend);
        float[] expected;
        using (IPass pass = backend.BeginPass())
            expected = MultiplyTwice(pass, weight);
        long before = LiveTensors.Count();
        for (int round = 0; round < UnderLoad.Rounds; round++)
        {
            IPass pass = backend.BeginPass();
            UnderLoad.Dispose(round, () =>
            {
                long mark = pass.EnterScope();
                AssertClose(expected, MultiplyTwice(pass, weight));
                pass.LeaveScope(mark, pass.Upload(s_input, new Shape(3, Width)));
            }, pass.Dispose, threadCount: 1);
            pass.Dispose();
        }

        LiveTensors.AssertAtMost(before);
    }

    private static unsafe Weight Matrix(TorchBackend backend)
    {
        fixed (float* address = s_matrix)
            return backend.CreateWeight(new WeightData("weight", new Shape(Width, Width), ElementType.Float32, (nint)address), WeightRole.Linear);
    }

    private static float[] MultiplyTwice(IPass pass, Weight weight)
    {
        float[] output = new float[s_input.Length];
        pass.Read(pass.Linear(pass.Linear(pass.Upload(s_input, new Shape(3, Width)), weight, null), weight, null), output);
        return output;
    }

    private static void AssertClose(float[] expected, float[] found)
    {
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], found[i], 1e-4f);
    }

    private static float[] Numbers(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 2) - 1)];
    }
}
