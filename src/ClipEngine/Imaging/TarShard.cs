using System.Buffers;
using System.Formats.Tar;
using ClipEngine.Native;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Imaging;

/// <summary>Where a member's bytes lie in its shard.</summary>
internal readonly record struct TarMember(long Offset, long Length);

/// <summary>An open tar archive of images: an index read from its headers, and members read at any position by any thread.</summary>
internal sealed class TarShard : IDisposable
{
    private const int BlockLength = 512;

    private readonly FileStream _stream;
    private readonly SafeFileHandle _handle;
    private readonly long _length;

    private TarShard(string path, FileStream stream)
    {
        Path = path;
        _stream = stream;
        _handle = stream.SafeFileHandle;
        _length = stream.Length;
    }

    /// <summary>The archive as the user named it.</summary>
    public string Path { get; }

    /// <summary>Opens an archive.</summary>
    /// <exception cref="BadInputException">Not there, no ordinary file, not readable, empty or compressed.</exception>
    public static TarShard Open(string path)
    {
        if (Linux.GetStatus(path) is { Kind: not FileKind.Regular } status)
            throw new BadInputException(path, $"expected a tar archive, found a {(status.Kind == FileKind.Folder ? "folder" : "pipe, socket or device")}.", "Members are read in any order; save the archive to a file first.");
        FileStream? stream = null;
        try
        {
            // The buffer is for headers alone: a block and what may stand before the next one.
            stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 4096);
            RefuseWhatIsNoArchive(path, stream);
            return new TarShard(path, stream);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            stream?.Dispose();
            throw new BadInputException(path, $"the shard cannot be read: {BadInputException.Escape(exception.Message, 300)}", innerException: exception);
        }
        catch
        {
            stream?.Dispose();
            throw;
        }
    }

    /// <summary>The images in the order of the archive.</summary>
    /// <exception cref="BadInputException">A damaged header, a member that reaches beyond the end, no end marker, or an image that is no ordinary member.</exception>
    public IEnumerable<(string Name, TarMember Place)> ReadImages()
    {
        using var reader = new TarReader(_stream, leaveOpen: true);
        long end = 0;
        string last = "";
        while (Next(reader, last) is { } entry)
        {
            last = entry.Name;
            bool hasData = entry.DataStream is not null || entry.Length > 0;
            long start = hasData ? entry.DataOffset : _stream.Position;
            if (entry.Length > _length - start)
                throw CutOff($"member {BadInputException.Escape(entry.Name)} has {entry.Length} bytes, of which {Math.Max(0, _length - start)} are there");
            end = start + ((entry.Length + BlockLength - 1) / BlockLength * BlockLength);
            if (!ImageCollection.IsImage(entry.Name) || entry.EntryType is TarEntryType.Directory)
                continue;
            if (entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile))
                throw new BadInputException(Path, $"member {BadInputException.Escape(entry.Name)} is no ordinary file but a {entry.EntryType}.", "Pack the images themselves (tar --dereference --hard-dereference).");
            yield return (entry.Name, new TarMember(start, entry.Length));
        }

        // A writer that was killed between two members leaves an archive that only lacks its end.
        if (end + BlockLength > _length)
            throw CutOff(last.Length == 0 ? "there is nothing in it" : $"the end marker behind member {BadInputException.Escape(last)} is missing");
    }

    /// <summary>Decodes a member to the model's pixels.</summary>
    /// <exception cref="BadInputException">It cannot be read, or is no image; names the shard and the member.</exception>
    public void Preprocess(IImagePreprocessor preprocessor, string name, TarMember place, Span<float> pixels)
    {
        if (place.Length > ImageFile.MaximumLength)
            throw Refuse(name, ImageProblem.TooLarge, $"the member has {place.Length} bytes; at most {ImageFile.MaximumLength} of an image are read");
        byte[] buffer = ArrayPool<byte>.Shared.Rent((int)Math.Max(place.Length, 1));
        try
        {
            Span<byte> encoded = buffer.AsSpan(0, (int)place.Length);
            for (int done = 0; done < encoded.Length;)
            {
                int count = RandomAccess.Read(_handle, encoded[done..], place.Offset + done);
                if (count == 0)
                    throw Refuse(name, ImageProblem.Truncated, "the shard was cut short while it was being read");
                done += count;
            }

            preprocessor.Preprocess(encoded, name, pixels);
        }
        catch (ImageException exception) when (exception.InputSource == name)
        {
            throw Refuse(name, exception.Kind, exception.Problem.TrimEnd('.'));
        }
        catch (BadInputException exception) when (exception.InputSource == name)
        {
            throw new BadInputException(Describe(name), exception.Problem, exception.Remedy, exception);
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

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

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

    private BadInputException CutOff(string how) => new(Path, $"the shard is cut off: {how}.", "Fetch or copy it again.");

    private ImageException Refuse(string name, ImageProblem kind, string problem) => new(Describe(name), kind, problem);

    private string Describe(string name) => $"{Path}: member {name}";
}
