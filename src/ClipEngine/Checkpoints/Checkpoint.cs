using ClipEngine.Checkpoints.Adapters;
using ClipEngine.Checkpoints.Layouts;
using ClipEngine.Files;

namespace ClipEngine.Checkpoints;

/// <summary>Opens checkpoints of every known format, recognised by content and never by file name.</summary>
public static class Checkpoint
{
    private const string OpenClipConfiguration = "open_clip_config.json";

    /// <summary>What weights are called in a folder of OpenCLIP, in the order in which open_clip 3.3 takes them (<c>local-dir:</c>), each with the index that may stand for it.</summary>
    private static readonly string[] s_openClipNames =
    [
        "open_clip_model.safetensors",
        "open_clip_model.safetensors.index.json",
        "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.safetensors.index.json",
        "open_clip_pytorch_model.bin",
        "open_clip_pytorch_model.bin.index.json",
        "open_clip_pytorch_model.pth",
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "pytorch_model.pth",
        "model.pth",
    ];

    /// <summary>What transformers' <c>from_pretrained</c> looks for, in its order.</summary>
    private static readonly string[] s_transformersNames = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

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

    /// <summary>The same with every key as the file has it, but for a prefix that training code put in front of all of them.</summary>
    /// <param name="path">A file or a folder. An adapter of peft that lies in a folder of transformers is added to the weights, as its <c>from_pretrained</c> does.</param>
    /// <exception cref="CheckpointException">Not there, not a known format, a departure from it, or an adapter in a folder whose library would not apply it.</exception>
    public static ICheckpoint OpenAsStored(string path)
    {
        if (FindAdapter(path) is { } adapter && FilePlace.IsFile(Path.Combine(Path.GetDirectoryName(adapter)!, OpenClipConfiguration)))
        {
            throw new CheckpointException(adapter, CheckpointError.Unsupported, "is an adapter of peft in a folder of OpenCLIP, whose loader does not apply it.",
                "Merge it ('clipengine convert FOLDER --to openclip --merge-adapter'), or move it out of the folder to run the base model.");
        }

        return OpenMerged(path);
    }

    /// <summary>The same with an adapter added whatever library the folder belongs to.</summary>
    /// <param name="path">A file or a folder.</param>
    /// <exception cref="CheckpointException">As <see cref="OpenAsStored"/>; the adapter is of another kind than LoRA and DoRA, or not this model's.</exception>
    public static ICheckpoint OpenMerged(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        path = ModelLocation.Resolve(path);
        string file = FilePlace.IsFolder(path) ? FindWeights(path) : path;
        CheckpointFormat format = CheckpointFormats.Recognize(file);
        ICheckpoint stored = format == CheckpointFormat.Index ? ShardedCheckpoint.Open(file) : OpenAs(format, file);
        try
        {
            ICheckpoint own = KeyPrefix.Strip(stored);
            return FindAdapter(path) is { } adapter ? AdapterCheckpoint.Apply(own, Path.GetDirectoryName(adapter)!) : own;
        }
        catch
        {
            stored.Dispose();
            throw;
        }
    }

    /// <summary>The <c>adapter_config.json</c> of peft that lies in a model's folder; null where there is none, and for a file of weights, which is taken as it is.</summary>
    /// <param name="path">A file or a folder.</param>
    public static string? FindAdapter(string path)
    {
        path = ModelLocation.Resolve(path);
        string adapter = Path.Combine(path, AdapterConfig.FileName);
        return FilePlace.IsFolder(path) && FilePlace.IsFile(adapter) ? adapter : null;
    }

    /// <summary>Opens a single file that holds tensors itself.</summary>
    internal static ICheckpoint OpenShard(string path) => OpenAs(CheckpointFormats.Recognize(path), path);

    // An index among the shards is opened as what it should be, and so refused.
    private static ICheckpoint OpenAs(CheckpointFormat format, string path) =>
        format == CheckpointFormat.Archive ? PyTorchArchive.Open(path) : SafetensorsFile.Open(path);

    /// <summary>
    /// The file of weights in a model's folder: of the names that are there the one that the folder's own library takes, open_clip where
    /// <c>open_clip_config.json</c> is there or no configuration at all, else transformers. Without any of them a variant
    /// (<c>model.fp16.safetensors</c>), where there is only one.
    /// </summary>
    /// <param name="folder">A folder.</param>
    /// <exception cref="CheckpointException">None of the names is there, or several variants.</exception>
    public static string FindWeights(string folder)
    {
        folder = ModelLocation.Resolve(folder);
        bool isTransformers = !FilePlace.IsFile(Path.Combine(folder, OpenClipConfiguration)) && FilePlace.IsFile(Path.Combine(folder, "config.json"));
        foreach (string name in isTransformers ? s_transformersNames.Union(s_openClipNames) : s_openClipNames)
        {
            string path = Path.Combine(folder, name);
            if (FilePlace.IsFile(path))
                return path;
        }

        string[] variants = FindVariants(folder);
        if (variants.Length == 1)
            return variants[0];
        if (variants.Length > 1)
        {
            throw new CheckpointException(folder, CheckpointError.Ambiguous,
                $"the folder holds several variants of the weights: {string.Join(", ", variants.Select(static path => BadInputException.Escape(Path.GetFileName(path), 80)))}.", "Name the file that is meant.");
        }

        throw ForeignCheckpoints.Explain(folder) ?? new CheckpointException(folder, CheckpointError.NotFound,
            $"the folder holds no weights under a usual name ({s_openClipNames[0]}, {s_openClipNames[4]}, {s_transformersNames[0]} and others).", "Name the file itself.");
    }

    /// <summary>Weights that <c>save_pretrained(variant=...)</c> wrote: the variant stands before the last part of the name. Safetensors, if there are any, else pickles.</summary>
    private static string[] FindVariants(string folder)
    {
        foreach ((string stem, string end) in new[] { ("model.", ".safetensors"), ("model.safetensors.index.", ".json"), ("pytorch_model.", ".bin"), ("pytorch_model.bin.index.", ".json") })
        {
            string[] found = [.. Directory.EnumerateFiles(folder, stem + "*" + end).Where(path => IsVariant(Path.GetFileName(path), stem, end)).Order(StringComparer.Ordinal)];
            if (found.Length > 0)
                return found;
        }

        return [];

        // A shard's name has a dash in it, an index a dot.
        static bool IsVariant(string name, string stem, string end) =>
            name.Length > stem.Length + end.Length && name.AsSpan(stem.Length, name.Length - stem.Length - end.Length).IndexOfAnyExcept(s_variantCharacters) < 0;
    }

    private static readonly System.Buffers.SearchValues<char> s_variantCharacters = System.Buffers.SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
}
