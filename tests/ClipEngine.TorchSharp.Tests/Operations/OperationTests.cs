using ClipEngine.Tensors;
using ClipEngine.Testing;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp.Tests.Operations;

/// <summary>Every coarse operation in double precision: its values against plain loops, its gradients against finite differences.</summary>
public class OperationTests
{
    public static TheoryData<string> Names() => [.. OperationCase.All.Select(operation => operation.Name)];

    public static TheoryData<string> DifferentiableNames() => [.. OperationCase.All.Where(operation => operation.IsDifferentiable).Select(operation => operation.Name)];

    [Fact]
    public void NoOperationIsForgotten()
    {
        IEnumerable<string> operations = typeof(IPass).GetMethods().Where(method => method.ReturnType == typeof(Tensor) && method.Name is not ("Upload" or "LeaveScope")).Select(method => method.Name);
        string[] cases = [.. OperationCase.All.Select(operation => string.Concat(operation.Name.Where(char.IsAsciiLetterOrDigit)))];
        Assert.All(operations, name => Assert.Contains(cases, entry => entry.StartsWith(name, StringComparison.OrdinalIgnoreCase)));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void ValuesEqualThoseOfPlainLoops(string name)
    {
        OperationCase operation = OperationCase.All.Single(entry => entry.Name == name);
        using var plain = new ToyBackend();
        using TorchBackend torchBackend = TorchBackend.Create(new TorchBackendOptions { ComputeType = ElementType.Float64 });
        (Shape expectedShape, float[] expected) = Run(plain, operation);
        (Shape shape, float[] found) = Run(torchBackend, operation);
        Assert.Equal(expectedShape, shape);
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], found[i], 2e-6f); // both were rounded to fp32 while they were read
    }

    [Theory]
    [MemberData(nameof(DifferentiableNames))]
    public void GradientsEqualFiniteDifferences(string name)
    {
        const double Step = 1e-5;
        OperationCase operation = OperationCase.All.Single(entry => entry.Name == name);
        using TorchBackend backend = TorchBackend.Create(new TorchBackendOptions { ComputeType = ElementType.Float64 });
        using DisposeScope scope = torch.NewDisposeScope();
        TorchTensor[] operands =
        [
            .. operation.Inputs.Select((shape, i) => Leaf(Numbers(shape, i), shape)),
            .. operation.Weights.Select((weight, i) => Leaf(Numbers(weight.Shape, 100 + i), weight.Shape)),
        ];
        TorchTensor weighted = Weighted(backend, operation, operands);
        weighted.backward();
        for (int i = 0; i < operands.Length; i++)
        {
            TorchTensor? gradient = operands[i].grad;
            Assert.True(gradient is not null, $"no gradient reaches operand {i}");
            for (int direction = 0; direction < 3; direction++)
            {
                TorchTensor along = Leaf(Numbers(new Shape(operands[i].shape), 200 + direction), new Shape(operands[i].shape)).detach();
                double expected = (Value(i, along * Step) - Value(i, along * -Step)) / (2 * Step);
                double found = (gradient! * along).sum().ToDouble();
                Assert.True(Math.Abs(expected - found) <= 1e-7 * Math.Max(1, Math.Abs(expected)), $"operand {i}, direction {direction}: {found:R}, by differences {expected:R}");
            }
        }

        double Value(int operand, TorchTensor change)
        {
            TorchTensor[] moved = [.. operands.Select((tensor, i) => i == operand ? tensor.detach() + change : tensor.detach())];
            return Weighted(backend, operation, moved).ToDouble();
        }
    }

    /// <summary>A random combination of the operation's results: its gradient looks at all of them.</summary>
    private static TorchTensor Weighted(TorchBackend backend, OperationCase operation, TorchTensor[] operands)
    {
        using TorchPass pass = backend.BeginTorchPass();
        int inputs = operation.Inputs.Length;
        Tensor result = operation.Run(backend, pass, [.. operands.Take(inputs).Select(pass.Import)], [.. operation.Weights.Select((weight, i) => new LeafWeight(weight.Shape, weight.Role, operands[inputs + i]))]);
        return (pass.Export(result) * Leaf(Numbers(result.Shape, 300), result.Shape).detach()).sum();
    }

    private static (Shape Shape, float[] Values) Run(IBackend backend, OperationCase operation)
    {
        Weight[] weights = Weights(operation, (data, role) => backend.CreateWeight(data, role));
        using IPass pass = backend.BeginPass();
        Tensor result = operation.Run(backend, pass, [.. operation.Inputs.Select((shape, i) => pass.Upload(Numbers(shape, i), shape))], weights);
        float[] values = new float[result.Shape.ElementCount];
        pass.Read(result, values);
        foreach (Weight weight in weights)
            weight.Dispose();
        return (result.Shape, values);
    }

    private static unsafe Weight[] Weights(OperationCase operation, Func<WeightData, WeightRole, Weight> create) =>
    [
        .. operation.Weights.Select((weight, i) =>
        {
            float[] values = Numbers(weight.Shape, 100 + i);
            fixed (float* address = values)
                return create(new WeightData($"weight {i}", weight.Shape, ElementType.Float32, (nint)address), weight.Role);
        }),
    ];

    private static TorchTensor Leaf(float[] values, Shape shape) =>
        torch.tensor(Array.ConvertAll(values, value => (double)value)).reshape(TorchTensors.Sizes(shape)).requires_grad_();

    private static float[] Numbers(Shape shape, int seed)
    {
        var random = new Random(1000 + seed);
        return [.. Enumerable.Range(0, (int)shape.ElementCount).Select(_ => (float)((2 * random.NextDouble()) - 1))];
    }

    private sealed class LeafWeight(Shape shape, WeightRole role, TorchTensor value) : TorchWeight("leaf", shape, role, ElementType.Float64)
    {
        public override long ByteLength => 0;

        internal override TorchTensor Value => value;

        protected override void Dispose(bool disposing)
        {
            // It owns nothing.
        }
    }
}
