using ClipEngine.Native;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using ClipEngine.Tests.Models;

namespace ClipEngine.Tests.Tensors;

/// <summary>Every operation against plain loops in double precision: on the processor with every instruction set, and on the emulated CUDA device.</summary>
public class OperationTests
{
    /// <summary>fp32 sums of a few dozen products of numbers below 1, and a polynomial's error in an activation.</summary>
    private const double Tolerance = 4e-6;

    private const string Emulated = "cuda, emulated";

    public static TheoryData<string, string> Cases()
    {
        var all = new TheoryData<string, string>();
        foreach (string backend in BackendsUnderTest.Names.Where(static name => name != "toy").Append(Emulated))
        {
            foreach (OperationCase operation in OperationCase.All)
                all.Add(backend, operation.Name);
        }

        return all;
    }

    [SkippableTheory]
    [MemberData(nameof(Cases))]
    public void ValuesEqualThoseOfPlainLoops(string backendName, string name)
    {
        OperationCase operation = OperationCase.All.Single(entry => entry.Name == name);
        // Grouped convolutions that are not depthwise are said to be missing there.
        Skip.If(backendName == Emulated && name == "convolution, strided and grouped", "CUDA convolves in one group or in groups of one channel.");
        using IBackend plain = new ToyBackend(), backend = backendName == Emulated ? OpenEmulated() : BackendsUnderTest.Create(backendName);
        (Shape expectedShape, float[] expected) = Run(plain, operation);
        (Shape shape, float[] found) = Run(backend, operation);
        Assert.Equal(expectedShape, shape);
        for (int i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - found[i]) <= Tolerance * Math.Max(1, Math.Abs(expected[i])), $"element {i}: expected {expected[i]:R}, found {found[i]:R}");
    }

    private static CudaBackend OpenEmulated()
    {
        string library = Path.Combine(TestData.RepositoryRoot, "artifacts", "native", "Release", "libclipengine_cuda_emulated.so");
        Skip.IfNot(File.Exists(library), "the emulated CUDA device is built by ./test.sh with the native tests");
        return CudaBackend.Create(new CudaBackendOptions { LibraryPath = library });
    }

    private static (Shape Shape, float[] Values) Run(IBackend backend, OperationCase operation)
    {
        Weight[] weights = Weights(operation, backend);
        (Shape, float[]) result;
        using (IPass pass = backend.BeginPass())
        {
            Tensor made = operation.Run(backend, pass, [.. operation.Inputs.Select((shape, i) => pass.Upload(Numbers(shape, i), shape))], weights);
            float[] values = new float[made.Shape.ElementCount];
            pass.Read(made, values);
            result = (made.Shape, values);
        }

        foreach (Weight weight in weights)
            weight.Dispose();
        return result;
    }

    private static unsafe Weight[] Weights(OperationCase operation, IBackend backend) =>
    [
        .. operation.Weights.Select((weight, i) =>
        {
            float[] values = Numbers(weight.Shape, 100 + i);
            fixed (float* address = values)
                return backend.CreateWeight(new WeightData($"weight {i}", weight.Shape, ElementType.Float32, (nint)address), weight.Role);
        }),
    ];

    private static float[] Numbers(Shape shape, int seed)
    {
        var random = new Random(1000 + seed);
        return [.. Enumerable.Range(0, (int)shape.ElementCount).Select(_ => (float)((2 * random.NextDouble()) - 1))];
    }
}
