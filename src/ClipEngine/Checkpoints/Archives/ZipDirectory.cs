using System.Buffers.Binary;
using System.Text;
using System.Text.Unicode;

namespace ClipEngine.Checkpoints.Archives;

/// <summary>A member of a zip archive.</summary>
/// <param name="Name">Its path inside the archive, never used as a path on disk.</param>
/// <param name="IsStored">Whether its bytes lie in the file as they are; else they are deflated.</param>
/// <param name="Crc">The CRC-32 of its bytes.</param>
/// <param name="Start">Where its bytes begin in the file.</param>
/// <param name="PackedLength">How many bytes it takes in the file.</param>
/// <param name="Length">How many bytes it has, unpacked.</param>
internal readonly record struct ZipMember(string Name, bool IsStored, uint Crc, long Start, long PackedLength, long Length);

/// <summary>
/// The table of contents of a zip archive, read by rules of our own that leave no room between two readings of one file:
/// the members tile the file from its first byte to the central directory, both headers of a member agree in everything, and
/// nothing lies behind the end record.
/// </summary>
/// <remarks>Written after PKWARE's APPNOTE 6.3; what no program that saves checkpoints writes (encryption, comments, several volumes) is refused.</remarks>
internal sealed class ZipDirectory
{
    private const int EndLength = 22;
    private const int End64Length = 56;
    private const int Locator64Length = 20;
    private const int CentralLength = 46;
    private const int LocalLength = 30;
    private const int MaximumMembers = 100_000;
    private const int MaximumDirectoryLength = 100_000_000;
    private const ushort HasDescriptor = 1 << 3;
    private const ushort IsUtf8 = 1 << 11;
    private const ushort DeflateLevel = 6;

    private readonly CheckpointFile _file;
    private readonly Dictionary<string, ZipMember> _members = [];

    private ZipDirectory(CheckpointFile file) => _file = file;

    /// <summary>All members but folders, by name.</summary>
    public IReadOnlyDictionary<string, ZipMember> Members => _members;

    /// <summary>Reads and checks the whole table; the members' bytes are not looked at.</summary>
    /// <exception cref="CheckpointException">Any departure from the format.</exception>
    public static ZipDirectory Read(CheckpointFile file)
    {
        var directory = new ZipDirectory(file);
        (long start, long length, long count) = directory.ReadEnd();
        directory.ReadEntries(start, length, count);
        return directory;
    }

    private (long Start, long Length, long Count) ReadEnd()
    {
        if (_file.Length < EndLength)
            throw Refuse($"is too short for a zip archive ({_file.Length} bytes).", CheckpointError.Truncated);
        byte[] end = _file.Read(_file.Length - EndLength, EndLength);
        if (ReadUInt32(end, 0) != 0x06054b50 || ReadUInt16(end, 20) != 0)
        {
            throw Refuse("does not end with the end record of a zip archive: it is truncated, has a comment, or something was appended.",
                CheckpointError.Truncated);
        }

        long count = ReadUInt16(end, 10);
        long length = ReadUInt32(end, 12);
        long start = ReadUInt32(end, 16);
        long directoryEnd = _file.Length - EndLength;
        if (ReadUInt16(end, 4) != 0 || ReadUInt16(end, 6) != 0 || ReadUInt16(end, 8) != count)
            throw Refuse("is one volume of several; checkpoints are one file.");
        if (directoryEnd >= Locator64Length + End64Length && ReadUInt32(_file.Read(directoryEnd - Locator64Length, 4), 0) == 0x07064b50)
        {
            directoryEnd -= Locator64Length;
            byte[] locator = _file.Read(directoryEnd, Locator64Length);
            directoryEnd -= End64Length;
            byte[] end64 = _file.Read(directoryEnd, End64Length);
            bool agrees = ReadUInt32(end64, 0) == 0x06064b50 && ReadInt64(end64, 4) == End64Length - 12
                && ReadUInt32(locator, 4) == 0 && ReadInt64(locator, 8) == directoryEnd && ReadUInt32(locator, 16) == 1
                && ReadUInt32(end64, 16) == 0 && ReadUInt32(end64, 20) == 0 && ReadInt64(end64, 24) == ReadInt64(end64, 32)
                && Agrees(count, ReadInt64(end64, 32), ushort.MaxValue)
                && Agrees(length, ReadInt64(end64, 40), uint.MaxValue)
                && Agrees(start, ReadInt64(end64, 48), uint.MaxValue);
            if (!agrees)
                throw Refuse("has a zip64 end record that contradicts itself or the plain one.");
            count = ReadInt64(end64, 32);
            length = ReadInt64(end64, 40);
            start = ReadInt64(end64, 48);
        }

        if (start < 0 || length < 0 || start > directoryEnd || length != directoryEnd - start)
            throw Refuse($"has a central directory that does not lie where the end record says ({start} + {length}, expected to end at {directoryEnd}).");
        return count is >= 1 and <= MaximumMembers && length <= MaximumDirectoryLength
            ? (start, length, count)
            : throw Refuse($"has a central directory of {count} members in {length} bytes; 1 to {MaximumMembers} are read.", CheckpointError.TooComplex);

        static bool Agrees(long plain, long wide, long saturated) => plain == wide || (plain == saturated && wide >= saturated);
    }

    private void ReadEntries(long start, long length, long count)
    {
        byte[] bytes = _file.Read(start, (int)length);
        var entries = new List<Entry>();
        int position = 0;
        for (long i = 0; i < count; i++)
            entries.Add(ReadEntry(bytes, ref position));
        if (position != bytes.Length)
            throw Refuse("has a central directory with bytes that belong to no member.");
        CheckNames(entries);
        entries.Sort(static (left, right) => left.HeaderStart.CompareTo(right.HeaderStart));
        long expected = 0;
        for (int i = 0; i < entries.Count; i++)
        {
            if (entries[i].HeaderStart != expected)
            {
                throw Refuse(entries[i], entries[i].HeaderStart > expected
                    ? $"lies behind {entries[i].HeaderStart - expected} bytes that belong to no member."
                    : "overlaps another member.");
            }

            expected = i + 1 < entries.Count ? entries[i + 1].HeaderStart : start;
            ReadLocal(entries[i], expected);
        }
    }

    private Entry ReadEntry(byte[] bytes, ref int position)
    {
        if (bytes.Length - position < CentralLength || ReadUInt32(bytes, position) != 0x02014b50)
            throw Refuse("has a damaged central directory.");
        ReadOnlySpan<byte> header = bytes.AsSpan(position, CentralLength);
        int nameLength = ReadUInt16(header, 28);
        int extraLength = ReadUInt16(header, 30);
        int commentLength = ReadUInt16(header, 32);
        if (bytes.Length - position - CentralLength < nameLength + extraLength + commentLength)
            throw Refuse("has a damaged central directory.");
        ReadOnlySpan<byte> nameBytes = bytes.AsSpan(position + CentralLength, nameLength);
        ReadOnlySpan<byte> extra = bytes.AsSpan(position + CentralLength + nameLength, extraLength);
        position += CentralLength + nameLength + extraLength + commentLength;

        var entry = new Entry
        {
            NameBytes = nameBytes.ToArray(),
            Flags = ReadUInt16(header, 8),
            Method = ReadUInt16(header, 10),
            Crc = ReadUInt32(header, 16),
            PackedLength = ReadUInt32(header, 20),
            Length = ReadUInt32(header, 24),
            HeaderStart = ReadUInt32(header, 42),
        };
        entry.Name = ReadName(entry);
        if (commentLength != 0)
            throw Refuse(entry, "has a comment.");
        if (ReadUInt16(header, 34) != 0)
            throw Refuse(entry, "lies in another volume.");
        ReadExtra64(entry, extra);
        CheckKind(entry, ReadUInt16(header, 4) >> 8, ReadUInt32(header, 38));
        return entry;
    }

    private string ReadName(Entry entry)
    {
        bool isText = (entry.Flags & IsUtf8) != 0 ? Utf8.IsValid(entry.NameBytes) : Ascii.IsValid(entry.NameBytes);
        string name = isText ? Encoding.UTF8.GetString(entry.NameBytes) : Encoding.Latin1.GetString(entry.NameBytes);
        return isText ? name : throw RefuseName(name);
    }

    /// <summary>
    /// Refuses names that lead anywhere. PyTorch calls the one top folder after the file that it wrote first, so that whatever may stand in
    /// a file's name may stand there: a colon, a tab.
    /// </summary>
    private void CheckNames(List<Entry> entries)
    {
        const string Pickle = "/data.pkl";
        string? top = entries.Select(static entry => entry.Name).FirstOrDefault(static name => name.EndsWith(Pickle, StringComparison.Ordinal) && name.IndexOf('/') == name.Length - Pickle.Length);
        string? prefix = top?[..^(Pickle.Length - 1)];
        foreach (Entry entry in entries)
        {
            bool isInTop = prefix is { Length: > 1 and <= 256 } and not "./" and not "../" && !prefix.Contains('\0') && entry.Name.StartsWith(prefix, StringComparison.Ordinal);
            if (!SafeNames.IsArchivePath(isInTop ? $"x/{entry.Name[prefix!.Length..]}" : entry.Name))
                throw RefuseName(entry.Name);
        }
    }

    private CheckpointException RefuseName(string name) =>
        new(_file.Path, CheckpointError.UnsafeName, $"has a member with the unsafe name '{BadInputException.Escape(name, 120)}'.", "Do not use this file.");

    // The extra field 1 holds, in this order, whichever of the three numbers did not fit into 32 bits.
    private void ReadExtra64(Entry entry, ReadOnlySpan<byte> extra)
    {
        bool isFound = false;
        while (TryReadField(entry, ref extra, out ushort id, out ReadOnlySpan<byte> field))
        {
            if (id != 1)
                continue;
            if (isFound)
                throw Refuse(entry, "has two zip64 fields.");
            isFound = true;
            if (entry.Length == uint.MaxValue)
                entry.Length = TakeInt64(entry, ref field);
            if (entry.PackedLength == uint.MaxValue)
                entry.PackedLength = TakeInt64(entry, ref field);
            if (entry.HeaderStart == uint.MaxValue)
                entry.HeaderStart = TakeInt64(entry, ref field);
            if (field.Length != 0)
                throw Refuse(entry, "has a zip64 field with numbers that nothing asks for.");
        }

        if (entry.Length < 0 || entry.PackedLength < 0 || entry.HeaderStart < 0 || entry.Length > _file.Length * 1032 || entry.PackedLength > _file.Length)
            throw Refuse(entry, "has sizes that the file cannot hold.");
    }

    private long TakeInt64(Entry entry, ref ReadOnlySpan<byte> field)
    {
        if (field.Length < 8)
            throw Refuse(entry, "has a zip64 field that is too short.");
        long value = BinaryPrimitives.ReadInt64LittleEndian(field);
        field = field[8..];
        return value;
    }

    private bool TryReadField(Entry entry, ref ReadOnlySpan<byte> extra, out ushort id, out ReadOnlySpan<byte> field)
    {
        id = 0;
        field = default;
        if (extra.Length == 0)
            return false;
        if (extra.Length < 4 || extra.Length - 4 < ReadUInt16(extra, 2))
            throw Refuse(entry, "has a damaged extra field.");
        id = ReadUInt16(extra, 0);
        field = extra.Slice(4, ReadUInt16(extra, 2));
        extra = extra[(4 + field.Length)..];
        return true;
    }

    private void CheckKind(Entry entry, int system, uint attributes)
    {
        const int Unix = 3;
        const long HarmlessSize = 1 << 20;
        const long HarmlessRatio = 100;
        uint kind = attributes >> 28;
        if (system == Unix && kind is not (0 or 4 or 8))
            throw Refuse(entry, "is a symbolic link or a device.", CheckpointError.UnsafeName);
        if ((entry.Flags & 1) != 0)
            throw Refuse(entry, "is encrypted.", CheckpointError.Unsupported);
        if ((entry.Flags & ~(HasDescriptor | IsUtf8 | DeflateLevel)) != 0)
            throw Refuse(entry, $"has flags that are not read here (0x{entry.Flags:x4}).", CheckpointError.Unsupported);
        if (entry.Method is not (0 or 8))
            throw Refuse(entry, $"is packed by method {entry.Method}.", CheckpointError.Unsupported);
        if (entry.Method == 0 && entry.PackedLength != entry.Length)
            throw Refuse(entry, $"is stored, but claims {entry.PackedLength} bytes packed and {entry.Length} unpacked.");
        if (entry.Method == 8 && entry.Length > HarmlessSize && entry.Length / HarmlessRatio > entry.PackedLength)
            throw Refuse(entry, $"claims to unpack {entry.PackedLength} bytes into {entry.Length}: a bomb.", CheckpointError.TooComplex);
        bool isFolder = entry.Name.EndsWith('/');
        if (isFolder && entry.Length != 0)
            throw Refuse(entry, "is a folder with content.");
    }

    private void ReadLocal(Entry entry, long end)
    {
        if (end - entry.HeaderStart < LocalLength)
            throw Refuse(entry, "overlaps another member.");
        byte[] header = _file.Read(entry.HeaderStart, LocalLength);
        int nameLength = ReadUInt16(header, 26);
        int extraLength = ReadUInt16(header, 28);
        long start = entry.HeaderStart + LocalLength + nameLength + extraLength;
        if (ReadUInt32(header, 0) != 0x04034b50 || start > end)
            throw Refuse(entry, "has no local header where the central directory says.");
        byte[] rest = _file.Read(entry.HeaderStart + LocalLength, nameLength + extraLength);
        bool hasDescriptor = (entry.Flags & HasDescriptor) != 0;
        (long length, long packedLength) = ReadLocalSizes(entry, header, rest.AsSpan(nameLength));
        bool agrees = ReadUInt16(header, 6) == entry.Flags && ReadUInt16(header, 8) == entry.Method
            && rest.AsSpan(0, nameLength).SequenceEqual(entry.NameBytes)
            && Agrees(ReadUInt32(header, 14), entry.Crc) && Agrees(packedLength, entry.PackedLength) && Agrees(length, entry.Length);
        if (!agrees)
            throw Refuse(entry, "has a local header that contradicts the central directory.");
        long left = end - start - entry.PackedLength;
        if (hasDescriptor ? !IsDescriptor(entry, start + entry.PackedLength, left) : left != 0)
            throw Refuse(entry, left < 0 ? "overlaps another member." : "is followed by bytes that belong to no member, or by a descriptor that contradicts it.");
        if (!entry.Name.EndsWith('/') && !_members.TryAdd(entry.Name, new ZipMember(entry.Name, entry.Method == 0, entry.Crc, start, entry.PackedLength, entry.Length)))
        {
            throw new CheckpointException(_file.Path, CheckpointError.DuplicateKey,
                $"has two members named '{BadInputException.Escape(entry.Name, 120)}'.", "Do not use this file: programs differ in which of the two they take.");
        }

        // Where a descriptor follows, the local header may leave its numbers at zero.
        bool Agrees(long local, long central) => local == central || (hasDescriptor && local == 0);
    }

    private (long Length, long PackedLength) ReadLocalSizes(Entry entry, byte[] header, ReadOnlySpan<byte> extra)
    {
        long packedLength = ReadUInt32(header, 18);
        long length = ReadUInt32(header, 22);
        while (TryReadField(entry, ref extra, out ushort id, out ReadOnlySpan<byte> field))
        {
            if (id != 1)
                continue;
            if (length == uint.MaxValue)
                length = TakeInt64(entry, ref field);
            if (packedLength == uint.MaxValue)
                packedLength = TakeInt64(entry, ref field);
        }

        return (length, packedLength);
    }

    private bool IsDescriptor(Entry entry, long start, long length)
    {
        const int Narrow = 16;
        const int Wide = 24;
        if (length is not (Narrow or Wide))
            return false;
        byte[] bytes = _file.Read(start, (int)length);
        return ReadUInt32(bytes, 0) == 0x08074b50 && ReadUInt32(bytes, 4) == entry.Crc && (length == Narrow
            ? ReadUInt32(bytes, 8) == entry.PackedLength && ReadUInt32(bytes, 12) == entry.Length
            : ReadInt64(bytes, 8) == entry.PackedLength && ReadInt64(bytes, 16) == entry.Length);
    }

    private static ushort ReadUInt16(ReadOnlySpan<byte> bytes, int start) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[start..]);

    private static uint ReadUInt32(ReadOnlySpan<byte> bytes, int start) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[start..]);

    private static long ReadInt64(ReadOnlySpan<byte> bytes, int start) => BinaryPrimitives.ReadInt64LittleEndian(bytes[start..]);

    private CheckpointException Refuse(string problem, CheckpointError error = CheckpointError.InvalidArchive) =>
        new(_file.Path, error, problem, "Copy or download it again.");

    private CheckpointException Refuse(Entry entry, string problem, CheckpointError error = CheckpointError.InvalidArchive) =>
        new(_file.Path, error, $"member '{BadInputException.Escape(entry.Name, 80)}' {problem}", "The archive is damaged or was made to deceive: get it again from its source.");

    private sealed class Entry
    {
        public required byte[] NameBytes { get; init; }

        public string Name { get; set; } = "";

        public required ushort Flags { get; init; }

        public required ushort Method { get; init; }

        public required uint Crc { get; init; }

        public required long PackedLength { get; set; }

        public required long Length { get; set; }

        public required long HeaderStart { get; set; }
    }
}
