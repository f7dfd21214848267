using System.Buffers;
using System.Formats.Tar;
using ClipEngine.Files;
using ClipEngine.Native;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Imaging;

/// <summary>Where a member's bytes lie in its shard.</summary>
internal readonly record struct TarMember(long Offset, long Length);

/// <summary>A tar archive of images: an index read from its headers, and members read at any position by any thread. It is open only while it is read.</summary>
internal sealed class TarShard
{
    private const int BlockLength = 512;

    /// <summary>What the file was when its index was read.</summary>
    private readonly FileStatus? _status;
    private readonly long _length;

    private TarShard(string path, long length, FileStatus? status)
    {
        Path = path;
        _length = length;
        _status = status;
    }

    /// <summary>The archive as the user named it.</summary>
    public string Path { get; }

    /// <summary>Reads an archive's headers.</summary>
    /// <param name="path">The archive.</param>
    /// <param name="leftOut">Counts the members that are no images.</param>
    /// <param name="descriptions">Takes the members that end in .json and .txt, by their names; null where nobody needs them.</param>
    /// <returns>The archive and its images, in their order. Archives that were joined are read one behind the other.</returns>
    /// <exception cref="BadInputException">Not there, no ordinary file, not readable, empty or compressed; a damaged header, a member that reaches beyond the end, no end marker, or an image that is no ordinary member.</exception>
    public static (TarShard Shard, IReadOnlyList<(string Name, TarMember Place)> Images) Read(string path, LeftOutFiles leftOut, Dictionary<string, TarMember>? descriptions = null)
    {
        if (Platform.GetStatus(path) is { Kind: not FileKind.Regular } status)
            throw new BadInputException(path, $"expected a tar archive, found a {(status.Kind == FileKind.Folder ? "folder" : "pipe, socket or device")}.", "Members are read in any order; save the archive to a file first.");
        try
        {
            // The buffer is for headers alone: a block and what may stand before the next one.
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 4096);
            RefuseWhatIsNoArchive(path, stream);
            var shard = new TarShard(path, stream.Length, Platform.GetStatus(stream.SafeFileHandle));
            return (shard, [.. shard.ReadImages(stream, leftOut, descriptions)]);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new BadInputException(path, $"the shard cannot be read: {BadInputException.Escape(exception.Message, 300)}", innerException: exception);
        }
    }

    /// <summary>Opens the archive for reading members.</summary>
    /// <exception cref="BadInputException">It cannot be opened, or is not the file any more whose index was read.</exception>
    public SafeFileHandle OpenHandle()
    {
        SafeFileHandle? handle = null;
        try
        {
            handle = File.OpenHandle(Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            if (RandomAccess.GetLength(handle) != _length || (_status is { } known && Platform.GetStatus(handle) is { } now && (now.Device, now.Inode, now.ModifiedNanoseconds) != (known.Device, known.Inode, known.ModifiedNanoseconds)))
                throw new BadInputException(Path, "the shard was changed while its images were being read.", "Leave shards alone until the run is done, and start it again.");
            return handle;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            handle?.Dispose();
            throw new BadInputException(Path, $"the shard cannot be read: {BadInputException.Escape(exception.Message, 300)}", innerException: exception);
        }
        catch
        {
            handle?.Dispose();
            throw;
        }
    }

    private IEnumerable<(string Name, TarMember Place)> ReadImages(FileStream stream, LeftOutFiles leftOut, Dictionary<string, TarMember>? descriptions)
    {
        long begin = 0;
        do
        {
            stream.Position = begin;
            using var reader = new TarReader(stream, leaveOpen: true);
            long end = begin;
            string last = "";
            while (Next(reader, last) is { } entry)
            {
                last = entry.Name;
                bool hasData = entry.DataStream is not null || entry.Length > 0;
                long start = hasData ? entry.DataOffset : stream.Position;
                if (entry.Length > _length - start)
                    throw CutOff($"member {BadInputException.Escape(entry.Name)} has {entry.Length} bytes, of which {Math.Max(0, _length - start)} are there");
                end = start + ((entry.Length + BlockLength - 1) / BlockLength * BlockLength);
                if (entry.EntryType is TarEntryType.Directory)
                    continue;
                bool isHidden = ImageFolder.IsHiddenPath(entry.Name);
                if (isHidden || !ImageCollection.IsImage(entry.Name))
                {
                    leftOut.Add(entry.Name, isHidden);
                    if (!isHidden && (entry.Name.EndsWith(".json", StringComparison.Ordinal) || entry.Name.EndsWith(".txt", StringComparison.Ordinal)))
                        descriptions?.TryAdd(entry.Name, new TarMember(start, entry.Length));
                    continue;
                }

                RefuseOddMember(entry);
                yield return (entry.Name, new TarMember(start, entry.Length));
            }

            // A writer that was killed between two members leaves an archive that only lacks its end.
            if (end + BlockLength > _length)
                throw CutOff(last.Length == 0 ? "there is nothing in it" : $"the end marker behind member {BadInputException.Escape(last)} is missing");
            begin = NextArchive(stream, end);
        }
        while (begin >= 0);
    }

    private void RefuseOddMember(TarEntry entry)
    {
        string member = BadInputException.Escape(entry.Name);
        bool isSparse = entry.EntryType is TarEntryType.SparseFile || (entry is PaxTarEntry pax && pax.ExtendedAttributes.Keys.Any(static key => key.StartsWith("GNU.sparse.", StringComparison.Ordinal)));
        if (isSparse)
            throw Sparse($"member {member}");
        if (entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile))
            throw new BadInputException(Path, $"member {member} is no ordinary file but a {entry.EntryType}.", "Pack the images themselves (tar --dereference --hard-dereference).");
        if (entry.Name.Contains('\uFFFD'))
            throw new BadInputException(Path, $"the name of member {member} is not UTF-8; a member's name is its image's id.", "Pack it again with names in UTF-8.");
    }

    /// <summary>Where another archive begins behind the end marker of one, or -1: what <c>cat</c> makes of two.</summary>
    private long NextArchive(FileStream stream, long end)
    {
        Span<byte> block = stackalloc byte[BlockLength];
        stream.Position = end;
        while (true)
        {
            long start = stream.Position;
            int count = stream.ReadAtLeast(block, BlockLength, throwOnEndOfStream: false);
            if (!block[..count].ContainsAnyExcept((byte)0))
            {
                if (count < BlockLength)
                    return -1;
                continue;
            }

            // A header holds the sum of its bytes, its own field taken for spaces, in octal.
            int sum = 8 * ' ';
            for (int i = 0; i < count; i++)
                sum += i is >= 148 and < 156 ? 0 : block[i];
            bool isHeader = count == BlockLength && OctalNumber(block[148..156]) == sum;
            return isHeader ? start : throw new BadInputException(Path, $"behind the archive's end, at byte {start}, lies something that is no archive.", "Fetch or copy it again, or cut it off there.");
        }
    }

    private static int OctalNumber(ReadOnlySpan<byte> digits)
    {
        int number = 0;
        foreach (byte digit in digits.Trim(" \0"u8))
            number = digit is >= (byte)'0' and <= (byte)'7' ? (number * 8) + digit - '0' : -1;
        return number;
    }

    /// <summary>Decodes a member to the model's pixels.</summary>
    /// <param name="handle">Of <see cref="OpenHandle"/>.</param>
    /// <param name="preprocessor">Makes the pixels.</param>
    /// <param name="name">The member.</param>
    /// <param name="place">Where it lies.</param>
    /// <param name="pixels"><c>[3, height, width]</c>.</param>
    /// <exception cref="BadInputException">It cannot be read, or is no image; names the shard and the member.</exception>
    public void Preprocess(SafeFileHandle handle, IImagePreprocessor preprocessor, string name, TarMember place, Span<float> pixels)
    {
        if (place.Length > ImageFile.MaximumLength)
            throw Refuse(name, ImageProblem.TooLarge, $"the member has {place.Length} bytes; at most {ImageFile.MaximumLength} of an image are read");
        byte[] buffer = ArrayPool<byte>.Shared.Rent((int)Math.Max(place.Length, 1));
        try
        {
            Span<byte> encoded = buffer.AsSpan(0, (int)place.Length);
            for (int done = 0; done < encoded.Length;)
            {
                int count = RandomAccess.Read(handle, encoded[done..], place.Offset + done);
                if (count == 0)
                    throw Refuse(name, ImageProblem.Truncated, "the shard was cut short while it was being read");
                done += count;
            }

            Preprocess(preprocessor, encoded, Path, name, pixels);
        }
        catch (IOException exception)
        {
            throw Refuse(name, ImageProblem.Unreadable, $"the member cannot be read: {BadInputException.Escape(exception.Message, 300).TrimEnd('.')}");
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Decodes an image of a shard to the model's pixels; what is wrong with it is said with the shard's name.</summary>
    public static void Preprocess(IImagePreprocessor preprocessor, ReadOnlySpan<byte> encoded, string shard, string name, Span<float> pixels)
    {
        try
        {
            preprocessor.Preprocess(encoded, name, pixels);
        }
        catch (ImageException exception) when (exception.InputSource == name)
        {
            throw new ImageException($"{shard}: member {name}", exception.Kind, exception.Problem.TrimEnd('.'));
        }
        catch (BadInputException exception) when (exception.InputSource == name)
        {
            throw new BadInputException($"{shard}: member {name}", exception.Problem, exception.Remedy, exception);
        }
    }

    /// <summary>The bytes of a small member.</summary>
    /// <exception cref="BadInputException">It is too large for text, or cannot be read.</exception>
    public byte[] ReadSmall(SafeFileHandle handle, string name, TarMember place)
    {
        if (place.Length > TextFile.LongestLine)
            throw new BadInputException(Describe(name), $"the member has {place.Length} bytes; at most {TextFile.LongestLine} of a description are read.");
        byte[] bytes = new byte[place.Length];
        for (int done = 0; done < bytes.Length;)
        {
            int count = RandomAccess.Read(handle, bytes.AsSpan(done), place.Offset + done);
            if (count == 0)
                throw new BadInputException(Path, "the shard was cut short while it was being read.");
            done += count;
        }

        return bytes;
    }

    private static void RefuseWhatIsNoArchive(string path, FileStream stream)
    {
        Span<byte> start = stackalloc byte[6];
        int count = stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        stream.Position = 0;
        if (count == 0)
            throw new BadInputException(path, "the shard is empty (0 bytes).", "Fetch or copy it again.");
        string? packed = start[..count] switch
        {
            [0x1F, 0x8B, ..] => "gzip",
            [0x28, 0xB5, 0x2F, 0xFD, ..] => "zstd",
            [0xFD, (byte)'7', (byte)'z', ..] => "xz",
            [(byte)'B', (byte)'Z', (byte)'h', ..] => "bzip2",
            _ => null,
        };
        if (packed is not null)
            throw new BadInputException(path, $"the shard is compressed ({packed}); its members cannot be read in place.", $"Unpack it first ({(packed == "gzip" ? "gunzip" : packed + " -d")}).");
    }

    private TarEntry? Next(TarReader reader, string last)
    {
        try
        {
            return reader.GetNextEntry();
        }
        catch (EndOfStreamException)
        {
            throw CutOff(last.Length == 0 ? "it ends inside its first header" : $"it ends inside or right behind member {BadInputException.Escape(last)}");
        }
        catch (NotSupportedException exception) when (exception.Message.Contains(nameof(TarEntryType.SparseFile), StringComparison.Ordinal))
        {
            throw Sparse(last.Length == 0 ? "its first member" : $"the member behind {BadInputException.Escape(last)}");
        }
        catch (Exception exception) when (exception is InvalidDataException or FormatException or OverflowException or ArgumentException or NotSupportedException)
        {
            string where = last.Length == 0 ? "its first header" : $"the header behind member {BadInputException.Escape(last)}";
            throw new BadInputException(Path, $"is no tar archive, or is damaged: {where} is refused: {BadInputException.Escape(exception.Message, 200)}", "Fetch or copy it again.", exception);
        }
        catch (IOException exception)
        {
            throw new BadInputException(Path, $"the shard cannot be read: {BadInputException.Escape(exception.Message, 300)}", innerException: exception);
        }
    }

    private BadInputException Sparse(string which) => new(Path, $"{which} is stored sparse, with its holes left out.", "Pack it again without --sparse.");

    private BadInputException CutOff(string how) => new(Path, $"the shard is cut off: {how}.", "Fetch or copy it again.");

    private ImageException Refuse(string name, ImageProblem kind, string problem) => new(Describe(name), kind, problem);

    private string Describe(string name) => $"{Path}: member {name}";
}
