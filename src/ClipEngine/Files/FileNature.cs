namespace ClipEngine.Files;

/// <summary>What a file is that is not what was expected, told by its first bytes: "not UTF-8" is no help to somebody who named a spreadsheet.</summary>
internal static class FileNature
{
    /// <summary>Bytes that are looked at.</summary>
    public const int Length = 16;

    private static readonly (byte[] Start, string Name)[] s_known =
    [
        ([.. "PAR1"u8], "a Parquet file"),
        ([.. "ARROW1"u8], "an Arrow or Feather file"),
        ([.. "FEA1"u8], "a Feather file"),
        ([.. "PK\u0003\u0004"u8], "a ZIP archive or a spreadsheet (.xlsx, .ods)"),
        ([0xD0, 0xCF, 0x11, 0xE0], "an old spreadsheet or document of Microsoft Office"),
        ([0x1F, 0x8B], "compressed with gzip"),
        ([0xFD, .. "7zXZ"u8], "compressed with xz"),
        ([.. "BZh"u8], "compressed with bzip2"),
        ([0x28, 0xB5, 0x2F, 0xFD], "compressed with zstd"),
        ([.. "7z"u8, 0xBC, 0xAF], "a 7z archive"),
        ([.. "Rar!"u8], "a RAR archive"),
        ([.. "SQLite format 3"u8], "an SQLite database"),
        ([0x89, .. "HDF"u8], "an HDF5 file"),
        ([0x93, .. "NUMPY"u8], "a NumPy array (.npy)"),
        ([.. "Obj\u0001"u8], "an Avro file"),
        ([.. "ORC"u8], "an ORC file"),
        ([.. "%PDF"u8], "a PDF document"),
        ([.. "{\\rtf"u8], "an RTF document"),
        ([0x89, .. "PNG"u8], "a PNG image"),
        ([0xFF, 0xD8, 0xFF], "a JPEG image"),
        ([.. "GIF8"u8], "a GIF image"),
        ([0x7F, .. "ELF"u8], "a program"),
        ([0x80, 0x02], "a Python pickle"),
        ([0x80, 0x03], "a Python pickle"),
        ([0x80, 0x04], "a Python pickle"),
        ([0x80, 0x05], "a Python pickle"),
    ];

    /// <summary>What the file is, or null where its beginning says nothing.</summary>
    public static string? Of(ReadOnlySpan<byte> start)
    {
        foreach ((byte[] known, string name) in s_known)
        {
            if (start.StartsWith(known))
                return name;
        }

        return null;
    }
}
