using System.CommandLine;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;
using ClipEngine.Models;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine convert IN --to openclip|transformers --out DIR</c>: the same weights, bit for bit, under another layout's names, as safetensors with the configuration that belongs to it.</summary>
internal static class ConvertCommand
{
    private const string OpenClip = "openclip";
    private const string Transformers = "transformers";

    public static Command Create()
    {
        var input = new Argument<string>("in") { Description = "A weights file of any known format, or a model's folder." }.ReadsModel();
        var to = new Option<string>("--to") { Description = "The layout to write.", Required = true }.OneOf(OpenClip, Transformers);
        var folder = new Option<string>("--out") { Description = "The folder to write into.", Required = true }.WritesFolder();
        var config = new Option<string?>("--config") { Description = ModelArguments.ConfigDescription };
        var merge = new Option<bool>("--merge-adapter") { Description = "Add the adapter (peft's LoRA or DoRA) that lies in the folder to the weights." };
        var command = new Command("convert", "Write a checkpoint as safetensors in OpenCLIP's or transformers' layout, without loss.") { input, to, folder, config, merge };
        command.SetAction(parsed =>
        {
            Run(parsed.GetValue(input)!, parsed.GetValue(to)!, parsed.GetValue(folder)!, parsed.GetValue(config), Console.Error, parsed.GetValue(merge));
            return CommandRunner.Done;
        });
        return command;
    }

    internal static void Run(string input, string layout, string folder, string? configurationPath, TextWriter progress, bool mergesAdapter = false)
    {
        string? adapter = Checkpoint.FindAdapter(input);
        if (adapter is not null && !mergesAdapter)
            throw new BadInputException(adapter, "is an adapter of peft, which changes the weights beside it.", "Say --merge-adapter to write the weights with it, or move it out of the folder.");
        if (adapter is null && mergesAdapter)
            throw new BadInputException("--merge-adapter", $"there is no adapter_config.json in {BadInputException.Escape(input)}.", "Put the adapter's two files into the model's folder, and name the folder.");
        using ICheckpoint stored = Checkpoint.OpenMerged(input);
        if (CheckpointLayouts.Recognize(stored) == CheckpointLayout.Unknown)
            throw new BadInputException(input, "is laid out neither as OpenCLIP's nor as transformers' CLIP.", "'clipengine inspect' lists what it holds.");
        ICheckpoint openClip = CheckpointLayouts.ToOpenClip(stored);
        (byte[] configuration, string source) = ReadConfiguration(input, configurationPath, stored, openClip);
        CheckpointFit fit = CheckpointFit.Check(openClip, configuration, source);
        if (!fit.Fits)
        {
            throw new BadInputException(input, $"does not fit {source}:\n  {string.Join("\n  ", fit.Problems.Take(10))}\n",
                "Name the configuration that belongs to these weights with --config.");
        }

        bool isTransformers = layout == Transformers;
        string weightsPath = Path.Combine(folder, isTransformers ? "model.safetensors" : "open_clip_model.safetensors");
        if (Path.GetFullPath(weightsPath) == Path.GetFullPath(stored.Path) || FilePlace.IsSame(weightsPath, stored.Path))
            throw new BadInputException(folder, "is where the checkpoint itself lies.", "Give another folder with --out.");
        // What cannot be expressed is refused before anything is written.
        (byte[] Config, byte[] Preprocessor)? converted = isTransformers ? TransformersConfig.FromOpenClip(OpenClipConfig.Parse(configuration, source)) : null;
        ICheckpoint target = isTransformers ? CheckpointLayouts.ToTransformers(stored) : openClip;
        RequireFinite(target);
        foreach (string notice in target.Notices)
            progress.WriteLine(notice);
        progress.WriteLine($"writing {target.Tensors.Count} tensors to {weightsPath}");
        WriteWeights(target, weightsPath);
        if (converted is { } files)
        {
            Write(Path.Combine(folder, "config.json"), files.Config);
            Write(Path.Combine(folder, "preprocessor_config.json"), files.Preprocessor);
        }
        else
        {
            Write(Path.Combine(folder, "open_clip_config.json"), configuration);
        }

        progress.WriteLine($"done: {folder}");
    }

    // Another layout would hand on a training that diverged, or a damaged file, as a new checkpoint.
    private static void RequireFinite(ICheckpoint checkpoint)
    {
        var findings = new List<WeightFinding>();
        foreach (StoredTensor tensor in checkpoint.Tensors.Values)
        {
            using TensorBytes bytes = checkpoint.Borrow(tensor.Name);
            if (WeightFinding.Of(tensor, bytes) is { IsFinite: false } finding)
                findings.Add(finding);
        }

        if (findings.Count > 0)
        {
            throw new CheckpointException(checkpoint.Path, CheckpointError.NotFinite, "weights are not finite: " + string.Join("; ", findings.Take(10)) + ".",
                "The training diverged, or the file is damaged. Use an earlier checkpoint, or get the file again.");
        }
    }

    private static void WriteWeights(ICheckpoint checkpoint, string path)
    {
        // "format": transformers refuses safetensors without it.
        var metadata = new Dictionary<string, string>(checkpoint.Metadata) { ["format"] = "pt" };
        var writer = new SafetensorsWriter(metadata);
        foreach (string key in checkpoint.Tensors.Keys)
            writer.Add(checkpoint, key);
        writer.Write(path);
    }

    private static void Write(string path, byte[] bytes) => AtomicFile.Write(path, stream => stream.Write(bytes));

    private static (byte[] Configuration, string Source) ReadConfiguration(string input, string? configurationPath, ICheckpoint stored, ICheckpoint openClip)
    {
        string? path = configurationPath ?? CheckpointFit.FindConfiguration(input);
        if (path is null)
        {
            if (CheckpointLayouts.HasOpenAiExtras(stored) && TowerOutline.Of(openClip) is { ImageSize: > 0 } outline)
                return (outline.ToOpenAiConfiguration(), TowerOutline.OpenAiSource);
            string[] candidates = ModelConfiguration.FittingModels(openClip);
            throw new BadInputException(input, $"has no configuration beside it ({string.Join(" or ", CheckpointFit.ConfigurationNames)}).",
                "Weights alone do not say which activation and which pixels they were trained with: name the model's JSON file with --config."
                + (candidates.Length == 0 ? "" : $" The shapes are those of {string.Join(", ", candidates)}: --config takes such a name too."));
        }

        return (ModelConfiguration.ReadAsOpenClip(path), path);
    }
}
