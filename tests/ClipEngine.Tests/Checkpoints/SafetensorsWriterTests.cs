using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Tensors;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

public class SafetensorsWriterTests
{
    [Fact]
    public void EveryTypeComesBackBitByBit()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("all.safetensors");
        var writer = new SafetensorsWriter(new Dictionary<string, string> { ["format"] = "pt", ["note"] = "\"ü\"\n" });
        var random = new Random(1);
        var expected = new Dictionary<string, byte[]>();
        foreach (ElementType type in Enum.GetValues<ElementType>())
        {
            byte[] bytes = new byte[6 * type.SizeInBytes()];
            random.NextBytes(bytes);
            expected.Add(type.ToString(), bytes);
            writer.Add(type.ToString(), type, [2, 1, 3], bytes);
        }

        writer.Add("scalar", new float[] { 3 });
        writer.Add("empty", ReadOnlyMemory<float>.Empty, 0, 5);
        writer.Add("a\u0000\"\\/ü😀", new float[] { 1, 2 }, 2);
        writer.Write(path);

        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal(expected.Count + 3, file.Tensors.Count);
        Assert.Equal("\"ü\"\n", file.Metadata["note"]);
        Assert.Equal([1f, 2f], file.ReadSingles("a\u0000\"\\/ü😀"));
        foreach ((string name, byte[] bytes) in expected)
        {
            Assert.Equal([2L, 1L, 3L], file.Tensors[name].Dimensions.ToArray());
            using TensorBytes borrowed = file.Borrow(name);
            Assert.Equal(bytes, borrowed.Slice(0, bytes.Length).ToArray());
        }
    }

    [Fact]
    public void TheOrderOfAddingDoesNotShowAndTheHeaderIsPaddedToEight()
    {
        using var folder = new TemporaryFolder();
        foreach (bool isReversed in new[] { false, true })
        {
            var writer = new SafetensorsWriter();
            string[] names = ["b", "a", "c"];
            foreach (string name in isReversed ? names.Reverse() : names)
                writer.Add(name, name == "c" ? ElementType.UInt8 : ElementType.Float16, [1], new byte[name == "c" ? 1 : 2]);
            writer.Write(folder.File(isReversed + ""));
        }

        byte[] bytes = File.ReadAllBytes(folder.File("True"));
        Assert.Equal(File.ReadAllBytes(folder.File("False")), bytes);
        int length = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        Assert.Equal(0, length % 8);
        using var json = JsonDocument.Parse(Encoding.UTF8.GetString(bytes, 8, length));
        Assert.Equal(["a", "b", "c"], json.RootElement.EnumerateObject().Select(property => property.Name));
    }

    [Fact]
    public void AFileReadFromItselfKeepsItsBytesAndAWrongLengthIsRefused()
    {
        using var folder = new TemporaryFolder();
        var writer = new SafetensorsWriter();
        writer.Add("a", new float[300_000], 300_000);
        writer.Write(folder.File("1"));
        using (SafetensorsFile file = SafetensorsFile.Open(folder.File("1")))
        {
            var copy = new SafetensorsWriter();
            copy.Add(file, "a");
            copy.Write(folder.File("2"));
        }

        Assert.Equal(File.ReadAllBytes(folder.File("1")), File.ReadAllBytes(folder.File("2")));
        Assert.Throws<ArgumentException>(() => writer.Add("a", new float[1], 1));
        Assert.Throws<ArgumentException>(() => writer.Add("b", new float[1], 2));
    }

    [Fact]
    public void RowsGivenPieceByPieceMakeTheSameFileAndTooFewOrTooManyMakeNone()
    {
        using var folder = new TemporaryFolder();
        float[] left = [.. Enumerable.Range(0, 40).Select(value => value + 0.5f)], right = [.. Enumerable.Range(0, 20).Select(value => -value + 0.25f)];
        byte[] bytes = [1, 2, 3];
        var whole = new SafetensorsWriter();
        whole.Add("left", left, 10, 4);
        whole.Add("right", right, 10, 2);
        whole.Add("bytes", ElementType.UInt8, [3], bytes);
        whole.Write(folder.File("whole"));

        foreach ((int count, bool isRight) in new[] { (10, true), (9, false), (11, false) })
        {
            var pieces = new SafetensorsWriter();
            pieces.Add("bytes", ElementType.UInt8, [3], bytes);
            pieces.AddRows("right", 10, 2);
            pieces.AddRows("left", 10, 4);
            void Write() => pieces.Write(folder.File("pieces"), rows =>
            {
                for (int row = 0; row < count; row++)
                {
                    rows.Append("left", left.AsSpan(row % 10 * 4, 4));
                    rows.Append("right", right.AsSpan(row % 10 * 2, 2));
                }
            });
            if (isRight)
            {
                Write();
                Assert.Equal(File.ReadAllBytes(folder.File("whole")), File.ReadAllBytes(folder.File("pieces")));
                File.Delete(folder.File("pieces"));
            }
            else
            {
                Assert.Throws<InvalidOperationException>(Write);
            }
        }

        Assert.Equal(["whole"], Directory.GetFiles(folder.Root).Select(Path.GetFileName));
        var announced = new SafetensorsWriter();
        announced.AddRows("left", 1, 1);
        Assert.Throws<InvalidOperationException>(() => announced.Write(folder.File("never")));
        Assert.Throws<InvalidOperationException>(() => announced.Write(folder.File("never"), rows => rows.Append("right", [1f])));
    }
}
