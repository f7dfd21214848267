using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Tests.Native.Cpu;

/// <summary>What the managed side adds to the native operations: memory, scopes, concurrency, refusals. The numbers are compared in the native tests and the towers' goldens.</summary>
public unsafe class CpuBackendTests
{
    private const int Width = 32;

    [Fact]
    public void A_steady_state_allocates_nothing_managed_and_finds_the_same_addresses()
    {
        using CpuBackend backend = CpuBackend.Create();
        using Block block = new(backend);
        float[] input = Values(3 * 7 * Width), output = new float[input.Length];
        nint first = Run(backend, block, input, output);
        Run(backend, block, input, output);
        for (int i = 0; i < 20; i++)
            Assert.Equal(first, Run(backend, block, input, output));

        long managed = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 20; i++)
            Run(backend, block, input, output);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - managed);
    }

    [Fact]
    public void Concurrent_passes_give_the_bits_of_a_single_one()
    {
        using CpuBackend backend = CpuBackend.Create();
        using Block block = new(backend);
        float[] input = Values(3 * 7 * Width), expected = new float[input.Length];
        Run(backend, block, input, expected);
        Parallel.For(0, 32, new ParallelOptions { MaxDegreeOfParallelism = 4 }, _ =>
        {
            float[] output = new float[input.Length];
            Run(backend, block, input, output);
            Assert.Equal(expected, output);
        });
    }

    [Fact]
    public void A_scope_keeps_one_tensor_and_takes_the_rest_back()
    {
        using CpuBackend backend = CpuBackend.Create();
        using IPass pass = backend.BeginPass();
        long mark = pass.EnterScope();
        pass.Upload(Values(1000), new Shape(1000));
        float[] values = Values(500);
        Tensor kept = pass.LeaveScope(mark, pass.Upload(values, new Shape(5, 100)));
        Tensor next = pass.Upload(Values(10), new Shape(10));
        Assert.True(next.Address - kept.Address <= 2048, "The scope's first tensor still takes room.");
        float[] read = new float[500];
        pass.Read(kept, read);
        Assert.Equal(values, read);
    }

    [Fact]
    public void What_is_disposed_refuses_work()
    {
        CpuBackend backend = CpuBackend.Create();
        using IPass pass = backend.BeginPass();
        Weight matrix = Weight(backend, "m", WeightRole.Linear, 8, Width);
        matrix.Dispose();
        Tensor input = pass.Upload(Values(Width), new Shape(1, Width));
        Assert.Throws<ObjectDisposedException>(() => pass.Linear(input, matrix, null));
        backend.Dispose();
        Assert.Throws<ObjectDisposedException>(() => backend.BeginPass());
    }

    [Fact]
    public void Wrong_shapes_are_refused_with_what_was_expected_and_found()
    {
        using CpuBackend backend = CpuBackend.Create();
        using IPass pass = backend.BeginPass();
        using Weight matrix = Weight(backend, "m", WeightRole.Linear, 8, Width), vector = Weight(backend, "v", WeightRole.Vector, 8);
        Tensor input = pass.Upload(Values(2 * Width), new Shape(2, Width));
        Tensor narrow = pass.Upload(Values(2 * 7), new Shape(2, 7));
        Assert.Contains("[2, 7]", Assert.Throws<ArgumentException>(() => pass.Linear(narrow, matrix, null)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => pass.Linear(input, vector, null));
        Assert.Throws<ArgumentException>(() => pass.LayerNorm(input, vector, vector, 1e-5f));
        Assert.Throws<ArgumentException>(() => pass.Add(input, narrow));
        Assert.Throws<ArgumentException>(() => pass.Linear(default, matrix, null));
        Assert.Throws<ArgumentException>(() => pass.SelfAttention(pass.Upload(Values(3 * Width), new Shape(1, 1, 3 * Width)), 5));
        Assert.Throws<ArgumentException>(() => pass.Upload(Values(3), new Shape(4)));
        Assert.Throws<ArgumentException>(() => pass.Read(input, new float[3]));
    }

    [Fact]
    public void A_token_id_outside_the_table_is_named()
    {
        using CpuBackend backend = CpuBackend.Create();
        using IPass pass = backend.BeginPass();
        using Weight table = Weight(backend, "table", WeightRole.EmbeddingTable, 10, Width), positions = Weight(backend, "positions", WeightRole.Tokens, 3, Width);
        Tensor ids = pass.Upload([1, 2, 10], new Shape(1, 3));
        Assert.Contains("10", Assert.Throws<ArgumentOutOfRangeException>(() => pass.TokenEmbedding(ids, table, null, positions)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_pass_that_was_returned_is_closed()
    {
        using CpuBackend backend = CpuBackend.Create();
        IPass pass = backend.BeginPass();
        pass.Dispose();
        pass.Dispose();
        Assert.Throws<ObjectDisposedException>(() => pass.Upload([1f], new Shape(1)));
    }

    [Fact]
    public void Integer_weights_and_unknown_compute_types_are_refused()
    {
        using CpuBackend backend = CpuBackend.Create();
        int[] values = [1, 2];
        fixed (int* data = values)
        {
            var weight = new WeightData("ids", new Shape(2), ElementType.Int32, (nint)data);
            Assert.Contains("ids", Assert.Throws<NotSupportedException>(() => backend.CreateWeight(weight, WeightRole.Vector)).Message, StringComparison.Ordinal);
        }

        Assert.Throws<NotSupportedException>(() => CpuBackend.Create(new CpuBackendOptions { ComputeType = ElementType.Float64 }));
    }

    [Theory]
    [InlineData(ElementType.Float32, null)]
    [InlineData(ElementType.BFloat16, null)]
    [InlineData(ElementType.Int8, null)]
    [InlineData(ElementType.BFloat16, "amx_emulated")]
    [InlineData(ElementType.Int8, "amx_emulated")]
    public void One_token_behind_a_block_has_the_bits_that_the_whole_block_gives_it(ElementType type, string? instructionSet)
    {
        const int Batch = 5, Tokens = 7;
        using CpuBackend backend = CpuBackend.Create(new CpuBackendOptions { ComputeType = type, InstructionSet = instructionSet });
        using var block = new Block(backend);
        foreach (AttentionMask mask in new[] { default, AttentionMask.CausalMask })
        {
            using IPass pass = backend.BeginPass();
            Tensor x = pass.Upload(Values(Batch * Tokens * Width), new Shape(Batch, Tokens, Width));
            Tensor indices = pass.Upload([0, 6, 3, 3, 1], new Shape(Batch));
            float[] expected = new float[Batch * Width], found = new float[Batch * Width];
            pass.Read(pass.SelectTokens(pass.TransformerBlock(x, block.Weights, mask), indices), expected);
            pass.Read(pass.TransformerBlockToken(x, indices, block.Weights, mask), found);
            Assert.Equal(expected, found);
        }
    }

    [Theory]
    [InlineData(ElementType.BFloat16, 2)]
    [InlineData(ElementType.Float16, 2)]
    [InlineData(ElementType.Int8, 4)]
    public void A_lower_type_takes_its_share_of_the_memory(ElementType type, int share)
    {
        using CpuBackend reference = CpuBackend.Create(), lower = CpuBackend.Create(new CpuBackendOptions { ComputeType = type });
        using Weight wide = Weight(reference, "w", WeightRole.Linear, 512, 512), narrow = Weight(lower, "w", WeightRole.Linear, 512, 512);
        Assert.Equal(512 * 512 * 4, wide.ByteLength);
        Assert.InRange(narrow.ByteLength, wide.ByteLength / share, (wide.ByteLength / share) + (512 * 8));
    }

    [Fact]
    public void An_instruction_set_that_is_none_is_refused_with_those_that_are() =>
        Assert.Contains("amx_emulated", Assert.Throws<BadInputException>(() => CpuBackend.Create(new CpuBackendOptions { InstructionSet = "sse9" })).Message, StringComparison.Ordinal);

    private static float[] Values(int count)
    {
        var random = new Random(7);
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = (random.NextSingle() * 2) - 1;
        return values;
    }

    private static Weight Weight(CpuBackend backend, string name, WeightRole role, params ReadOnlySpan<long> dimensions)
    {
        var shape = new Shape(dimensions);
        fixed (float* data = Values((int)shape.ElementCount))
            return backend.CreateWeight(new WeightData(name, shape, ElementType.Float32, (nint)data), role);
    }

    private static nint Run(CpuBackend backend, Block block, float[] input, float[] output)
    {
        using IPass pass = backend.BeginPass();
        Tensor x = pass.Upload(input, new Shape(input.Length / (7 * Width), 7, Width));
        Tensor y = pass.TransformerBlock(x, block.Weights, AttentionMask.CausalMask);
        y = pass.Add(pass.L2Normalize(pass.Activate(y, Activation.Gelu)), x);
        pass.Read(y, output);
        return y.Address;
    }

    private sealed class Block : IDisposable
    {
        private readonly List<Weight> _all = [];

        internal Block(CpuBackend backend)
        {
            Weight Make(WeightRole role, params ReadOnlySpan<long> dimensions)
            {
                Weight weight = Weight(backend, "w", role, dimensions);
                _all.Add(weight);
                return weight;
            }

            Weights = new TransformerBlock
            {
                Norm1Weight = Make(WeightRole.Vector, Width),
                Norm1Bias = Make(WeightRole.Vector, Width),
                InProjectionWeight = Make(WeightRole.Linear, 3 * Width, Width),
                InProjectionBias = Make(WeightRole.Vector, 3 * Width),
                OutProjectionWeight = Make(WeightRole.Linear, Width, Width),
                OutProjectionBias = Make(WeightRole.Vector, Width),
                Norm2Weight = Make(WeightRole.Vector, Width),
                Norm2Bias = Make(WeightRole.Vector, Width),
                ExpandWeight = Make(WeightRole.Linear, 4 * Width, Width),
                ExpandBias = Make(WeightRole.Vector, 4 * Width),
                ContractWeight = Make(WeightRole.Linear, Width, 4 * Width),
                ContractBias = Make(WeightRole.Vector, Width),
                Heads = 4,
                Activation = Activation.Gelu,
                Epsilon = 1e-5f,
            };
        }

        internal TransformerBlock Weights { get; }

        public void Dispose() => _all.ForEach(weight => weight.Dispose());
    }
}
