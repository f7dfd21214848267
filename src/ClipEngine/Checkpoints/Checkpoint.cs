namespace ClipEngine.Checkpoints;

/// <summary>Opens checkpoints of every known format, recognised by content and never by file name.</summary>
public static class Checkpoint
{
    /// <summary>What weights are called in a model folder, in the order in which they are tried.</summary>
    private static readonly string[] s_names =
    [
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        "model.safetensors",
        "open_clip_model.safetensors.index.json",
        "open_clip_pytorch_model.safetensors.index.json",
        "model.safetensors.index.json",
        "open_clip_pytorch_model.bin",
        "pytorch_model.bin",
        "open_clip_pytorch_model.bin.index.json",
        "pytorch_model.bin.index.json",
    ];

    /// <summary>
    /// Opens a safetensors file, a PyTorch archive, the index of a sharded checkpoint, or a folder that holds one of them under a
    /// usual name. A CLIP model in transformers' layout appears with OpenCLIP's keys, which models read.
    /// </summary>
    /// <param name="path">A file or a folder.</param>
    /// <exception cref="CheckpointException">Not there, not a known format, or a departure from it.</exception>
    public static ICheckpoint Open(string path)
    {
        ICheckpoint stored = OpenAsStored(path);
        try
        {
            return CheckpointLayouts.ToOpenClip(stored);
        }
        catch
        {
            stored.Dispose();
            throw;
        }
    }

    /// <summary>The same with every key as the file has it.</summary>
    /// <param name="path">A file or a folder.</param>
    /// <exception cref="CheckpointException">Not there, not a known format, or a departure from it.</exception>
    public static ICheckpoint OpenAsStored(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string file = Directory.Exists(path) ? FindWeights(path) : path;
        CheckpointFormat format = CheckpointFormats.Recognize(file);
        return format == CheckpointFormat.Index ? ShardedCheckpoint.Open(file) : OpenAs(format, file);
    }

    /// <summary>Opens a single file that holds tensors itself.</summary>
    internal static ICheckpoint OpenShard(string path) => OpenAs(CheckpointFormats.Recognize(path), path);

    // An index among the shards is opened as what it should be, and so refused.
    private static ICheckpoint OpenAs(CheckpointFormat format, string path) =>
        format == CheckpointFormat.Archive ? PyTorchArchive.Open(path) : SafetensorsFile.Open(path);

    /// <summary>The file of weights in a model folder, by the usual names of OpenCLIP and transformers.</summary>
    /// <param name="folder">A folder.</param>
    /// <exception cref="CheckpointException">None of the names is there.</exception>
    public static string FindWeights(string folder)
    {
        foreach (string name in s_names)
        {
            string path = Path.Combine(folder, name);
            if (File.Exists(path))
                return path;
        }

        throw new CheckpointException(folder, CheckpointError.NotFound,
            $"the folder holds no weights under a usual name ({s_names[0]}, {s_names[2]}, {s_names[6]} and others).", "Name the file itself.");
    }
}
