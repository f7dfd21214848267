using System.Buffers.Binary;
using System.Text;
using ClipEngine.Checkpoints;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>Safetensors files made by hand, byte by byte, so that the writer under test has no part in them.</summary>
internal static class SafetensorsBytes
{
    /// <summary>One F32 tensor "a" of two elements.</summary>
    public const string OneTensor = """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""";

    public static byte[] Make(string json, int dataLength) => Make(Encoding.UTF8.GetBytes(json), new byte[dataLength]);

    public static byte[] Make(byte[] json, byte[] data)
    {
        byte[] file = new byte[8 + json.Length + data.Length];
        BinaryPrimitives.WriteInt64LittleEndian(file, json.Length);
        json.CopyTo(file, 8);
        data.CopyTo(file, 8 + json.Length);
        return file;
    }

    /// <summary>A header with one entry "a" of the given fields.</summary>
    public static byte[] Entry(string dtype, string shape, string offsets, int dataLength) =>
        Make($$"""{"a":{"dtype":{{dtype}},"shape":{{shape}},"data_offsets":{{offsets}} } }""", dataLength);

    /// <summary>Writes the bytes and opens them.</summary>
    public static SafetensorsFile Open(TemporaryFolder folder, byte[] bytes, bool lenient = false)
    {
        string path = folder.File("model.safetensors");
        File.WriteAllBytes(path, bytes);
        return SafetensorsFile.Open(path, lenient);
    }

    /// <summary>The refusal that the bytes must meet, with the laws that hold for every refusal.</summary>
    public static CheckpointException Refused(byte[] bytes, CheckpointError error, bool lenient = false)
    {
        using var folder = new TemporaryFolder();
        var exception = Assert.Throws<CheckpointException>(() => Open(folder, bytes, lenient).Dispose());
        AssertRefusal(exception, error);
        return exception;
    }

    public static void AssertRefusal(CheckpointException exception, CheckpointError error)
    {
        Assert.True(error == exception.Error, $"expected {error}, found {exception.Error}: {exception.Message}");
        Assert.InRange(exception.Message.Length, 1, 500 + exception.InputSource.Length);
        Assert.DoesNotContain(exception.Message, character => char.IsControl(character));
    }
}
