using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>Names and limits of the safetensors format, as its reference implementation and schema define them.</summary>
internal static class SafetensorsFormat
{
    /// <summary>The largest header that the reference reads.</summary>
    public const int MaximumHeaderLength = 100_000_000;

    /// <summary>Bytes in front of the header: its length, unsigned, little-endian.</summary>
    public const int PrefixLength = 8;

    /// <summary>The schema's cap on sizes and offsets, 48 bits.</summary>
    public const long MaximumSize = 1L << 48;

    /// <summary>Ours: no architecture has more dimensions, and no array library takes more.</summary>
    public const int MaximumRank = 64;

    /// <summary>The key that is no tensor.</summary>
    public const string MetadataKey = "__metadata__";

    private static readonly (string Name, ElementType Type)[] s_types =
    [
        ("BOOL", ElementType.Boolean),
        ("U8", ElementType.UInt8),
        ("I8", ElementType.Int8),
        ("U16", ElementType.UInt16),
        ("I16", ElementType.Int16),
        ("U32", ElementType.UInt32),
        ("I32", ElementType.Int32),
        ("U64", ElementType.UInt64),
        ("I64", ElementType.Int64),
        ("F16", ElementType.Float16),
        ("BF16", ElementType.BFloat16),
        ("F32", ElementType.Float32),
        ("F64", ElementType.Float64),
    ];

    private static readonly string[] s_unsupported =
        ["F4", "F6_E2M3", "F6_E3M2", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"];

    /// <summary>The format's name of a type.</summary>
    public static string NameOf(ElementType type)
    {
        foreach ((string name, ElementType candidate) in s_types)
        {
            if (candidate == type)
                return name;
        }

        throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown element type.");
    }

    /// <summary>The type behind a name; names are case-sensitive.</summary>
    public static bool TryParse(string name, out ElementType type)
    {
        foreach ((string candidate, ElementType found) in s_types)
        {
            if (candidate == name)
            {
                type = found;
                return true;
            }
        }

        type = default;
        return false;
    }

    /// <summary>Whether the format defines the type and only we do not read it.</summary>
    public static bool IsUnsupported(string name) => Array.IndexOf(s_unsupported, name) >= 0;
}
