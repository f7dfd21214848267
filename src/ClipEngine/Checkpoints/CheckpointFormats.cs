using System.Buffers.Binary;

namespace ClipEngine.Checkpoints;

/// <summary>File formats that hold weights.</summary>
internal enum CheckpointFormat
{
    /// <summary>Safetensors, or nothing else that is known: its reader explains what is wrong.</summary>
    Safetensors,

    /// <summary>The JSON index of a sharded checkpoint.</summary>
    Index,

    /// <summary>A zip archive as PyTorch writes it.</summary>
    Archive,
}

/// <summary>Tells formats apart by their first bytes.</summary>
internal static class CheckpointFormats
{
    /// <summary>Recognises a file.</summary>
    /// <exception cref="CheckpointException">Not readable, or something that is known to be no checkpoint.</exception>
    public static CheckpointFormat Recognize(string path)
    {
        if (ForeignCheckpoints.ExplainFile(path) is { } foreign)
            throw foreign;
        using CheckpointFile file = CheckpointFile.Open(path);
        byte[] start = file.Read(0, (int)Math.Min(file.Length, 512));
        if (start.AsSpan().StartsWith("PK"u8))
            return CheckpointFormat.Archive;
        // Nine bytes decide: a length that fits into the file, then the header's brace.
        if (start.Length > 8 && start[8] is (byte)'{' or (byte)' ' && BinaryPrimitives.ReadUInt64LittleEndian(start) <= (ulong)file.Length)
            return CheckpointFormat.Safetensors;
        ReadOnlySpan<byte> text = start.AsSpan().TrimStart(" \t\r\n"u8);
        if (text.StartsWith("{"u8))
            return CheckpointFormat.Index;
        RefuseWhatIsNoCheckpoint(path, start, text);
        return CheckpointFormat.Safetensors;
    }

    private static void RefuseWhatIsNoCheckpoint(string path, ReadOnlySpan<byte> start, ReadOnlySpan<byte> text)
    {
        const string Convert = "Save it again with a PyTorch of 1.6 or later (torch.save), or as safetensors.";
        if (start.StartsWith("version https://git-lfs"u8))
        {
            throw new CheckpointException(path, CheckpointError.UnknownFormat, "is a Git LFS pointer, not the weights.",
                "Fetch the file itself ('git lfs pull').");
        }

        if (text.StartsWith("<"u8))
            throw new CheckpointException(path, CheckpointError.UnknownFormat, "is a web page or XML, not a checkpoint.", "Download the file itself; the link led to a page.");
        if (start.Length > 2 && start[0] == 0x80 && start[1] <= 5)
            throw new CheckpointException(path, CheckpointError.Unsupported, "is a PyTorch file of the format before 1.6 (bare pickles).", Convert);
        if (start.Length > 262 && start[257..].StartsWith("ustar"u8))
            throw new CheckpointException(path, CheckpointError.Unsupported, "is a tar archive (PyTorch's oldest format).", Convert);
        if (start is [0x89, (byte)'H', (byte)'D', (byte)'F', ..])
            throw new CheckpointException(path, CheckpointError.Unsupported, "is an HDF5 file, as Keras and TensorFlow write them.", "Use the PyTorch or safetensors file of the model.");
        if (start is [0x1f, 0x8b, ..] or [0xfd, (byte)'7', (byte)'z', ..] or [0x28, 0xb5, 0x2f, 0xfd, ..])
            throw new CheckpointException(path, CheckpointError.Unsupported, "is a compressed file (gzip, xz or zstd).", "Unpack it and name what is inside.");
        if (start.StartsWith("GGUF"u8))
            throw new CheckpointException(path, CheckpointError.Unsupported, "is a GGUF file.", "Use the safetensors file that it was made from.");
    }
}
