using System.Diagnostics;
using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>The numbered cases of hostile PyTorch archives: the pickle, the storages, the zip around them.</summary>
public class HostileArchiveTests
{
    private static readonly byte[] s_twoFloats = [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40];

    // Looked up by name: the bytes of some are too many to travel as a test's arguments.
    private static readonly Dictionary<string, byte[]> s_callers = MakeCallers();

    public static TheoryData<string> Callers => [.. s_callers.Keys];

    private static Dictionary<string, byte[]> MakeCallers()
    {
        var data = new Dictionary<string, byte[]>();
        foreach ((string module, string name) in new[] { ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("__builtin__", "exec"), ("subprocess", "Popen"),
            ("runpy", "_run_code"), ("torch", "load"), ("torch.hub", "load"), ("numpy.core.multiarray", "_reconstruct"), ("collections", "Counter"), ("__torch__", "Evil") })
        {
            data.Add($"REDUCE {module}.{name}", PickleBuilder.Protocol2().Global(module, name).Text("echo hi").Raw(0x85).Op("R").Stop());
            data.Add($"STACK_GLOBAL {module}.{name}", PickleBuilder.Protocol2().Raw(0x8c, (byte)module.Length).Op(module).Raw(0x8c, (byte)name.Length).Op(name).Raw(0x93).Op(")R").Stop());
            data.Add($"NEWOBJ {module}.{name}", PickleBuilder.Protocol2().Global(module, name).Op(")").Raw(0x81).Stop());
        }

        data.Add("INST", PickleBuilder.Protocol2().Op("(ios\nsystem\n").Stop());
        data.Add("OBJ", PickleBuilder.Protocol2().Op("(").Global("collections", "OrderedDict").Op("o").Stop());
        data.Add("NEWOBJ_EX", PickleBuilder.Protocol2().Global("collections", "OrderedDict").Op(")}").Raw(0x92).Stop());
        data.Add("EXT1", PickleBuilder.Protocol2().Raw(0x82, 1).Stop());
        data.Add("EXT4", PickleBuilder.Protocol2().Raw(0x84, 1, 0, 0, 0).Stop());
        data.Add("PERSID", PickleBuilder.Protocol2().Op("Pos.system\n").Stop());
        data.Add("BUILD on a list", PickleBuilder.Protocol2().Op("]}b").Stop());
        data.Add("BUILD with a list", PickleBuilder.Protocol2().Global("collections", "OrderedDict").Op(")R]b").Stop());
        data.Add("REDUCE of a type", PickleBuilder.Protocol2().Global("torch", "FloatStorage").Op(")R").Stop());
        data.Add("REDUCE with the wrong arguments", PickleBuilder.Protocol2().Global("collections", "OrderedDict").Op("]").Raw(0x85).Op("R").Stop());
        data.Add("persistent id of something else", PickleBuilder.Protocol2().Op("(").Text("module").Global("torch", "FloatStorage").Text("0").Text("cpu").Integer(2).Op("tQ").Stop());
        return data;
    }

    [Theory]
    [MemberData(nameof(Callers))]
    public void Pt01WhatCouldCallSomethingIsRefused(string what)
    {
        CheckpointException exception = Refused(Archive(s_callers[what]).Build());
        Assert.True(exception.Error is CheckpointError.ForbiddenPickle or CheckpointError.InvalidPickle, $"{what}: {exception.Message}");
    }

    [Fact]
    public void Pt02APickleHiddenElsewhereIsRefused()
    {
        byte[] evil = PickleBuilder.Protocol2().Global("os", "system").Text("id").Raw(0x85).Op("R").Stop();
        Assert.Equal(CheckpointError.InvalidStorage, Refused(Archive(PickleBuilder.OneTensor(), evil).Build()).Error);

        ZipBuilder inVersion = Archive(PickleBuilder.OneTensor(), version: evil);
        Assert.Equal(CheckpointError.InvalidArchive, Refused(inVersion.Build()).Error);

        ZipBuilder inConstants = Archive(PickleBuilder.OneTensor());
        inConstants.Add("archive/constants.pkl", evil);
        Assert.Equal(CheckpointError.ForbiddenPickle, Refused(inConstants.Build()).Error);

        ZipBuilder second = Archive(PickleBuilder.OneTensor());
        second.Add("archive/sub/data.pkl", evil);
        Assert.Equal(CheckpointError.Ambiguous, Refused(second.Build()).Error);

        ZipBuilder unused = Archive(PickleBuilder.OneTensor());
        unused.Add("archive/data/1", evil);
        Assert.Equal(CheckpointError.InvalidArchive, Refused(unused.Build()).Error);

        ZipBuilder outside = Archive(PickleBuilder.OneTensor());
        outside.Add("other/data/0", evil);
        Assert.Equal(CheckpointError.InvalidArchive, Refused(outside.Build()).Error);
    }

    public static TheoryData<string> BrokenPickles => [.. s_brokenPickles.Keys];

    private static readonly Dictionary<string, byte[]> s_brokenPickles = new()
    {
        { "05 SETITEM on a list", PickleBuilder.Protocol2().Op("]NNs").Stop() },
        { "05 SETITEMS on a tuple", PickleBuilder.Protocol2().Op(")(NNu").Stop() },
        { "05 APPEND on a dictionary", PickleBuilder.Protocol2().Op("}Na").Stop() },
        { "05 APPENDS on None", PickleBuilder.Protocol2().Op("N(Ne").Stop() },
        { "05 SETITEMS with an odd count", PickleBuilder.Protocol2().Op("}(NNNu").Stop() },
        { "05 no mark", PickleBuilder.Protocol2().Op("Nt").Stop() },
        { "05 takes below the mark", PickleBuilder.Protocol2().Op("N(0").Stop() },
        { "05 POP of an empty stack", PickleBuilder.Protocol2().Op("0").Stop() },
        { "05 nothing to return", PickleBuilder.Protocol2().Stop() },
        { "05 values left over", PickleBuilder.Protocol2().Op("NN").Stop() },
        { "05 mark left over", PickleBuilder.Protocol2().Op("N(").Stop() },
        { "05 memo of a missing index", PickleBuilder.Protocol2().Raw((byte)'h', 7).Stop() },
        { "05 memo beyond 2^31", PickleBuilder.Protocol2().Op("j").Raw(0, 0, 0, 0x80).Stop() },
        { "05 storing to a memo beyond 2^31", PickleBuilder.Protocol2().Op("Nr").Raw(0, 0, 0, 0x80).Stop() },
        { "06 no STOP", PickleBuilder.Protocol2().Op("}").ToArray() },
        { "06 bytes behind STOP", PickleBuilder.Protocol2().Op("}.}").Stop() },
        { "06 unknown opcode", PickleBuilder.Protocol2().Raw(0xff).Stop() },
        { "06 text opcode of protocol 0", PickleBuilder.Protocol2().Op("I01\n").Stop() },
        { "06 protocol 6", new PickleBuilder().Raw(0x80, 6).Op("}").Stop() },
        { "06 protocol 1", new PickleBuilder().Op("}").Stop() },
        { "06 empty", [] },
        { "07 LONG4 beyond the end", PickleBuilder.Protocol2().Raw(0x8b, 0xff, 0xff, 0xff, 0x7f).Stop() },
        { "07 LONG4 of negative length", PickleBuilder.Protocol2().Raw(0x8b, 0xff, 0xff, 0xff, 0xff).Stop() },
        { "07 BINBYTES8 beyond the end", PickleBuilder.Protocol2().Raw(0x8e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f).Stop() },
        { "07 BINUNICODE beyond the end", PickleBuilder.Protocol2().Raw((byte)'X', 0xff, 0xff, 0xff, 0xff).Stop() },
        { "07 a line without end", PickleBuilder.Protocol2().Op("cos").ToArray() },
        { "08 a list that holds itself", PickleBuilder.Protocol2().Op("]q\0h\0a").Stop() },
        { "08 a dictionary that holds itself", PickleBuilder.Protocol2().Op("}q\0X\u0001\0\0\0ah\0s").Stop() },
        { "08 a cycle through a tuple", PickleBuilder.Protocol2().Op("]q\0h\0\u0085ah\0").Stop() },
        { "08 100,000 nested tuples", PickleBuilder.Protocol2().Op(")" + new string('\u0085', 100_000)).Stop() },
        { "08 100,000 nested lists", PickleBuilder.Protocol2().Op(new string(']', 100_000) + new string('a', 99_999)).Stop() },
        { "09 ten million dictionaries", PickleBuilder.Protocol2().Op("(" + new string('}', 10_000_000) + "l").Stop() },
        { "09 twenty million copies", PickleBuilder.Protocol2().Op("(]" + new string('2', 20_000_000) + "l").Stop() },
        { "text that is not UTF-8", PickleBuilder.Protocol2().Raw((byte)'X', 1, 0, 0, 0, 0xff).Stop() },
        { "a key twice", PickleBuilder.Protocol2().Op("}").Text("a").Op("Ns").Text("a").Op("Ns").Stop() },
    };

    [Theory]
    [MemberData(nameof(BrokenPickles))]
    public void Pt05To09BrokenPicklesAreRefused(string what)
    {
        CheckpointException exception = Refused(Archive(s_brokenPickles[what]).Build());
        Assert.True(exception.Error is CheckpointError.InvalidPickle or CheckpointError.Truncated or CheckpointError.TooComplex or CheckpointError.DuplicateKey
            or CheckpointError.UnknownFormat or CheckpointError.ForbiddenPickle, $"{what}: {exception.Error}: {exception.Message}");
    }

    [Fact]
    public void Pt09BillionLaughsCostNoMoreThanTheyAreLong()
    {
        // Each list holds the one before it ten times over, 400 deep: small as a graph, endless as a tree.
        var builder = PickleBuilder.Protocol2().Op("]");
        for (int i = 0; i < 400; i++)
            builder.Op("q\0" + "0](" + string.Concat(Enumerable.Repeat("h\0", 10)) + "e");
        var clock = Stopwatch.StartNew();
        Refused(Archive(builder.Stop()).Build());
        Assert.True(clock.Elapsed < TimeSpan.FromMinutes(1), "a tree walk would never end");
    }

    [Fact]
    public void Pt09ModulesSharedAgainAndAgainAreRefused()
    {
        // A TorchScript module whose two attributes are one and the same submodule, 60 levels down: 2^60 paths.
        var builder = PickleBuilder.Protocol2().Global("__torch__", "M").Op(")").Raw(0x81).Op("}b");
        for (int i = 0; i < 60; i++)
            builder.Op("q\0").Op("0").Global("__torch__", "M").Op(")").Raw(0x81).Op("}").Text("a").Op("h\0s").Text("b").Op("h\0sb");
        ZipBuilder zip = Archive(builder.Stop(), storage: null);
        zip.Add("archive/constants.pkl", PickleBuilder.Protocol2().Op(")").Stop());
        Assert.Equal(CheckpointError.TooComplex, Refused(zip.Build()).Error);
    }

    [Theory]
    [InlineData("storage longer than its member", 3, 0, new long[] { 2 }, new long[] { 1 })]
    [InlineData("storage shorter than its member", 1, 0, new long[] { 1 }, new long[] { 1 })]
    [InlineData("negative storage", -2, 0, new long[] { 2 }, new long[] { 1 })]
    [InlineData("overflowing storage", 1L << 62, 0, new long[] { 2 }, new long[] { 1 })]
    [InlineData("tensor past the end", 2, 0, new long[] { 3 }, new long[] { 1 })]
    [InlineData("offset past the end", 2, 1, new long[] { 2 }, new long[] { 1 })]
    [InlineData("negative offset", 2, -1, new long[] { 2 }, new long[] { 1 })]
    [InlineData("stride past the end", 2, 0, new long[] { 2 }, new long[] { 2 })]
    [InlineData("negative stride", 2, 1, new long[] { 2 }, new long[] { -1 })]
    [InlineData("negative size", 2, 0, new long[] { -2 }, new long[] { 1 })]
    [InlineData("overflowing product", 2, 0, new long[] { 1L << 48, 1L << 48 }, new long[] { 1L << 48, 1L << 48 })]
    [InlineData("more strides than sizes", 2, 0, new long[] { 2 }, new long[] { 2, 1 })]
    [InlineData("empty tensor beyond the end", 2, 3, new long[] { 0 }, new long[] { 1 })]
    [InlineData("expanded without end", 2, 0, new long[] { 1L << 40, 2 }, new long[] { 0, 1 })]
    public void Pt10ATensorOutsideItsStorageIsRefused(string what, long storage, long offset, long[] sizes, long[] strides)
    {
        byte[] pickle = PickleBuilder.Protocol2().Op("}").Text("a").Tensor("0", storage, offset, sizes, strides).Op("s").Stop();
        CheckpointException exception = Refused(Archive(pickle).Build());
        Assert.True(exception.Error is CheckpointError.InvalidStorage or CheckpointError.Unsupported, $"{what}: {exception.Message}");
    }

    [Fact]
    public void Pt10AStorageThatIsMissingOrDeclaredTwiceIsRefused()
    {
        byte[] missing = PickleBuilder.Protocol2().Op("}").Text("a").Tensor("7", 2, 0, [2], [1]).Op("s").Stop();
        Assert.Equal(CheckpointError.InvalidArchive, Refused(Archive(missing).Build()).Error);
        byte[] escaping = PickleBuilder.Protocol2().Op("}").Text("a").Tensor("../version", 2, 0, [2], [1]).Op("s").Stop();
        Assert.Equal(CheckpointError.InvalidStorage, Refused(Archive(escaping).Build()).Error);
        byte[] twice = PickleBuilder.Protocol2().Op("}").Text("a").Tensor("0", 2, 0, [2], [1]).Op("s")
            .Text("b").Tensor("0", 4, 0, [4], [1], "HalfStorage").Op("s").Stop();
        Assert.Equal(CheckpointError.InvalidStorage, Refused(Archive(twice).Build()).Error);
    }

    public static TheoryData<string> Archives => [.. s_archives.Select(archive => archive.What)];

    private static readonly List<(string What, CheckpointError Error, Action<ZipBuilder, ZipBuilder.Member> Spoil)> s_archives =
    [
        ("stored here, deflated there", CheckpointError.InvalidArchive, (_, storage) => storage.LocalMethod = 8),
        ("unknown method", CheckpointError.Unsupported, (_, storage) => storage.Method = 12),
        ("wrong checksum in the local header", CheckpointError.InvalidArchive, (_, storage) => storage.LocalCrc = 1),
        ("encrypted", CheckpointError.Unsupported, (_, storage) => storage.Flags |= 1),
        ("strongly encrypted", CheckpointError.Unsupported, (_, storage) => storage.Flags |= 1 << 6),
        ("flags that differ", CheckpointError.InvalidArchive, (_, storage) => storage.LocalFlags = 0),
        ("names that differ", CheckpointError.InvalidArchive, (_, storage) => storage.CentralName = "archive/data/1"u8.ToArray()),
        ("lengths that differ", CheckpointError.InvalidArchive, (_, storage) => storage.LocalLength = 9),
        ("stored with two lengths", CheckpointError.InvalidArchive, (_, storage) => storage.Length = 9),
        ("a member twice", CheckpointError.DuplicateKey, (zip, _) => zip.Add("archive/data/0", s_twoFloats)),
        ("a header elsewhere", CheckpointError.InvalidArchive, (_, storage) => storage.HeaderStart = 5),
        ("a header of another member", CheckpointError.InvalidArchive, (_, storage) => storage.HeaderStart = 0),
        ("bytes between members", CheckpointError.InvalidArchive, (_, storage) => storage.Gap = [1]),
        ("bytes in front", CheckpointError.InvalidArchive, (zip, _) => zip.Front = "MZ"u8.ToArray()),
        ("bytes behind the directory", CheckpointError.InvalidArchive, (zip, _) => zip.BeforeEnd = [0]),
        ("a comment", CheckpointError.Truncated, (zip, _) => zip.Comment = "PK"u8.ToArray()),
        ("a member's comment", CheckpointError.InvalidArchive, (_, storage) => storage.Comment = [1]),
        ("a wrong count", CheckpointError.InvalidArchive, (zip, _) => zip.Count = 1),
        ("a directory elsewhere", CheckpointError.InvalidArchive, (zip, _) => zip.DirectoryStart = 7),
        ("zip64 numbers that nothing asks for", CheckpointError.InvalidArchive, (_, storage) => storage.CentralExtra = [1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("zip64 without numbers", CheckpointError.InvalidArchive, (_, storage) => (storage.Length, storage.CentralExtra) = (uint.MaxValue, [1, 0, 0, 0])),
        ("zip64 beyond the file", CheckpointError.InvalidArchive, (_, storage) => (storage.HeaderStart, storage.CentralExtra) = (uint.MaxValue, [1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f])),
        ("zip64 negative", CheckpointError.InvalidArchive, (_, storage) => (storage.HeaderStart, storage.CentralExtra) = (uint.MaxValue, [1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff])),
        ("a damaged extra field", CheckpointError.InvalidArchive, (_, storage) => storage.CentralExtra = [1, 0, 9, 0]),
        ("a symbolic link", CheckpointError.UnsafeName, (_, storage) => (storage.MadeBy, storage.Attributes) = (3 << 8, 0xA1FFu << 16)),
        ("a device", CheckpointError.UnsafeName, (_, storage) => (storage.MadeBy, storage.Attributes) = (3 << 8, 0x21FFu << 16)),
        ("a bomb", CheckpointError.TooComplex, (zip, _) => zip.Add("archive/code/x.py", new byte[8 << 20]).Method = 8),
        ("a claim of a bomb", CheckpointError.InvalidArchive, (zip, _) => (zip.Add("archive/code/x.py", "x").Method, zip.Add("archive/code/y.py", "y").Length) = (8, 0x7fffffff)),
        ("byte order big", CheckpointError.Unsupported, (zip, _) => zip.Add("archive/byteorder", "big")),
        ("byte order unknown", CheckpointError.InvalidArchive, (zip, _) => zip.Add("archive/byteorder", "pdp")),
    ];

    [Theory]
    [MemberData(nameof(Archives))]
    public void Pt12And13ArchivesThatAreNotPlainAreRefused(string what)
    {
        (_, CheckpointError error, Action<ZipBuilder, ZipBuilder.Member> spoil) = s_archives.Single(archive => archive.What == what);
        var zip = new ZipBuilder();
        zip.Add("archive/data.pkl", PickleBuilder.OneTensor());
        ZipBuilder.Member storage = zip.Add("archive/data/0", s_twoFloats);
        spoil(zip, storage);
        CheckpointException exception = Refused(zip.Build());
        Assert.True(error == exception.Error, $"{what}: expected {error}, found {exception.Error}: {exception.Message}");
    }

    [Theory]
    [InlineData("../../x")]
    [InlineData("archive/../../x")]
    [InlineData("/etc/x")]
    [InlineData("archive\\..\\x")]
    [InlineData("C:/x")]
    [InlineData("archive//x")]
    [InlineData("archive/./x")]
    [InlineData("archive/a\0b")]
    [InlineData("archive/\u001b[2J")]
    [InlineData("")]
    public void Pt12UnsafeMemberNamesAreRefused(string name)
    {
        ZipBuilder zip = Archive(PickleBuilder.OneTensor());
        zip.Add(name, "x");
        Assert.Equal(CheckpointError.UnsafeName, Refused(zip.Build()).Error);
    }

    [Fact]
    public void Pt12AWrongChecksumIsRefusedWhenTheMemberIsRead()
    {
        ZipBuilder pickle = new();
        pickle.Add("archive/data.pkl", PickleBuilder.OneTensor()).Crc = 1;
        pickle.Add("archive/data/0", s_twoFloats);
        Assert.Equal(CheckpointError.InvalidArchive, Refused(pickle.Build()).Error);

        ZipBuilder storage = new();
        storage.Add("archive/data.pkl", PickleBuilder.OneTensor());
        storage.Add("archive/data/0", s_twoFloats).Crc = 1;
        Assert.Contains("checksum", Refused(storage.Build(), archive => archive.Borrow("a")).Message);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void AnHonestArchiveIsReadWithAndWithoutDescriptors(bool hasDescriptor, bool isWide)
    {
        var zip = new ZipBuilder();
        zip.Add("archive/data.pkl", PickleBuilder.OneTensor());
        ZipBuilder.Member storage = zip.Add("archive/data/0", s_twoFloats);
        (storage.HasDescriptor, storage.HasWideDescriptor) = (hasDescriptor, isWide);
        zip.Add("archive/version", "3\n");
        zip.Add("archive/code/x.py", new string('x', 1000)).Method = 8;
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("a.pt"), zip.Build());
        using ICheckpoint archive = Checkpoint.Open(folder.File("a.pt"));
        Assert.Equal([1f, 2f], archive.ReadSingles("a"));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    [InlineData(23)]
    public void Pt12ATruncatedArchiveIsRefused(int kept)
    {
        byte[] bytes = Archive(PickleBuilder.OneTensor()).Build();
        Refused(bytes[..^1]);
        Refused(bytes[..(bytes.Length / 2)]);
        if (kept > 0)
            Refused(bytes[..kept]);
    }

    [Theory]
    [InlineData("state_dict", "model", true)]
    [InlineData("state_dict", "a", true)]
    [InlineData("model", "epoch", false)]
    public void Pt15TwoSetsOfWeightsAreAmbiguous(string first, string second, bool isAmbiguous)
    {
        PickleBuilder builder = PickleBuilder.Protocol2().Op("}").Text(first).Op("}").Text("k").Tensor("0", 2, 0, [2], [1]).Op("ss").Text(second);
        builder = second switch
        {
            "model" => builder.Op("}").Text("k").Tensor("0", 2, 0, [2], [1]).Op("s"),
            "a" => builder.Tensor("0", 2, 0, [2], [1]),
            _ => builder.Integer(3),
        };
        byte[] bytes = Archive(builder.Op("s").Stop()).Build();
        if (isAmbiguous)
        {
            Assert.Equal(CheckpointError.Ambiguous, Refused(bytes).Error);
            return;
        }

        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("a.pt"), bytes);
        using ICheckpoint archive = Checkpoint.Open(folder.File("a.pt"));
        Assert.Equal(["k"], archive.Tensors.Keys);
        Assert.Equal("3", archive.Metadata["epoch"]);
    }

    [Fact]
    public void Pt15AWrapperOnSomeKeysOnlyIsAmbiguous()
    {
        byte[] pickle = PickleBuilder.Protocol2().Op("}").Text("module.a").Tensor("0", 2, 0, [2], [1]).Op("s").Text("b").Tensor("0", 2, 0, [2], [1]).Op("s").Stop();
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("a.pt"), Archive(pickle).Build());
        Assert.Equal(CheckpointError.Ambiguous, Assert.Throws<CheckpointException>(() => Checkpoint.Open(folder.File("a.pt"))).Error);
    }

    [Fact]
    public void AnArchiveWithoutTensorsIsRefused()
    {
        byte[] pickle = PickleBuilder.Protocol2().Op("}").Text("a").Op("Ns").Stop();
        Assert.Equal(CheckpointError.UnknownFormat, Refused(Archive(pickle, storage: null).Build()).Error);
    }

    [Fact]
    public void Pt16AZipWithoutDataPklIsRefused()
    {
        var zip = new ZipBuilder();
        zip.Add("word/document.xml", "<x/>");
        Assert.Equal(CheckpointError.UnknownFormat, Refused(zip.Build()).Error);
    }

    private static ZipBuilder Archive(byte[] pickle) => Archive(pickle, s_twoFloats);

    private static ZipBuilder Archive(byte[] pickle, byte[]? storage = null, byte[]? version = null)
    {
        var zip = new ZipBuilder();
        zip.Add("archive/data.pkl", pickle);
        if (storage is not null)
            zip.Add("archive/data/0", storage);
        zip.Add("archive/version", version ?? "3\n"u8.ToArray());
        return zip;
    }

    private static CheckpointException Refused(byte[] bytes, Action<ICheckpoint>? use = null)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("hostile.pt");
        File.WriteAllBytes(path, bytes);
        var exception = Assert.Throws<CheckpointException>(() =>
        {
            using ICheckpoint archive = PyTorchArchive.Open(path);
            use?.Invoke(archive);
        });
        SafetensorsBytes.AssertRefusal(exception, exception.Error);
        return exception;
    }
}
