using System.Buffers.Binary;
using System.IO.Compression;
using System.IO.Hashing;

namespace ClipEngine.Audit.Figures;

/// <summary>A PNG of 8-bit RGB, without filters: enough for heat maps of thousands of cells inside an SVG.</summary>
internal static class PngWriter
{
    /// <summary>Encodes <c>[rows, columns, 3]</c> bytes.</summary>
    public static byte[] Encode(ReadOnlySpan<byte> rgb, int columns, int rows)
    {
        if (rgb.Length != columns * rows * 3)
            throw new ArgumentException($"Expected {columns * rows * 3} bytes for {columns} x {rows} pixels; found {rgb.Length}.", nameof(rgb));
        using var file = new MemoryStream();
        file.Write([0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A]);

        Span<byte> header = stackalloc byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, columns);
        BinaryPrimitives.WriteInt32BigEndian(header[4..], rows);
        header[8] = 8;      // bits a channel
        header[9] = 2;      // RGB
        WriteChunk(file, "IHDR"u8, header);

        using var data = new MemoryStream();
        using (var compressor = new ZLibStream(data, CompressionLevel.SmallestSize, leaveOpen: true))
        {
            for (int row = 0; row < rows; row++)
            {
                compressor.WriteByte(0);    // no filter
                compressor.Write(rgb.Slice(row * columns * 3, columns * 3));
            }
        }

        WriteChunk(file, "IDAT"u8, data.ToArray());
        WriteChunk(file, "IEND"u8, []);
        return file.ToArray();
    }

    private static void WriteChunk(MemoryStream file, ReadOnlySpan<byte> type, ReadOnlySpan<byte> content)
    {
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, content.Length);
        file.Write(number);
        file.Write(type);
        file.Write(content);
        var checksum = new Crc32();
        checksum.Append(type);
        checksum.Append(content);
        BinaryPrimitives.WriteUInt32BigEndian(number, checksum.GetCurrentHashAsUInt32());
        file.Write(number);
    }
}
