using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using ClipEngine.Checkpoints;
using ClipEngine.Tensors;
using ClipEngine.Testing;
using static ClipEngine.Tests.Checkpoints.SafetensorsBytes;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>The numbered cases of hostile and of odd but legal safetensors files; each test is named by its case.</summary>
public class SafetensorsFileTests
{
    [Fact]
    public void St01EmptyFileIsRefused() => Refused([], CheckpointError.Truncated);

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    public void St02FileShorterThanItsLengthFieldIsRefused(int length) => Refused(new byte[length], CheckpointError.Truncated);

    [Fact]
    public void St03HeaderOfLengthZeroIsRefused() => Refused([.. new byte[8], (byte)'{', (byte)'}'], CheckpointError.InvalidHeaderLength);

    [Fact]
    public void St04HeaderOfOneBraceIsRefused() => Refused(Make("{", 0), CheckpointError.InvalidJson);

    [Theory]
    [InlineData(1UL << 63)]
    [InlineData(ulong.MaxValue)]
    [InlineData(ulong.MaxValue - 7)]
    public void St05HeaderLengthThatWrapsIsRefused(ulong length) => Refused(WithLength(length), CheckpointError.InvalidHeaderLength);

    [Fact]
    public void St06HeaderBeyondTheLimitIsRefusedBeforeReading() => Refused(WithLength(100_000_001), CheckpointError.InvalidHeaderLength);

    [Fact]
    public void St06HeaderAtTheLimitIsRead()
    {
        byte[] json = new byte[100_000_000];
        json.AsSpan().Fill((byte)' ');
        Encoding.UTF8.GetBytes(OneTensor).CopyTo(json, 0);
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Open(folder, Make(json, new byte[8]));
        Assert.Equal(["a"], file.Tensors.Keys);
    }

    [Fact]
    public void St07HeaderLongerThanTheFileIsRefused() => Refused(WithLength(1000), CheckpointError.Truncated);

    [Fact]
    public void St08FileThatEndsInsideItsHeaderIsRefused() => Refused(Make(OneTensor, 0)[..30], CheckpointError.Truncated);

    public static TheoryData<string, byte[]> BadText => new()
    {
        { "a stray continuation byte", Encoding.Latin1.GetBytes("{\"\x80\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}") },
        { "an overlong slash", Encoding.Latin1.GetBytes("{\"\xC0\xAF\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}") },
        { "an encoded surrogate", Encoding.Latin1.GetBytes("{\"\xED\xA0\x80\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}") },
        { "not even in free text", Encoding.Latin1.GetBytes("{\"__metadata__\":{\"a\":\"\xFF\"}}") },
    };

    [Theory]
    [MemberData(nameof(BadText))]
    public void St09HeaderThatIsNotUtf8IsRefused(string what, byte[] json)
    {
        Assert.NotEmpty(what);
        Refused(Make(json, new byte[8]), CheckpointError.InvalidUtf8);
    }

    [Theory]
    [InlineData("""{"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"__metadata__":{"a":"\udc00"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    public void St09LoneSurrogateEscapeIsRefused(string json) => Refused(Make(json, 8), CheckpointError.InvalidJson);

    [Fact]
    public void St10ByteOrderMarkIsRefused() => Refused(Make('﻿' + OneTensor, 8), CheckpointError.InvalidJson);

    [Theory]
    [InlineData("[]")]
    [InlineData("\"a\"")]
    [InlineData("null")]
    [InlineData("17")]
    public void St11HeaderThatIsNoObjectIsRefused(string json) => Refused(Make(json, 0), CheckpointError.InvalidJson);

    [Theory]
    [InlineData(OneTensor + "{}")]
    [InlineData(OneTensor + " x")]
    [InlineData(OneTensor + "}")]
    public void St12SecondValueOrGarbageBehindTheHeaderIsRefused(string json) => Refused(Make(json, 8), CheckpointError.InvalidJson);

    [Fact]
    public void St13WhiteSpaceAroundTheHeaderIsAccepted()
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Open(folder, Make(" \n\t" + OneTensor + " \r\n ", 8));
        Assert.Equal([2L], file.Tensors["a"].Dimensions.ToArray());
    }

    [Fact]
    public void St14NulPaddingIsRefused() => Refused(Make(OneTensor + "\0\0\0", 8), CheckpointError.InvalidJson);

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}/**/}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2,],"data_offsets":[0,8]}}""")]
    [InlineData("""{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}""")]
    public void St15WhatIsNotStrictJsonIsRefused(string json) => Refused(Make(json, 8), CheckpointError.InvalidJson);

    [Theory]
    [InlineData("[")]
    [InlineData("{\"a\":")]
    public void St16DeepNestingIsRefused(string step)
    {
        string deep = string.Concat(Enumerable.Repeat(step, 10_000));
        Refused(Make($$"""{"a":{"x":{{deep}}""", 0), CheckpointError.InvalidJson, lenient: true);
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"\u0061":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}""")]
    public void St17DuplicateNameIsRefused(string json) =>
        Assert.Contains("duplicate key", Refused(Make(json, 16), CheckpointError.DuplicateKey).Message);

    [Theory]
    [InlineData("""{"__metadata__":{},"__metadata__":{}}""")]
    [InlineData("""{"__metadata__":{"k":"1","k":"1"}}""")]
    [InlineData("""{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"data_offsets":[0,8]}}""")]
    public void St18DuplicateFieldIsRefused(string json) => Refused(Make(json, 8), CheckpointError.DuplicateKey);

    [Theory]
    [InlineData("""{"__metadata__":{"k":1}}""")]
    [InlineData("""{"__metadata__":{"k":{"l":"m"}}}""")]
    [InlineData("""{"__metadata__":{"k":null}}""")]
    [InlineData("""{"__metadata__":["k"]}""")]
    [InlineData("""{"__metadata__":null}""")]
    public void St19MetadataOtherThanStringsIsRefused(string json) => Refused(Make(json, 0), CheckpointError.InvalidMetadata);

    [Fact]
    public void St20UnknownFieldIsRefusedUnlessLenient()
    {
        byte[] bytes = Make("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"note":{"deep":[1]}}}""", 8);
        Refused(bytes, CheckpointError.UnknownField);
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Open(folder, bytes, lenient: true);
        Assert.Single(file.Tensors);
    }

    [Theory]
    [InlineData("""{"a":{"shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"a":{"dtype":"F32","data_offsets":[0,8]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2]}}""")]
    [InlineData("""{"a":{}}""")]
    [InlineData("""{"a":[0,8]}""")]
    [InlineData("""{"a":null}""")]
    public void St21MissingFieldIsRefused(string json) => Refused(Make(json, 8), CheckpointError.InvalidField);

    [Theory]
    [InlineData("\"F31\"", CheckpointError.UnknownElementType)]
    [InlineData("\"f32\"", CheckpointError.UnknownElementType)]
    [InlineData("\"\"", CheckpointError.UnknownElementType)]
    [InlineData("32", CheckpointError.InvalidField)]
    [InlineData("null", CheckpointError.InvalidField)]
    [InlineData("\"F4\"", CheckpointError.UnsupportedElementType)]
    [InlineData("\"F6_E2M3\"", CheckpointError.UnsupportedElementType)]
    [InlineData("\"F6_E3M2\"", CheckpointError.UnsupportedElementType)]
    [InlineData("\"F8_E4M3\"", CheckpointError.UnsupportedElementType)]
    [InlineData("\"F8_E5M2\"", CheckpointError.UnsupportedElementType)]
    [InlineData("\"F8_E8M0\"", CheckpointError.UnsupportedElementType)]
    [InlineData("\"C64\"", CheckpointError.UnsupportedElementType)]
    public void St22ElementTypeIsRefusedAsUnknownOrAsUnsupported(string type, CheckpointError error)
    {
        CheckpointException exception = Refused(Entry(type, "[2]", "[0,8]", 8), error);
        if (error == CheckpointError.UnsupportedElementType)
            Assert.Contains("not supported", exception.Message);
    }

    [Theory]
    [InlineData("[-2]")]
    [InlineData("[2.0]")]
    [InlineData("[2e0]")]
    [InlineData("[1e3]")]
    [InlineData("[-0]")]
    [InlineData("[\"2\"]")]
    [InlineData("[null]")]
    [InlineData("[[2]]")]
    [InlineData("2")]
    [InlineData("[281474976710657]")]
    [InlineData("[99999999999999999999999999]")]
    public void St23ShapeThatIsNoShapeIsRefused(string shape) => Refused(Entry("\"F32\"", shape, "[0,8]", 8), CheckpointError.InvalidShape);

    [Theory]
    [InlineData("[2,18446744073709551614]")]
    [InlineData("[2,9223372036854775807]")]
    [InlineData("[281474976710656,281474976710656]")]
    [InlineData("[281474976710656,281474976710656,281474976710656,281474976710656]")]
    [InlineData("[65536,65536,65536,65536,2]")]
    public void St24ShapeThatOverflowsIsRefused(string shape) => Refused(Entry("\"F32\"", shape, "[0,8]", 8), CheckpointError.InvalidShape);

    [Theory]
    [InlineData("[0]", 0)]
    [InlineData("[0,281474976710656,281474976710656]", 0)]
    [InlineData("[281474976710656,281474976710656,0]", 0)]
    [InlineData("[]", 4)]
    public void St25EmptyTensorsAndScalarsAreAccepted(string shape, int length)
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Open(folder, Entry("\"F32\"", shape, $"[0,{length}]", length));
        Assert.Equal(length, file.Tensors["a"].ByteLength);
        using TensorBytes bytes = file.Borrow("a");
        Assert.Equal(length, bytes.ByteLength);
    }

    [Theory]
    [InlineData(64, true)]
    [InlineData(65, false)]
    [InlineData(10_000, false)]
    public void St26RankBeyondTheLimitIsRefused(int rank, bool isAccepted)
    {
        byte[] bytes = Entry("\"U8\"", "[" + string.Join(',', Enumerable.Repeat(1, rank)) + "]", "[0,1]", 1);
        if (!isAccepted)
        {
            Refused(bytes, CheckpointError.InvalidShape);
            return;
        }

        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Open(folder, bytes);
        Assert.Equal(rank, file.Tensors["a"].Dimensions.Length);
    }

    [Theory]
    [InlineData("[8]")]
    [InlineData("[]")]
    [InlineData("[0,8,8]")]
    [InlineData("[8,0]")]
    [InlineData("[-8,0]")]
    [InlineData("[0.0,8]")]
    [InlineData("[0,8.5]")]
    [InlineData("{\"0\":8}")]
    public void St27OffsetsThatAreNoRangeAreRefused(string offsets) => Refused(Entry("\"F32\"", "[2]", offsets, 8), CheckpointError.InvalidOffsets);

    [Theory]
    [InlineData(7)]
    [InlineData(9)]
    [InlineData(16)]
    public void St28RangeThatDoesNotFitTheShapeIsRefused(int length) => Refused(Entry("\"F32\"", "[2]", $"[0,{length}]", length), CheckpointError.SizeMismatch);

    [Theory]
    [InlineData(4, 12, 12, 20, 20, CheckpointError.Hole)]
    [InlineData(0, 8, 12, 20, 20, CheckpointError.Hole)]
    [InlineData(0, 8, 8, 16, 20, CheckpointError.TrailingData)]
    [InlineData(0, 8, 7, 15, 15, CheckpointError.Overlap)]
    [InlineData(0, 8, 0, 8, 8, CheckpointError.Overlap)]
    public void St29And30HolesAndOverlapsAreRefused(int start1, int end1, int start2, int end2, int length, CheckpointError error) =>
        Refused(Make($$"""{"a":{"dtype":"U8","shape":[8],"data_offsets":[{{start1}},{{end1}}] },"b":{"dtype":"U8","shape":[8],"data_offsets":[{{start2}},{{end2}}] } }""", length), error);

    [Fact]
    public void St30AHundredThousandTensorsOnOneRangeAreRefused()
    {
        var json = new StringBuilder("{");
        for (int i = 0; i < 100_000; i++)
            json.Append(i == 0 ? "" : ",").Append($$"""{"t{{i}}":{"dtype":"U8","shape":[8],"data_offsets":[0,8] }""".AsSpan(1));
        Refused(Make(json.Append('}').ToString(), 8), CheckpointError.Overlap);
    }

    [Fact]
    public void St31TrailingDataIsRefused()
    {
        Refused(Make(OneTensor, 9), CheckpointError.TrailingData);
        using var folder = new TemporaryFolder();
        string path = folder.File("polyglot");
        File.WriteAllBytes(path, Make(OneTensor, 8));
        using (FileStream stream = File.OpenWrite(path))
            stream.SetLength(stream.Length + (1L << 30));
        AssertRefusal(Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path)), CheckpointError.TrailingData);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(8)]
    public void St32TruncatedDataIsRefused(int missing) => Refused(Make(OneTensor, 8 - missing), CheckpointError.Truncated);

    [Fact]
    public void St33HeaderOrderMayDifferFromOffsetOrder()
    {
        using var folder = new TemporaryFolder();
        byte[] json = """{"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"""u8.ToArray();
        using SafetensorsFile file = Open(folder, Make(json, [1, 2, 3, 4]));
        using TensorBytes a = file.Borrow("a");
        using TensorBytes b = file.Borrow("b");
        Assert.Equal([1, 2], a.Slice(0, 2).ToArray());
        Assert.Equal([3, 4], b.Slice(0, 2).ToArray());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3)]
    public void St34MisalignedTensorsAreReadThroughACopy(int padding)
    {
        using var folder = new TemporaryFolder();
        byte[] data = new byte[8];
        BinaryPrimitives.WriteSingleLittleEndian(data, 1.5f);
        BinaryPrimitives.WriteSingleLittleEndian(data.AsSpan(4), -2f);
        using SafetensorsFile file = Open(folder, Make(Encoding.UTF8.GetBytes(OneTensor + new string(' ', padding)), data));
        using (TensorBytes bytes = file.Borrow("a"))
            Assert.Equal(0, bytes.Address % 4);
        Assert.Equal([1.5f, -2f], file.ReadSingles("a"));
    }

    [Fact]
    public void St35SubByteTypeWithAnOddCountIsRefused() => Refused(Entry("\"F4\"", "[3]", "[0,2]", 2), CheckpointError.UnsupportedElementType);

    [Fact]
    public void St36AMillionTinyTensorsAreRead()
    {
        var json = new StringBuilder("{");
        for (int i = 0; i < 1_000_000; i++)
            json.Append(i == 0 ? '"' : ',').Append(i == 0 ? "" : "\"").Append(i).Append("\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[").Append(i).Append(',').Append(i + 1).Append("]}");
        byte[] bytes = Make(json.Append('}').ToString(), 1_000_000);
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Open(folder, bytes);
        Assert.Equal(1_000_000, file.Tensors.Count);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\\u0000b")]
    [InlineData("../../x")]
    [InlineData("\\u202egnp.exe")]
    [InlineData("\\u001b[2J")]
    public void St37OddNamesAreReadAndEscapedInMessages(string name)
    {
        using var folder = new TemporaryFolder();
        using (SafetensorsFile file = Open(folder, Make($$"""{"{{name}}":{"dtype":"U8","shape":[2],"data_offsets":[0,2] } }""", 2)))
            Assert.Single(file.Tensors);
        Refused(Make($$"""{"{{name}}":{"dtype":"U8","shape":[2],"data_offsets":[0,3] } }""", 3), CheckpointError.SizeMismatch);
    }

    [Fact]
    public void St37NameOfAMegabyteIsReadAndCutInMessages()
    {
        string name = new('n', 1 << 20);
        using var folder = new TemporaryFolder();
        using (SafetensorsFile file = Open(folder, Make($$"""{"{{name}}":{"dtype":"U8","shape":[2],"data_offsets":[0,2] } }""", 2)))
            Assert.Equal(name, file.Tensors.Keys.Single());
        Refused(Make($$"""{"{{name}}":{"dtype":"U8","shape":[2],"data_offsets":[0,3] } }""", 3), CheckpointError.SizeMismatch);
    }

    [Fact]
    public void St43AFileThatChangesWhileOpenIsRefusedAndAReplacedOneIsReadToTheEnd()
    {
        using var folder = new TemporaryFolder();
        byte[] bytes = Make(Encoding.UTF8.GetBytes(OneTensor), [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40]);
        string path = folder.File("model.safetensors");

        using (SafetensorsFile replaced = Open(folder, bytes))
        {
            File.WriteAllBytes(path + ".new", new byte[3]);
            File.Move(path + ".new", path, overwrite: true);
            Assert.Equal([1f, 2f], replaced.ReadSingles("a"));
        }

        foreach (int change in new[] { -70, -1, 1 })
        {
            using SafetensorsFile changed = Open(folder, bytes);
            using (FileStream stream = OpenBesideUs(path))
                stream.SetLength(bytes.Length + change);
            AssertRefusal(Assert.Throws<CheckpointException>(() => changed.Borrow("a")), CheckpointError.Changed);
        }

        using SafetensorsFile rewritten = Open(folder, bytes);
        using (FileStream stream = OpenBesideUs(path))
            stream.WriteByte(7);
        File.SetLastWriteTimeUtc(path, DateTime.UtcNow.AddMinutes(1));
        AssertRefusal(Assert.Throws<CheckpointException>(() => rewritten.Borrow("a")), CheckpointError.Changed);
    }

    /// <summary>Under a mapping this would end the process with SIGBUS, which no test could catch.</summary>
    [Fact]
    public void St43ATensorThatWasLentSurvivesTheEndOfItsFile()
    {
        const int Length = 1 << 20;
        using var folder = new TemporaryFolder();
        byte[] data = new byte[Length];
        new Random(3).NextBytes(data);
        byte[] json = Encoding.UTF8.GetBytes($$"""{"a":{"dtype":"U8","shape":[{{Length}}],"data_offsets":[0,{{Length}}] } }""");
        using SafetensorsFile file = Open(folder, Make(json, data));
        using TensorBytes bytes = file.Borrow("a");
        using (FileStream stream = OpenBesideUs(file.Path))
            stream.SetLength(0);
        Assert.True(bytes.Slice(0, Length).SequenceEqual(data));
        AssertRefusal(Assert.Throws<CheckpointException>(() => file.Borrow("a")), CheckpointError.Changed);
    }

    [Fact]
    public void St44ASparseTerabyteIsRefusedByMemoryBeforeAnyWeightIsRead()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("sparse");
        File.WriteAllBytes(path, Make($$"""{"a":{"dtype":"U8","shape":[{{1L << 40}}],"data_offsets":[0,{{1L << 40}}] } }""", 0));
        using (FileStream stream = File.OpenWrite(path))
            stream.SetLength(stream.Length + (1L << 40));
        using SafetensorsFile file = SafetensorsFile.Open(path);
        AssertRefusal(Assert.Throws<CheckpointException>(() => new WeightReader(file, new RecordingBackend())), CheckpointError.ExceedsMemory);
    }

    [SkippableFact]
    public void St45WhatIsNoRegularFileIsRefusedAndNotOpened()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "named pipes and devices are made here as on Linux");
        using var folder = new TemporaryFolder();
        Process.Start("mkfifo", folder.File("pipe")).WaitForExit();
        File.CreateSymbolicLink(folder.File("loop1"), folder.File("loop2"));
        File.CreateSymbolicLink(folder.File("loop2"), folder.File("loop1"));
        foreach (string path in new[] { folder.File("pipe"), folder.Root, "/dev/zero", folder.File("loop1") })
            AssertRefusal(Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path)), CheckpointError.NotAFile);
        AssertRefusal(Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(folder.File("none"))), CheckpointError.NotFound);
    }

    [Fact]
    public void St46BigEndianLengthIsRefusedAndExplained()
    {
        byte[] bytes = Make(OneTensor, 8);
        bytes.AsSpan(0, 8).Reverse();
        Assert.Contains("big-endian", Refused(bytes, CheckpointError.InvalidHeaderLength).Message);
    }

    [Fact]
    public void MetadataIsKept()
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = Open(folder, Make("""{"__metadata__":{"format":"pt","":"ü"}}""", 0));
        Assert.Equal("pt", file.Metadata["format"]);
        Assert.Equal("ü", file.Metadata[""]);
    }

    private static FileStream OpenBesideUs(string path) => new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete);

    private static byte[] WithLength(ulong length)
    {
        byte[] bytes = Make(OneTensor, 8);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);
        return bytes;
    }
}
