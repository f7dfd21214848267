using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>State dicts as training code leaves them: under prefixes, one level down, beside all kinds of values. Pickles are written opcode by opcode as torch.save writes them.</summary>
public sealed class TrainingCheckpointTests : IDisposable
{
    private static readonly byte[] s_twoFloats = [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("module.{0}")]
    [InlineData("model.{0}")]
    [InlineData("clip.{0}")]
    [InlineData("_orig_mod.{0}")]
    [InlineData("module._orig_mod.{0}")]
    [InlineData("net.backbone.clip.{0}")]
    [InlineData("_fsdp_wrapped_module.{0}")]
    public void APrefixOverACompleteStateDictIsTakenOffAndSaid(string pattern)
    {
        using ICheckpoint plain = Checkpoint.Open(TestData.Path("towers", "vit-gelu"));
        string path = Rename(plain, key => string.Format(System.Globalization.CultureInfo.InvariantCulture, pattern, key));
        using ICheckpoint found = Checkpoint.Open(path);
        AssertSame(plain, found);
        Assert.Contains("was taken off the keys", Assert.Single(found.Notices), StringComparison.Ordinal);
        Assert.True(CheckpointFit.Check(found, TestData.Path("towers", "vit-gelu", "open_clip_config.json")).Fits);
    }

    [Fact]
    public void StepsOfWrappersInsideKeysAreTakenOut()
    {
        using ICheckpoint plain = Checkpoint.Open(TestData.Path("towers", "vit-gelu"));
        using ICheckpoint found = Checkpoint.Open(Rename(plain, static key => key.Replace("visual.", "visual._orig_mod.", StringComparison.Ordinal).Replace("resblocks.0.", "resblocks.0._checkpoint_wrapped_module.", StringComparison.Ordinal)));
        AssertSame(plain, found);
    }

    [Fact]
    public void WhatLiesOutsideThePrefixIsLeftOutAndNamed()
    {
        using ICheckpoint plain = Checkpoint.Open(TestData.Path("towers", "vit-gelu"));
        using ICheckpoint found = Checkpoint.Open(Rename(plain, static key => "clipmodel." + key, "ff_head.weight", "n_averaged"));
        AssertSame(plain, found);
        Assert.Contains(found.Notices, static notice => notice.Contains("ff_head.weight, n_averaged", StringComparison.Ordinal));
    }

    [Fact]
    public void TwoModelsUnderTwoPrefixesAreRefusedByBoth()
    {
        using ICheckpoint plain = Checkpoint.Open(TestData.Path("towers", "vit-gelu"));
        var writer = new SafetensorsWriter();
        foreach (StoredTensor tensor in plain.Tensors.Values)
        {
            writer.Add("student." + tensor.Name, plain.Tensors[tensor.Name].Type, tensor.Dimensions.ToArray(), Bytes(plain, tensor.Name));
            writer.Add("teacher." + tensor.Name, plain.Tensors[tensor.Name].Type, tensor.Dimensions.ToArray(), Bytes(plain, tensor.Name));
        }

        writer.Write(_folder.File("two.safetensors"));
        var exception = Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.File("two.safetensors")));
        Assert.Equal(CheckpointError.Ambiguous, exception.Error);
        Assert.Contains("'student.'", exception.Message, StringComparison.Ordinal);
        Assert.Contains("'teacher.'", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("state_dict")]
    [InlineData("model_state_dict")]
    [InlineData("module")]
    [InlineData("ema")]
    [InlineData("whatever a user calls it")]
    public void AStateDictOneLevelDownIsFoundByItsKeys(string name)
    {
        PickleBuilder builder = PickleBuilder.Protocol2().Op("}").Text(name).Op("}").Text("visual.proj").Tensor("0", 2, 0, [2], [1]).Op("ss")
            .Text("optimizer").Op("}").Text("exp_avg").Tensor("0", 2, 0, [1], [1]).Op("ss")
            .Text("model").Op("}").Text("name").Text("ViT").Op("ss").Text("epoch").Integer(3).Op("s");
        using ICheckpoint found = Open(builder);
        Assert.Equal(["visual.proj"], found.Tensors.Keys);
        Assert.Equal([1f, 2f], found.ReadSingles("visual.proj"));
        Assert.Equal("3", found.Metadata["epoch"]);
        Assert.Contains($"under '{name}'. Left out: optimizer, model", Assert.Single(found.Notices), StringComparison.Ordinal);
    }

    [Fact]
    public void TwoSetsOfAModelsWeightsAreRefusedByTheirPlaces()
    {
        PickleBuilder builder = PickleBuilder.Protocol2().Op("}");
        foreach (string name in new[] { "model", "ema" })
            builder.Text(name).Op("}").Text("visual.proj").Tensor("0", 2, 0, [2], [1]).Op("ss");
        var exception = Assert.Throws<CheckpointException>(() => Open(builder).Dispose());
        Assert.Equal(CheckpointError.Ambiguous, exception.Error);
        Assert.Contains("'model', 'ema'", exception.Message, StringComparison.Ordinal);
    }

    /// <summary>What pickle.dumps(value, 2) of Python 3 makes of each, and what torch.load(weights_only=True) reads.</summary>
    public static TheoryData<string> Neighbours => [.. s_neighbours.Keys];

    private static readonly Dictionary<string, Func<PickleBuilder, PickleBuilder>> s_neighbours = new()
    {
        ["NumPy scalar"] = static b => Dtype(b.Global("numpy.core.multiarray", "scalar")).Op("c_codecs\nencode\n").Text("x").Text("latin1").Raw(0x86).Op("R").Raw(0x86).Op("R"),
        ["NumPy 2 scalar"] = static b => Dtype(b.Global("numpy._core.multiarray", "scalar")).Op("C\u0001x").Raw(0x86).Op("R"),
        ["NumPy array"] = static b => Dtype(b.Global("numpy.core.multiarray", "_reconstruct").Global("numpy", "ndarray").Integers(0).Op("C\u0001b").Raw(0x87).Op("R(").Integer(1).Integers(1)).Raw(0x89).Op("C\u0001xtb"),
        ["Namespace"] = static b => b.Global("argparse", "Namespace").Op(")").Raw(0x81).Op("}").Text("lr").Integer(1).Op("sb"),
        ["Namespace of protocol 1"] = static b => b.Global("copy_reg", "_reconstructor").Global("argparse", "Namespace").Global("__builtin__", "object").Op("N").Raw(0x87).Op("R}b"),
        ["defaultdict"] = static b => b.Global("collections", "defaultdict").Global("__builtin__", "list").Raw(0x85).Op("R").Text("a").Op("]s"),
        ["Counter"] = static b => b.Global("collections", "Counter").Op("}").Text("a").Integer(2).Op("s").Raw(0x85).Op("R"),
        ["datetime"] = static b => b.Global("datetime", "datetime").Op("C\u0003abc").Raw(0x85).Op("R"),
        ["timedelta"] = static b => b.Global("datetime", "timedelta").Integers(1, 2, 3).Op("R"),
        ["Path"] = static b => b.Global("pathlib", "PosixPath").Op("(").Text("/").Text("x").Op("tR"),
        ["Path of Python 3.13"] = static b => b.Global("pathlib._local", "PosixPath").Op("(").Text("x").Op("tR"),
        ["complex"] = static b => b.Global("__builtin__", "complex").Op("G").Raw(0, 0, 0, 0, 0, 0, 0, 0).Op("G").Raw(0, 0, 0, 0, 0, 0, 0, 0).Raw(0x86).Op("R"),
        ["bytearray"] = static b => b.Global("__builtin__", "bytearray").Text("abc").Text("latin-1").Raw(0x86).Op("R"),
        ["bytes"] = static b => b.Global("_codecs", "encode").Text("abc").Text("latin1").Raw(0x86).Op("R"),
        ["set"] = static b => b.Global("__builtin__", "set").Op("](").Integer(1).Op("e").Raw(0x85).Op("R"),
        ["layout"] = static b => b.Global("torch.serialization", "_get_layout").Text("torch.strided").Raw(0x85).Op("R"),
        ["dtype"] = static b => b.Global("torch", "float8_e4m3fn"),
        ["storage"] = static b => b.Storage("0", 2),
        ["tensor without dimensions"] = static b => b.Tensor("0", 2, 0, [], []),
        ["expanded tensor"] = static b => b.Tensor("0", 2, 0, [3], [0]),
        ["complex tensor"] = static b => b.Tensor("1", 1, 0, [1], [1], "ComplexFloatStorage"),
        ["quantised tensor"] = static b => b.Global("torch._utils", "_rebuild_qtensor").Op("(").Storage("1", 8, "QInt8Storage").Op("tR"),
    };

    [Theory]
    [MemberData(nameof(Neighbours))]
    public void WhatStandsBesideTheWeightsNeedNotBeReadable(string what)
    {
        PickleBuilder builder = s_neighbours[what](PickleBuilder.Protocol2().Op("}").Text("state_dict").Op("}").Text("visual.proj").Tensor("0", 2, 0, [2], [1]).Op("ss").Text("extra")).Op("s");
        using ICheckpoint found = Open(builder, what.StartsWith("complex tensor", StringComparison.Ordinal) || what.StartsWith("quantised", StringComparison.Ordinal) ? 8 : null);
        Assert.Equal(["visual.proj"], found.Tensors.Keys);
        Assert.Equal([1f, 2f], found.ReadSingles("visual.proj"));
    }

    /// <summary>Nothing is called whose arguments are not those that Python writes.</summary>
    [Theory]
    [InlineData("numpy.core.multiarray", "scalar")]
    [InlineData("numpy.core.multiarray", "_reconstruct")]
    [InlineData("argparse", "Namespace")]
    [InlineData("collections", "Counter")]
    [InlineData("numpy", "ndarray")]
    [InlineData("copyreg", "_reconstructor")]
    [InlineData("_codecs", "encode")]
    [InlineData("__builtin__", "list")]
    public void AKnownNameWithOtherArgumentsIsRefused(string module, string name)
    {
        PickleBuilder builder = PickleBuilder.Protocol2().Op("}").Text("k").Tensor("0", 2, 0, [2], [1]).Op("s").Text("extra").Global(module, name).Text("echo hi").Raw(0x85).Op("Rs");
        Assert.Equal(CheckpointError.ForbiddenPickle, Assert.Throws<CheckpointException>(() => Open(builder).Dispose()).Error);
    }

    [Theory]
    [InlineData("torch", "Tensor", true)]
    [InlineData("torch.nn.parameter", "Parameter", true)]
    [InlineData("torch.nn.parameter", "Buffer", true)]
    [InlineData("torch.distributed.tensor", "DTensor", false)]
    [InlineData("torchao.dtypes", "AffineQuantizedTensor", false)]
    public void TensorsWithAttributesAreReadAndOtherClassesRefusedByTheirNames(string module, string name, bool isRead)
    {
        PickleBuilder builder = PickleBuilder.Protocol2().Op("}").Text("k").Global("torch._tensor", "_rebuild_from_type_v2").Op("(").Global("torch._utils", "_rebuild_tensor_v2").Global(module, name)
            .Op("(").Storage("0", 2).Integer(0).Integers(2).Integers(1).Raw(0x89).Global("collections", "OrderedDict").Op(")Rt}").Text("_is_hf_initialized").Raw(0x88).Op("stRs");
        if (isRead)
        {
            using ICheckpoint found = Open(builder);
            Assert.Equal([1f, 2f], found.ReadSingles("k"));
            return;
        }

        Assert.Contains($"{module}.{name}", Assert.Throws<CheckpointException>(() => Open(builder).Dispose()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheNegativeBitChangesTheSignAndOtherBitsAreRefusedByName()
    {
        using (ICheckpoint negative = Open(WithBit("neg")))
            Assert.Equal([-1f, -2f], negative.ReadSingles("k"));
        Assert.Contains("'conj'", Assert.Throws<CheckpointException>(() => Open(WithBit("conj")).Dispose()).Message, StringComparison.Ordinal);

        static PickleBuilder WithBit(string name) => PickleBuilder.Protocol2().Op("}").Text("k").Global("torch._utils", "_rebuild_tensor_v2").Op("(").Storage("0", 2).Integer(0).Integers(2).Integers(1)
            .Raw(0x89).Global("collections", "OrderedDict").Op(")R}").Text(name).Raw(0x88).Op("stRs");
    }

    [Fact]
    public void DeflatedMembersAreUnpackedAndDamageInThemIsFound()
    {
        var zip = new ZipBuilder();
        zip.Add("archive/data.pkl", PickleBuilder.Protocol2().Op("}").Text("a").Tensor("0", 6, 1, [2, 2], [1, 2]).Op("s").Stop()).Method = 8;
        float[] values = [0, 1, 2, 3, 4, 5];
        byte[] bytes = System.Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan()).ToArray();
        ZipBuilder.Member storage = zip.Add("archive/data/0", bytes);
        storage.Method = 8;
        File.WriteAllBytes(_folder.File("a.pt"), zip.Build());
        using (ICheckpoint found = Checkpoint.Open(_folder.File("a.pt")))
            Assert.Equal([1f, 3f, 2f, 4f], found.ReadSingles("a"));

        storage.Crc = 1;
        File.WriteAllBytes(_folder.File("a.pt"), zip.Build());
        using (ICheckpoint found = Checkpoint.Open(_folder.File("a.pt")))
            Assert.Contains("checksum", Assert.Throws<CheckpointException>(() => found.Borrow("a")).Message, StringComparison.Ordinal);

        storage.Crc = null;
        storage.Length = 20; // one element less than what comes out
        storage.LocalLength = 20;
        File.WriteAllBytes(_folder.File("a.pt"), zip.Build());
        Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.File("a.pt")));
    }

    [Fact]
    public void AnArchiveWithoutChecksumsIsReadAndSaid()
    {
        var zip = new ZipBuilder();
        zip.Add("archive/data.pkl", PickleBuilder.OneTensor()).Crc = 0;
        zip.Add("archive/data/0", s_twoFloats).Crc = 0;
        File.WriteAllBytes(_folder.File("a.pt"), zip.Build());
        using ICheckpoint found = Checkpoint.Open(_folder.File("a.pt"));
        Assert.Equal([1f, 2f], found.ReadSingles("a"));
        Assert.Contains("compute_crc32", Assert.Single(found.Notices), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("epoch:3")]
    [InlineData("a\tb")]
    [InlineData("C:")]
    public void TheTopFolderMayHaveAnyName(string top)
    {
        var zip = new ZipBuilder();
        zip.Add($"{top}/data.pkl", PickleBuilder.OneTensor());
        zip.Add($"{top}/data/0", s_twoFloats);
        File.WriteAllBytes(_folder.File("a.pt"), zip.Build());
        using ICheckpoint found = Checkpoint.Open(_folder.File("a.pt"));
        Assert.Equal([1f, 2f], found.ReadSingles("a"));
    }

    [Theory]
    [InlineData("m/archive_format", "torch.export")]
    [InlineData("serialized_exported_program.json", "torch.export")]
    [InlineData("a.npy", "NumPy")]
    public void OtherZipArchivesAreNamed(string member, string what)
    {
        var zip = new ZipBuilder();
        zip.Add(member, "x");
        File.WriteAllBytes(_folder.File("a.pt"), zip.Build());
        Assert.Contains(what, Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.File("a.pt"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void APieceOfDeepSpeedsZeroIsNamed()
    {
        PickleBuilder emptied = PickleBuilder.Protocol2().Op("}").Text("module").Op("}").Text("visual.proj").Tensor("0", 2, 0, [0], [1]).Op("s").Text("visual.conv1.weight").Tensor("0", 2, 0, [0], [1]).Op("ss")
            .Text("ds_version").Text("0.9").Op("s");
        Assert.Contains("zero_to_fp32", Assert.Throws<CheckpointException>(() => Open(emptied).Dispose()).Message, StringComparison.Ordinal);
        PickleBuilder classes = PickleBuilder.Protocol2().Op("}").Text("x").Global("deepspeed.runtime.fp16.loss_scaler", "LossScaler").Op("s");
        Assert.Contains("zero_to_fp32", Assert.Throws<CheckpointException>(() => Open(classes).Dispose()).Message, StringComparison.Ordinal);
    }

    private static PickleBuilder Dtype(PickleBuilder builder) =>
        builder.Global("numpy", "dtype").Text("f8").Raw(0x89).Raw(0x88).Raw(0x87).Op("R(").Integer(3).Text("<").Op("NNNJ\u00ff\u00ff\u00ff\u00ffJ\u00ff\u00ff\u00ff\u00ff").Integer(0).Op("tb");

    private ICheckpoint Open(PickleBuilder builder, int? secondStorage = null)
    {
        var zip = new ZipBuilder();
        zip.Add("archive/data.pkl", builder.Stop());
        zip.Add("archive/data/0", s_twoFloats);
        if (secondStorage is { } length)
            zip.Add("archive/data/1", new byte[length]);
        File.WriteAllBytes(_folder.File("a.pt"), zip.Build());
        return Checkpoint.Open(_folder.File("a.pt"));
    }

    private string Rename(ICheckpoint plain, Func<string, string> rename, params string[] extras)
    {
        var writer = new SafetensorsWriter();
        foreach (StoredTensor tensor in plain.Tensors.Values)
            writer.Add(rename(tensor.Name), tensor.Type, tensor.Dimensions.ToArray(), Bytes(plain, tensor.Name));
        foreach (string extra in extras)
            writer.Add(extra, new float[1], 1);
        writer.Write(_folder.File("renamed.safetensors"));
        return _folder.File("renamed.safetensors");
    }

    private static byte[] Bytes(ICheckpoint checkpoint, string name)
    {
        using TensorBytes bytes = checkpoint.Borrow(name);
        return bytes.Slice(0, (int)bytes.ByteLength).ToArray();
    }

    private static void AssertSame(ICheckpoint expected, ICheckpoint found)
    {
        Assert.Equal(expected.Tensors.Keys.Order(StringComparer.Ordinal), found.Tensors.Keys.Order(StringComparer.Ordinal));
        Assert.All(expected.Tensors.Keys, key => Assert.Equal(Bytes(expected, key), Bytes(found, key)));
    }
}
