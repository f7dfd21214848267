using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using ClipEngine.Checkpoints;
using ClipEngine.Imaging;
using ClipEngine.Testing;

namespace ClipEngine.Tests.Imaging;

/// <summary>Image files made by hand, well formed and not.</summary>
internal static class ImageFiles
{
    private static readonly PreprocessOptions s_small = new() { Height = 32, Width = 32 };

    public static byte[] Sample(string name) => File.ReadAllBytes(TestData.Path("preprocess", "images", name));

    /// <summary>Decodes and crops to 32 pixels, which reads the file to its end.</summary>
    public static byte[] Crop(byte[] encoded, string name = "image")
    {
        var preprocessor = new ImagePreprocessor(s_small);
        var crop = new byte[preprocessor.ElementCount];
        preprocessor.Crop(encoded, name, crop);
        return crop;
    }

    public static ImageException Refusal(byte[] encoded, string name = "image") => Assert.Throws<ImageException>(() => Crop(encoded, name));

    /// <summary>A PNG whose header and pixel data are free to contradict each other.</summary>
    public static byte[] Png(uint width, uint height, byte depth, byte colour, byte[] raw, params (string Kind, byte[] Body)[] chunks)
    {
        var header = new byte[13];
        BinaryPrimitives.WriteUInt32BigEndian(header, width);
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(4), height);
        header[8] = depth;
        header[9] = colour;
        using var file = new MemoryStream();
        file.Write([0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A]);
        WriteChunk(file, "IHDR", header);
        foreach ((string kind, byte[] body) in chunks)
            WriteChunk(file, kind, body);
        WriteChunk(file, "IDAT", Deflate(raw));
        WriteChunk(file, "IEND", []);
        return file.ToArray();
    }

    /// <summary>An RGB picture that lies in a checkpoint as <c>[3, height, width]</c> bytes, as PNG.</summary>
    public static byte[] Png(ICheckpoint checkpoint, string key)
    {
        StoredTensor stored = checkpoint.Tensors[key];
        int height = (int)stored.Dimensions[1], width = (int)stored.Dimensions[2];
        using TensorBytes bytes = checkpoint.Borrow(key);
        ReadOnlySpan<byte> planes = bytes.Slice(0, (int)bytes.ByteLength);
        byte[] raw = new byte[height * (1 + (3 * width))];
        for (int y = 0; y < height; y++)
        {
            for (int i = 0; i < 3 * width; i++)
                raw[(y * (1 + (3 * width))) + 1 + i] = planes[(i % 3 * height * width) + (y * width) + (i / 3)];
        }

        return Png((uint)width, (uint)height, 8, 2, raw);
    }

    public static byte[] Deflate(byte[] raw)
    {
        using var stream = new MemoryStream();
        using (var zlib = new ZLibStream(stream, CompressionLevel.Optimal))
            zlib.Write(raw);
        return stream.ToArray();
    }

    public static byte[] Bmp(int width, int height, ushort bits, uint offset, int dataLength)
    {
        var file = new byte[54 + dataLength];
        file[0] = (byte)'B';
        file[1] = (byte)'M';
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(10), offset);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(14), 40);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(18), width);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(22), height);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(26), 1);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(28), bits);
        return file;
    }

    /// <summary>The offset of a JPEG's first marker of this kind.</summary>
    public static int JpegMarker(byte[] jpeg, byte marker)
    {
        for (int at = 2; at + 4 <= jpeg.Length; at += 2 + BinaryPrimitives.ReadUInt16BigEndian(jpeg.AsSpan(at + 2)))
        {
            if (jpeg[at + 1] == marker)
                return at;
        }

        throw new InvalidOperationException($"no marker {marker:x2}");
    }

    private static void WriteChunk(MemoryStream file, string kind, byte[] body)
    {
        Span<byte> word = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(word, body.Length);
        file.Write(word);
        byte[] covered = [.. Encoding.ASCII.GetBytes(kind), .. body];
        file.Write(covered);
        BinaryPrimitives.WriteUInt32BigEndian(word, Crc(covered));
        file.Write(word);
    }

    private static uint Crc(byte[] bytes)
    {
        uint crc = 0xFFFFFFFF;
        foreach (byte value in bytes)
        {
            crc ^= value;
            for (int i = 0; i < 8; i++)
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xEDB88320 : crc >> 1;
        }

        return ~crc;
    }
}
