using ClipEngine.Files;

namespace ClipEngine.Checkpoints;

/// <summary>Names what is a checkpoint of another kind, with the tool that turns it into one that is read here.</summary>
internal static class ForeignCheckpoints
{
    private const string DistributedRemedy = "Turn it into one file with PyTorch: python -m torch.distributed.checkpoint.format_utils dcp_to_torch_save FOLDER weights.pt";
    private const string ZeroRemedy = "DeepSpeed writes zero_to_fp32.py into the checkpoint's folder: python zero_to_fp32.py FOLDER weights, and name what it writes.";

    /// <summary>What a folder without weights under a usual name is; null where nothing is known of it.</summary>
    public static CheckpointException? Explain(string folder)
    {
        if (Has(folder, "*.distcp") || (FilePlace.IsFile(Path.Combine(folder, ".metadata")) && !Has(folder, "*.safetensors")))
            return Distributed(folder);
        if (Has(folder, "*_optim_states.pt") || FilePlace.IsFile(Path.Combine(folder, "zero_to_fp32.py")))
            return Zero(folder, "holds a checkpoint of DeepSpeed's ZeRO, whose weights lie in pieces");
        if (FilePlace.IsFile(Path.Combine(folder, "adapter_config.json")))
        {
            return new CheckpointException(folder, CheckpointError.NotFound, "the folder holds an adapter of peft (adapter_config.json) without the model that it changes.",
                "Put the base model's files into the same folder; the adapter is then added to them.");
        }

        return null;
    }

    /// <summary>What a single file is by its name and its neighbours; null where nothing is known of it.</summary>
    public static CheckpointException? ExplainFile(string path)
    {
        string name = Path.GetFileName(path);
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (name.EndsWith(".distcp", StringComparison.OrdinalIgnoreCase) || (name == ".metadata" && Has(folder, "*.distcp")))
            return Distributed(path);
        return name.EndsWith("_optim_states.pt", StringComparison.OrdinalIgnoreCase)
            ? Zero(path, "is one piece of a checkpoint of DeepSpeed's ZeRO, the optimiser's states")
            : null;
    }

    /// <summary>A pickle that asks for classes of DeepSpeed, or parameters that were emptied.</summary>
    public static CheckpointException Zero(string path, string what) => new(path, CheckpointError.Unsupported, what + ".", ZeroRemedy);

    private static CheckpointException Distributed(string path) =>
        new(path, CheckpointError.Unsupported, "is a checkpoint of torch.distributed.checkpoint: a folder with .metadata and .distcp files.", DistributedRemedy);

    private static bool Has(string folder, string pattern) => FilePlace.IsFolder(folder) && Directory.EnumerateFiles(folder, pattern).Any();
}
