using System.Text.Json.Nodes;
using ClipEngine.Checkpoints;
using ClipEngine.Native;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>Weights so large that the processor's backend reads them out of the file by itself: the same promises as for those that are handed over.</summary>
public class WeightsReadInPlaceTests
{
    private const int Rows = 640, Width = 520; // 1.3 MB

    [Fact]
    public void TheyAreWhatTheFileHolds()
    {
        using var folder = new TemporaryFolder();
        float[] values = Write(folder.File("w.safetensors"));
        using ICheckpoint checkpoint = Checkpoint.OpenAsStored(folder.File("w.safetensors"));
        using CpuBackend backend = CpuBackend.Create();
        using var reader = new WeightReader(checkpoint, backend);
        Weight matrix = reader.Read("w", WeightRole.Linear, Rows, Width), table = reader.Read("t", WeightRole.EmbeddingTable, Rows, Width);
        IReadOnlyList<Weight> owned = reader.Complete();
        Assert.Empty(reader.Findings);
        using (IPass pass = backend.BeginPass())
        {
            // A unit vector takes one column out of the matrix, exactly.
            const int Column = 17, Row = 601;
            float[] unit = new float[Width], column = new float[Rows], row = new float[Width];
            unit[Column] = 1;
            pass.Read(pass.Linear(pass.Upload(unit, new Shape(1, Width)), matrix, bias: null), column);
            pass.Read(pass.TokenEmbedding(pass.Upload([Row], new Shape(1, 1)), table, appendedToken: null, positions: null), row);
            Assert.Equal([.. Enumerable.Range(0, Rows).Select(r => values[(r * Width) + Column])], column);
            Assert.Equal(values.AsSpan(Row * Width, Width).ToArray(), row);
        }

        foreach (Weight weight in owned)
            weight.Dispose();
    }

    /// <summary>More shards than are held open at once; none is borrowed.</summary>
    [Fact]
    public void ThoseOfAShardedCheckpointAreReadOutOfItsShards()
    {
        const int Shards = 7;
        using var folder = new TemporaryFolder();
        var shardOf = new JsonObject();
        float[][] values = [.. Enumerable.Range(0, Shards).Select(shard =>
        {
            string file = $"model-{shard + 1:00000}-of-{Shards:00000}.safetensors";
            var random = new Random(shard);
            float[] own = [.. Enumerable.Range(0, Rows * Width).Select(_ => random.NextSingle() - 0.5f)];
            var writer = new SafetensorsWriter();
            writer.Add($"w{shard}", own, [Rows, Width]);
            writer.Write(folder.File(file));
            shardOf[$"w{shard}"] = file;
            return own;
        })];
        File.WriteAllText(folder.File("model.safetensors.index.json"), new JsonObject { ["weight_map"] = shardOf }.ToJsonString());
        using ICheckpoint checkpoint = Checkpoint.OpenAsStored(folder.File("model.safetensors.index.json"));
        using CpuBackend backend = CpuBackend.Create();
        using var reader = new WeightReader(new NeverBorrowed(checkpoint), backend);
        Weight[] read = [.. Enumerable.Range(0, Shards).Reverse().Select(shard => reader.Read($"w{shard}", WeightRole.EmbeddingTable, Rows, Width))];
        IReadOnlyList<Weight> owned = reader.Complete();
        using (IPass pass = backend.BeginPass())
        {
            for (int shard = 0; shard < Shards; shard++)
            {
                float[] row = new float[Width];
                pass.Read(pass.TokenEmbedding(pass.Upload([Rows - 1], new Shape(1, 1)), read[Shards - 1 - shard], appendedToken: null, positions: null), row);
                Assert.Equal(values[shard].AsSpan((Rows - 1) * Width).ToArray(), row);
            }
        }

        foreach (Weight weight in owned)
            weight.Dispose();
    }

    [Theory]
    [InlineData(float.NaN, "w: 1 NaN, 0 infinite")]
    [InlineData(float.NegativeInfinity, "w: 0 NaN, 1 infinite")]
    public void WhatIsNotFiniteIsFound(float odd, string finding)
    {
        using var folder = new TemporaryFolder();
        Write(folder.File("w.safetensors"), odd);
        using ICheckpoint checkpoint = Checkpoint.OpenAsStored(folder.File("w.safetensors"));
        using CpuBackend backend = CpuBackend.Create();
        using var reader = new WeightReader(checkpoint, backend);
        reader.Read("w", WeightRole.Linear, Rows, Width);
        Assert.Equal(finding, Assert.Single(reader.Findings).ToString());
    }

    /// <summary>A file that shrinks is refused and ends nothing.</summary>
    [Fact]
    public void AFileThatShrinksIsRefused()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("w.safetensors");
        Write(path);
        using ICheckpoint checkpoint = Checkpoint.OpenAsStored(path);
        using CpuBackend backend = CpuBackend.Create();
        using var reader = new WeightReader(checkpoint, backend);
        using (var file = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete)) // as a process that locks nothing
            file.SetLength(file.Length / 2);
        Assert.Equal(CheckpointError.Changed, Assert.Throws<CheckpointException>(() => reader.Read("w", WeightRole.Linear, Rows, Width)).Error);
    }

    /// <summary>A checkpoint whose tensors can be read in their files and in no other way.</summary>
    private sealed class NeverBorrowed(ICheckpoint source) : ICheckpoint, IHasTensorsInFiles
    {
        public string Path => source.Path;

        public IReadOnlyDictionary<string, StoredTensor> Tensors => source.Tensors;

        public string Format => source.Format;

        public IReadOnlyDictionary<string, string> Metadata => source.Metadata;

        public IReadOnlyList<string> Notices => source.Notices;

        public TensorBytes Borrow(string name) => throw new InvalidOperationException($"{name} was borrowed.");

        public TensorPlace? Locate(string name) => ((IHasTensorsInFiles)source).Locate(name);

        public void Dispose() => source.Dispose();
    }

    private static float[] Write(string path, float odd = 0.25f)
    {
        var random = new Random(3);
        float[] values = [.. Enumerable.Range(0, Rows * Width).Select(_ => random.NextSingle() - 0.5f)];
        values[^1] = odd;
        var writer = new SafetensorsWriter();
        writer.Add("t", values, [Rows, Width]);
        writer.Add("w", values, [Rows, Width]);
        writer.Write(path);
        return values;
    }
}
