using System.Buffers.Binary;
using System.Text;
using ClipEngine.Files;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Files;

public sealed class NpyFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // What numpy 1.24 wrote for numpy.save(f, numpy.array([[1.5, -2.0]], dtype='<f4')).
    [Fact]
    public void TheBytesAreThoseOfNumPy()
    {
        string path = _folder.File("a.npy");
        NpyFile.Write<float>(path, [1.5f, -2.0f], 1, 2);

        string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }".PadRight(117) + "\n";
        byte[] expected = [0x93, .. "NUMPY"u8, 1, 0, 118, 0, .. Encoding.ASCII.GetBytes(text), 0, 0, 0xC0, 0x3F, 0, 0, 0, 0xC0];
        Assert.Equal(expected, File.ReadAllBytes(path));
    }

    [Fact]
    public void EveryTypeComesBack()
    {
        RoundTrip(true, false);
        RoundTrip<byte>(0, 255);
        RoundTrip<sbyte>(-128, 127);
        RoundTrip<ushort>(0, ushort.MaxValue);
        RoundTrip<short>(short.MinValue, 5);
        RoundTrip<uint>(0, uint.MaxValue);
        RoundTrip(int.MinValue, 7);
        RoundTrip<ulong>(0, ulong.MaxValue);
        RoundTrip(long.MinValue, 9L);
        RoundTrip((Half)0.5, Half.NaN);
        RoundTrip(float.NegativeInfinity, 0.1f);
        RoundTrip(double.Epsilon, double.NaN);
    }

    [Theory]
    [InlineData(new long[0])]
    [InlineData(new long[] { 1 })]
    [InlineData(new long[] { 0, 512 })]
    [InlineData(new long[] { 2, 3, 4, 5, 1, 2, 1 })]
    public void EveryRankComesBack(long[] dimensions)
    {
        string path = _folder.File("rank.npy");
        float[] values = [.. Enumerable.Range(0, (int)dimensions.Aggregate(1L, (a, b) => a * b)).Select(i => (float)i)];
        NpyFile.Write<float>(path, values, dimensions);
        (float[] found, var sizes) = NpyFile.ReadAll<float>(path);
        Assert.Equal(values, found);
        Assert.Equal(dimensions, sizes);
        // NumPy aligns the data to 64 bytes.
        Assert.Equal(0, (new FileInfo(path).Length - (values.Length * 4)) % 64);
    }

    [Theory]
    [InlineData(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }     \n")]
    [InlineData(2, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n")]
    [InlineData(3, "{\"shape\": (3L,), \"fortran_order\": True, \"descr\": '<f4'}")]
    [InlineData(1, " { 'shape' : ( 3 , 1 ) , 'descr' : '=f4' , 'fortran_order' : False } ")]
    public void EveryVersionAndSpellingIsRead(byte version, string header)
    {
        string path = Raw(version, header, new byte[12]);
        using NpyFile file = NpyFile.Open(path);
        Assert.Equal(ElementType.Float32, file.Type);
        Assert.Equal(3, file.ElementCount);
    }

    [Theory]
    [InlineData("{'descr': '<c8', 'fortran_order': False, 'shape': (3,), }", "'<c8'")]
    [InlineData("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", "'|O'")]
    [InlineData("{'descr': '|V2', 'fortran_order': False, 'shape': (6,), }", "'|V2'")]
    [InlineData("{'descr': '|f4', 'fortran_order': False, 'shape': (3,), }", "'|f4'")]
    [InlineData("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", "records")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", "cut short")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "appended")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", "no number")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (3), }", "no tuple")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "no number")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "overflow")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (2305843009213693952,), }", "overflow")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,3,), }", "64 dimensions")]
    [InlineData("{'descr': '<f4', 'fortran_order': 0, 'shape': (3,), }", "neither True nor False")]
    [InlineData("{'descr': '<f4', 'shape': (3,), }", "expected the keys")]
    [InlineData("{'descr': '<f4', 'descr': '<f4', 'shape': (3,), }", "repeated")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'x': 1}", "'x'")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), } + 1", "behind")]
    [InlineData("{'descr': '<f4", "without an end")]
    [InlineData("(3,)", "expected '{'")]
    [InlineData("", "expected '{'")]
    public void AHostileHeaderIsRefusedByName(string header, string reason)
    {
        string path = Raw(1, header, new byte[12]);
        var exception = Assert.Throws<BadInputException>(() => NpyFile.Open(path));
        Assert.Contains(path, exception.Message);
        Assert.Contains(reason, exception.Message);
    }

    /// <summary>Column-major [2, 3, 2]: the first index runs fastest, so that element (i, j, k) lies at i + 2 j + 6 k.</summary>
    [Fact]
    public void FortranOrderComesOutRowMajor()
    {
        short[] stored = new short[12];
        for (int i = 0; i < 2; i++)
        {
            for (int j = 0; j < 3; j++)
            {
                for (int k = 0; k < 2; k++)
                    stored[i + (2 * j) + (6 * k)] = (short)((100 * i) + (10 * j) + k);
            }
        }

        string path = Raw(1, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3, 2), }", System.Runtime.InteropServices.MemoryMarshal.AsBytes(stored.AsSpan()).ToArray());
        using NpyFile file = NpyFile.Open(path);
        short[] found = new short[12], part = new short[2];
        file.Read(0, found.AsSpan());
        Assert.Equal([0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121], found);
        file.Read(7, part.AsSpan());
        Assert.Equal([101, 110], part);
        Assert.Equal(found, NpyFile.ReadAll<short>(path).Values);
    }

    [Theory]
    [InlineData(">f2", new byte[] { 0x3C, 0x00, 0xC0, 0x00 })]
    [InlineData(">f4", new byte[] { 0x3F, 0x80, 0, 0, 0xC0, 0, 0, 0 })]
    [InlineData(">f8", new byte[] { 0x3F, 0xF0, 0, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0 })]
    public void BigEndianNumbersComeOutAsTheyAre(string type, byte[] bytes)
    {
        using NpyFile file = NpyFile.Open(Raw(1, $"{{'descr': '{type}', 'fortran_order': False, 'shape': (1, 2), }}", bytes));
        float[] found = new float[2];
        file.ReadAsSingle(0, found);
        Assert.Equal([1f, -2f], found);
        using ClipEngine.Scoring.FeatureSource source = ClipEngine.Scoring.FeatureSource.Open(file.Path);
        source.ReadRows(0, found);
        Assert.Equal([1f, -2f], found);
    }

    [Fact]
    public void AHeaderLongerThanTheFileIsRefusedWithoutBeingAllocated()
    {
        string path = _folder.File("long.npy");
        File.WriteAllBytes(path, [0x93, .. "NUMPY"u8, 2, 0, 0xFF, 0xFF, 0xFF, 0xFF, (byte)'{']);
        Assert.Contains("4294967295", Assert.Throws<BadInputException>(() => NpyFile.Open(path)).Message);
        File.WriteAllBytes(path, [0x93, .. "NUMPY"u8, 1, 0, 200, 0, (byte)'{']);
        Assert.Contains("inside its header", Assert.Throws<BadInputException>(() => NpyFile.Open(path)).Message);
    }

    [Fact]
    public void EveryPrefixOfAFileIsRefused()
    {
        string path = _folder.File("whole.npy");
        NpyFile.Write<float>(path, [1, 2, 3], 3);
        byte[] bytes = File.ReadAllBytes(path);
        for (int length = 0; length < bytes.Length; length++)
        {
            File.WriteAllBytes(path, bytes[..length]);
            Assert.Throws<BadInputException>(() => NpyFile.Open(path));
        }
    }

    [Fact]
    public void OtherThingsThanFilesAreRefusedByName()
    {
        Assert.Contains("does not exist", Assert.Throws<BadInputException>(() => NpyFile.Open(_folder.File("missing.npy"))).Message);
        Assert.Contains("folder", Assert.Throws<BadInputException>(() => NpyFile.Open(_folder.Root)).Message);
    }

    [Fact]
    public void AnotherTypeIsRefusedOrConvertedOnlyOnRequest()
    {
        string path = _folder.File("half.npy");
        Half[] values = [.. Enumerable.Range(0, 1500).Select(i => (Half)(i / 8.0))];
        NpyFile.Write<Half>(path, values, 1500);
        Assert.Contains("found Float16", Assert.Throws<BadInputException>(() => NpyFile.ReadAll<float>(path)).Message);

        using NpyFile file = NpyFile.Open(path);
        float[] singles = new float[1400];
        file.ReadAsSingle(100, singles);
        Assert.Equal(values[100..].Select(value => (float)value), singles);
        Assert.Throws<ArgumentOutOfRangeException>(() => file.ReadAsSingle(101, singles));
    }

    [Fact]
    public void AFileThatShrinksWhileOpenIsAnErrorAndNoCrash()
    {
        string path = _folder.File("shrinks.npy");
        NpyFile.Write<float>(path, new float[10000], 10000);
        using NpyFile file = NpyFile.Open(path);
        File.WriteAllBytes(path, File.ReadAllBytes(path)[..300]);
        Assert.Contains("cut short", Assert.Throws<BadInputException>(() => file.Read(0, new float[10000].AsSpan())).Message);
    }

    [Fact]
    public void AStreamedFileIsWholeOrNotThere()
    {
        string path = _folder.File("streamed.npy");
        Assert.Throws<InvalidOperationException>(() => NpyFile.Write(path, ElementType.Float32, [4], writer => writer.Append<float>([1, 2, 3])));
        Assert.Throws<InvalidOperationException>(() => NpyFile.Write(path, ElementType.Float32, [2], writer => writer.Append<float>([1, 2, 3])));
        Assert.Throws<ArgumentException>(() => NpyFile.Write(path, ElementType.Float32, [3], writer => writer.Append<int>([1, 2, 3])));
        Assert.Empty(Directory.GetFiles(_folder.Root));

        NpyFile.Write(path, ElementType.Float32, [2, 2], writer =>
        {
            writer.Append<float>([1, 2, 3]);
            writer.Append<float>([4]);
        });
        Assert.Equal([1, 2, 3, 4], NpyFile.ReadAll<float>(path).Values);
    }

    private void RoundTrip<T>(params T[] values)
        where T : unmanaged
    {
        string path = _folder.File($"{typeof(T).Name}.npy");
        NpyFile.Write<T>(path, values, values.Length);
        Assert.Equal(values, NpyFile.ReadAll<T>(path).Values);
    }

    private string Raw(byte version, string header, byte[] data)
    {
        string path = _folder.File($"raw-{Guid.NewGuid():N}.npy");
        byte[] length = new byte[version == 1 ? 2 : 4];
        if (version == 1)
            BinaryPrimitives.WriteUInt16LittleEndian(length, (ushort)header.Length);
        else
            BinaryPrimitives.WriteUInt32LittleEndian(length, (uint)header.Length);
        File.WriteAllBytes(path, [0x93, .. "NUMPY"u8, version, 0, .. length, .. Encoding.ASCII.GetBytes(header), .. data]);
        return path;
    }
}
