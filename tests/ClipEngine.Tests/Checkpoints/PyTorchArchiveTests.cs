using ClipEngine.Checkpoints;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>Honest archives, written by a real PyTorch with <c>tools/make-archive-fixtures.py</c>, whose rule for the values stands there.</summary>
public class PyTorchArchiveTests
{
    [Fact]
    public void Pt14AStateDictInFp16IsRead()
    {
        using PyTorchArchive archive = Open("state-dict-fp16.pt");
        Assert.Equal(["ln_final_bias", "logit_scale", "visual_conv1_weight"], archive.Tensors.Keys.Order());
        Assert.Equal(ElementType.Float16, archive.Tensors["logit_scale"].Type);
        Assert.Equal([4L, 3L, 2L, 2L], archive.Tensors["visual_conv1_weight"].Dimensions.ToArray());
        Assert.Empty(archive.Tensors["logit_scale"].Dimensions);
        Assert.Equal(Filled("visual.conv1.weight", 48), archive.ReadSingles("visual_conv1_weight"));
        Assert.False(archive.IsScript);
    }

    [Fact]
    public void Pt15ATrainingCheckpointYieldsItsStateDictWithoutTheWrapper()
    {
        using ICheckpoint archive = Checkpoint.Open(TestData.Path("checkpoints", "training.pt"));
        Assert.Equal(["ln_final.bias", "logit_scale", "visual.conv1.weight"], archive.Tensors.Keys.Order());
        Assert.Equal(Filled("ln_final.bias", 5), archive.ReadSingles("ln_final.bias"));
        Assert.Equal("32", archive.Metadata["epoch"]);
        Assert.Equal("run", archive.Metadata["name"]);
    }

    [Theory]
    [InlineData("float64", ElementType.Float64)]
    [InlineData("float32", ElementType.Float32)]
    [InlineData("float16", ElementType.Float16)]
    [InlineData("bfloat16", ElementType.BFloat16)]
    [InlineData("int64", ElementType.Int64)]
    [InlineData("int32", ElementType.Int32)]
    [InlineData("int16", ElementType.Int16)]
    [InlineData("int8", ElementType.Int8)]
    [InlineData("uint8", ElementType.UInt8)]
    [InlineData("bool", ElementType.Boolean)]
    public void Pt14EveryElementTypeIsRead(string name, ElementType type)
    {
        using PyTorchArchive archive = Open("types.pt");
        StoredTensor tensor = archive.Tensors[name];
        Assert.Equal(type, tensor.Type);
        Assert.Equal([2L, 3L], tensor.Dimensions.ToArray());
        float[] expected = Filled(name, 6);
        if (type.IsFloatingPoint())
        {
            Assert.Equal(expected, archive.ReadSingles(name));
            return;
        }

        // Casting to an integer cuts the fraction off; to bool, it asks for not zero.
        using TensorBytes bytes = archive.Borrow(name);
        for (int i = 0; i < 6; i++)
        {
            long wanted = type == ElementType.Boolean ? 1 : (long)expected[i];
            Assert.Equal((byte)wanted, bytes.Slice(i * type.SizeInBytes(), 1)[0]);
        }
    }

    [Fact]
    public void AParameterIsItsTensor()
    {
        using PyTorchArchive archive = Open("types.pt");
        Assert.Equal(Filled("parameter", 4), archive.ReadSingles("parameter"));
    }

    [Fact]
    public void Pt14ComplexNumbersAreRefusedAsUnsupported() =>
        Assert.Equal(CheckpointError.UnsupportedElementType, Assert.Throws<CheckpointException>(() => Open("complex.pt")).Error);

    [Fact]
    public void Pt11SharedStoragesAreAliased()
    {
        using PyTorchArchive archive = Open("views.pt");
        float[] whole = archive.ReadSingles("whole");
        Assert.Equal(whole, archive.ReadSingles("alias"));
        Assert.Equal(whole[(2 * 4)..(4 * 4)], archive.ReadSingles("rows"));
        // More bytes come out than the file has: the storage lies in it once.
        long bytes = archive.Tensors.Values.Sum(static tensor => tensor.ByteLength);
        using var zip = System.IO.Compression.ZipFile.OpenRead(archive.Path);
        long stored = zip.Entries.Where(static entry => entry.FullName.Contains("/data/", StringComparison.Ordinal)).Sum(static entry => entry.Length);
        Assert.True(stored < bytes, $"{stored} bytes are stored for {bytes}");
    }

    [Fact]
    public void StridedViewsComeOutInRowMajorOrder()
    {
        using PyTorchArchive archive = Open("views.pt");
        float[] whole = Filled("whole", 24);
        Assert.Equal(whole, archive.ReadSingles("whole"));
        Assert.Equal(whole[8..16], archive.ReadSingles("rows"));
        Assert.Equal([.. Enumerable.Range(0, 24).Select(i => whole[i % 6 * 4 + i / 6])], archive.ReadSingles("transposed"));
        Assert.Equal([.. Enumerable.Range(0, 9).Select(i => whole[i / 3 * 8 + 1 + i % 3])], archive.ReadSingles("every_other"));
        Assert.Empty(archive.ReadSingles("empty"));
    }

    [Fact]
    public void Pt03ATorchScriptModuleYieldsItsTensorsAndItsCodeIsNotLookedAt()
    {
        using PyTorchArchive archive = Open("script.pt");
        Assert.True(archive.IsScript);
        Assert.Equal(["input_resolution", "logit_scale", "visual.weight"], archive.Tensors.Keys.Order());
        Assert.Equal(Filled("visual.weight", 6), archive.ReadSingles("visual.weight"));
        Assert.Equal([224L], archive.ReadInt64s("input_resolution"));
    }

    [Fact]
    public void Pt04TheFormatBefore16IsRefusedWithAHint()
    {
        var exception = Assert.Throws<CheckpointException>(() => Checkpoint.Open(TestData.Path("checkpoints", "legacy.pt")));
        Assert.Equal(CheckpointError.Unsupported, exception.Error);
        Assert.Contains("torch.save", exception.Message);
    }

    [Fact]
    public void Pt04ATarArchiveIsRefusedWithAHint()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("storages"), "x");
        System.Formats.Tar.TarFile.CreateFromDirectory(folder.Root, folder.File("..", Path.GetFileName(folder.Root) + ".tar"), includeBaseDirectory: false);
        string path = folder.Root + ".tar";
        try
        {
            var exception = Assert.Throws<CheckpointException>(() => Checkpoint.Open(path));
            Assert.Equal(CheckpointError.Unsupported, exception.Error);
            Assert.Contains("tar", exception.Message);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static float[] Filled(string key, int count) => [.. Enumerable.Range(0, count).Select(i => (i + key.Length) / 8f)];

    private static PyTorchArchive Open(string name) => PyTorchArchive.Open(TestData.Path("checkpoints", name));
}
