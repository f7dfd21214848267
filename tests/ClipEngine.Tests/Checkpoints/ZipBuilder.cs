using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>Writes zip archives byte by byte, with every field open to abuse.</summary>
internal sealed class ZipBuilder
{
    private readonly List<Member> _members = [];

    /// <summary>What stands in one member's headers; the defaults are those of an honest archive.</summary>
    internal sealed class Member
    {
        public required string Name { get; init; }

        public required byte[] Bytes { get; init; }

        public byte[]? CentralName { get; set; }

        public ushort Flags { get; set; } = 0x0800;

        public ushort? LocalFlags { get; set; }

        public ushort Method { get; set; }

        public ushort? LocalMethod { get; set; }

        public uint? Crc { get; set; }

        public uint? LocalCrc { get; set; }

        public uint? Length { get; set; }

        public uint? LocalLength { get; set; }

        public uint? PackedLength { get; set; }

        public uint? HeaderStart { get; set; }

        public ushort MadeBy { get; set; }

        public uint Attributes { get; set; }

        public byte[] CentralExtra { get; set; } = [];

        public byte[] LocalExtra { get; set; } = [];

        public byte[] Comment { get; set; } = [];

        public byte[] Gap { get; set; } = [];

        public bool HasDescriptor { get; set; }

        public bool HasWideDescriptor { get; set; }
    }

    public byte[] Front { get; set; } = [];

    public byte[] BeforeEnd { get; set; } = [];

    public byte[] Comment { get; set; } = [];

    public ushort? Count { get; set; }

    public uint? DirectoryStart { get; set; }

    public Member Add(string name, byte[] bytes)
    {
        var member = new Member { Name = name, Bytes = bytes };
        _members.Add(member);
        return member;
    }

    public Member Add(string name, string text) => Add(name, Encoding.UTF8.GetBytes(text));

    public byte[] Build()
    {
        var file = new MemoryStream();
        file.Write(Front);
        var starts = new List<uint>();
        foreach (Member member in _members)
        {
            starts.Add((uint)file.Length);
            byte[] name = Encoding.UTF8.GetBytes(member.Name);
            byte[] packed = Pack(member);
            ushort flags = member.LocalFlags ?? Flags(member);
            Write(file, 0x04034b50u, (ushort)20, flags, member.LocalMethod ?? member.Method, 0u,
                member.LocalCrc ?? (member.HasDescriptor ? 0 : Crc(member)),
                member.HasDescriptor ? 0u : member.PackedLength ?? (uint)packed.Length,
                member.LocalLength ?? (member.HasDescriptor ? 0u : (uint)member.Bytes.Length), (ushort)name.Length, (ushort)member.LocalExtra.Length);
            file.Write(name);
            file.Write(member.LocalExtra);
            file.Write(packed);
            if (member.HasDescriptor && member.HasWideDescriptor)
                Write(file, 0x08074b50u, Crc(member), (ulong)packed.Length, (ulong)member.Bytes.Length);
            else if (member.HasDescriptor)
                Write(file, 0x08074b50u, Crc(member), (uint)packed.Length, (uint)member.Bytes.Length);
            file.Write(member.Gap);
        }

        uint directory = (uint)file.Length;
        for (int i = 0; i < _members.Count; i++)
        {
            Member member = _members[i];
            byte[] name = member.CentralName ?? Encoding.UTF8.GetBytes(member.Name);
            Write(file, 0x02014b50u, member.MadeBy, (ushort)20, Flags(member), member.Method, 0u, Crc(member),
                member.PackedLength ?? (uint)Pack(member).Length, member.Length ?? (uint)member.Bytes.Length,
                (ushort)name.Length, (ushort)member.CentralExtra.Length, (ushort)member.Comment.Length, (ushort)0, (ushort)0, member.Attributes, member.HeaderStart ?? starts[i]);
            file.Write(name);
            file.Write(member.CentralExtra);
            file.Write(member.Comment);
        }

        uint length = (uint)file.Length - directory;
        file.Write(BeforeEnd);
        ushort count = Count ?? (ushort)_members.Count;
        Write(file, 0x06054b50u, (ushort)0, (ushort)0, count, count, length, DirectoryStart ?? directory, (ushort)Comment.Length);
        file.Write(Comment);
        return file.ToArray();
    }

    /// <summary>The CRC-32 of APPNOTE, bit by bit.</summary>
    public static uint CrcOf(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in bytes)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1)));
        }

        return ~crc;
    }

    private static uint Crc(Member member) => member.Crc ?? CrcOf(member.Bytes);

    private static ushort Flags(Member member) => (ushort)(member.Flags | (member.HasDescriptor ? 8 : 0));

    private static byte[] Pack(Member member)
    {
        if (member.Method != 8)
            return member.Bytes;
        var packed = new MemoryStream();
        using (var deflate = new DeflateStream(packed, CompressionLevel.Optimal))
            deflate.Write(member.Bytes);
        return packed.ToArray();
    }

    private static void Write(MemoryStream file, params ReadOnlySpan<object> fields)
    {
        Span<byte> buffer = stackalloc byte[8];
        foreach (object field in fields)
        {
            switch (field)
            {
                case ushort number:
                    BinaryPrimitives.WriteUInt16LittleEndian(buffer, number);
                    file.Write(buffer[..2]);
                    break;
                case uint number:
                    BinaryPrimitives.WriteUInt32LittleEndian(buffer, number);
                    file.Write(buffer[..4]);
                    break;
                default:
                    BinaryPrimitives.WriteUInt64LittleEndian(buffer, (ulong)field);
                    file.Write(buffer);
                    break;
            }
        }
    }
}
