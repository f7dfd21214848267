using ClipEngine.Checkpoints;
using ClipEngine.Testing;
using static ClipEngine.Tests.Checkpoints.SafetensorsBytes;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>Case ST 42 and what surrounds it: an index and its shards must agree in everything.</summary>
public class ShardedCheckpointTests
{
    private const string Good = """{"metadata":{"total_size":12},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}""";

    [Fact]
    public void AnHonestIndexIsReadAsOneCheckpoint()
    {
        using var folder = new TemporaryFolder();
        using ICheckpoint checkpoint = Open(folder, Good);
        Assert.Equal(["a", "b"], checkpoint.Tensors.Keys.Order());
        Assert.Equal([2f], checkpoint.ReadSingles("b"));
    }

    [Theory]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"3.safetensors"}}""", CheckpointError.MissingShard)]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"../2.safetensors"}}""", CheckpointError.UnsafeName)]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"/etc/passwd"}}""", CheckpointError.UnsafeName)]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"..\\2.safetensors"}}""", CheckpointError.UnsafeName)]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"2.safetensors:x"}}""", CheckpointError.UnsafeName)]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":""}}""", CheckpointError.UnsafeName)]
    [InlineData("""{"weight_map":{"a":"1.safetensors"}}""", CheckpointError.InvalidIndex, false)]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}}""", CheckpointError.InvalidIndex)]
    [InlineData("""{"weight_map":{"b":"1.safetensors","a":"2.safetensors"}}""", CheckpointError.InvalidIndex)]
    [InlineData("""{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}""", CheckpointError.DuplicateKey)]
    [InlineData("""{"weight_map":{"a":1}}""", CheckpointError.InvalidIndex)]
    [InlineData("""{"weight_map":[]}""", CheckpointError.InvalidIndex)]
    [InlineData("""{"width":512}""", CheckpointError.UnknownFormat)]
    [InlineData("""{"weight_map":{}} x""", CheckpointError.InvalidJson)]
    public void St42AnIndexThatContradictsItsShardsIsRefused(string index, CheckpointError error, bool secondShardIsExtra = true)
    {
        using var folder = new TemporaryFolder();
        if (!secondShardIsExtra)
        {
            // The only shard named holds a tensor that the index does not know.
            index = index.Replace("1.safetensors", "both.safetensors");
        }

        AssertRefusal(Assert.Throws<CheckpointException>(() => Open(folder, index).Dispose()), error);
    }

    /// <summary>transformers writes the number and never reads it (modeling_utils.py takes weight_map only).</summary>
    [Theory]
    [InlineData("13", true)]
    [InlineData("-1", true)]
    [InlineData("12.0", false)]
    [InlineData("\"12\"", false)]
    [InlineData("null", false)]
    public void TheTotalSizeOfAnIndexIsOnlyMentioned(string total, bool isMentioned)
    {
        using var folder = new TemporaryFolder();
        using ICheckpoint checkpoint = Open(folder, "{\"metadata\":{\"total_size\":" + total + "},\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}");
        Assert.Equal(["a", "b"], checkpoint.Tensors.Keys.Order());
        Assert.Equal(isMentioned ? 1 : 0, checkpoint.Notices.Count);
    }

    /// <summary>More shards than a process may have open files; a shard that is written to meanwhile is refused when it is opened again.</summary>
    [Fact]
    public void ShardsAreOpenedAsTheyAreRead()
    {
        using var folder = new TemporaryFolder();
        var map = new List<string>();
        for (int i = 0; i < 40; i++)
        {
            var writer = new SafetensorsWriter();
            writer.Add($"t{i}", new float[] { i }, 1);
            writer.Write(folder.File($"s{i}.safetensors"));
            map.Add($"\"t{i}\":\"s{i}.safetensors\"");
        }

        File.WriteAllText(folder.File("model.safetensors.index.json"), "{\"weight_map\":{" + string.Join(',', map) + "}}");
        using ICheckpoint checkpoint = Checkpoint.Open(folder.File("model.safetensors.index.json"));
        if (OperatingSystem.IsLinux())
            Assert.InRange(Directory.EnumerateFileSystemEntries("/proc/self/fd").Count(link => new FileInfo(link).LinkTarget?.StartsWith(folder.Root, StringComparison.Ordinal) == true), 1, 8);
        using (TensorBytes first = checkpoint.Borrow("t0"))
        {
            for (int i = 39; i >= 0; i--)
                Assert.Equal([i], checkpoint.ReadSingles($"t{i}"));
            Assert.Equal(0f, BitConverter.ToSingle(first.Slice(0, 4)));
        }

        var other = new SafetensorsWriter();
        other.Add("t20", new float[] { 7 }, 1);
        other.Write(folder.File("s20.safetensors"));
        File.SetLastWriteTimeUtc(folder.File("s20.safetensors"), DateTime.UtcNow.AddDays(1));
        Assert.Equal(CheckpointError.Changed, Assert.Throws<CheckpointException>(() => checkpoint.Borrow("t20")).Error);
    }

    [Fact]
    public void St42ATensorInTwoShardsIsRefused()
    {
        using var folder = new TemporaryFolder();
        AssertRefusal(Assert.Throws<CheckpointException>(() =>
            Open(folder, """{"weight_map":{"a":"1.safetensors","b":"both.safetensors"}}""").Dispose()), CheckpointError.DuplicateKey);
    }

    [Fact]
    public void AFolderOpensTheIndexInIt()
    {
        using var folder = new TemporaryFolder();
        Open(folder, Good).Dispose();
        using ICheckpoint checkpoint = Checkpoint.Open(folder.Root);
        Assert.Equal(2, checkpoint.Tensors.Count);
        Assert.Equal(CheckpointError.NotFound, Assert.Throws<CheckpointException>(() => Checkpoint.Open(Directory.CreateDirectory(folder.File("empty")).FullName)).Error);
    }

    private static ICheckpoint Open(TemporaryFolder folder, string index)
    {
        Write("1.safetensors", ("a", [1f, 1f]));
        Write("2.safetensors", ("b", [2f]));
        Write("both.safetensors", ("a", [1f]), ("b", [2f]));
        string path = folder.File("model.safetensors.index.json");
        File.WriteAllText(path, index);
        return Checkpoint.Open(path);

        void Write(string name, params (string Key, float[] Values)[] tensors)
        {
            var writer = new SafetensorsWriter();
            foreach ((string key, float[] values) in tensors)
                writer.Add(key, values, values.Length);
            writer.Write(folder.File(name));
        }
    }
}
