using System.Globalization;
using ClipEngine.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <content>A training's state on disk.</content>
public sealed partial class ClipTrainer
{
    /// <summary>Beside the checkpoint: AdamW's two means of every parameter, and the numbers of a training.</summary>
    public const string StateName = "training_state.safetensors";

    private const string MeanPrefix = "exp_avg.", SquarePrefix = "exp_avg_sq.";
    private const string StepsKey = "steps", UpdatesKey = "updates", LossScaleKey = "loss_scale", FiniteStepsKey = "finite_steps";

    /// <summary>
    /// Writes the checkpoint (<see cref="ClipModules.SaveCheckpoint"/>) and, in <see cref="StateName"/> beside it, all that
    /// <see cref="Resume"/> needs. Under its name there is the whole folder or none.
    /// </summary>
    /// <param name="folder">Where to; a folder that <see cref="Save"/> wrote before is replaced.</param>
    /// <exception cref="BadInputException">It is the original's own folder, or there is another kind of folder.</exception>
    /// <exception cref="IOException">No space, no permission, a bad disk.</exception>
    /// <exception cref="InvalidOperationException">Gradients were collected that no step has used.</exception>
    public void Save(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        if (_accumulated > 0)
            throw new InvalidOperationException("Gradients were collected since the last step and would be lost: call Apply first.");
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)), partial = full + ".partial", previous = full + ".previous";
        if (Directory.Exists(full) && !File.Exists(Path.Combine(full, StateName)) && Directory.EnumerateFileSystemEntries(full).Any())
            throw new BadInputException(folder, $"is there already and holds no {StateName}.", "Name a folder that is not there yet.");
        Delete(partial);
        _clip.SaveCheckpoint(partial);
        WriteState(Path.Combine(partial, StateName));
        Delete(previous);
        if (Directory.Exists(full))
            Directory.Move(full, previous);
        Directory.Move(partial, full);
        Delete(previous);
    }

    /// <summary>Goes on with a training: the model must have been loaded from the same folder.</summary>
    /// <param name="folder">What <see cref="Save"/> wrote.</param>
    /// <exception cref="BadInputException">There is no such state, it is damaged, or it belongs to another model.</exception>
    public void Resume(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        string path = Path.Combine(folder, StateName);
        if (!File.Exists(path))
            throw new BadInputException(path, "there is no such file.", "A folder that a training was saved to has it beside the weights.");
        using ICheckpoint saved = SafetensorsFile.Open(path); // every key as it is, model or not
        long steps = Number(saved, StepsKey, long.Parse), updates = Number(saved, UpdatesKey, long.Parse), finite = Number(saved, FiniteStepsKey, long.Parse);
        double scale = Number(saved, LossScaleKey, double.Parse);
        // All is compared before anything is changed. libtorch's own copy would spread a smaller tensor over a larger one.
        var expected = new Dictionary<string, long[]>();
        foreach ((string name, _, TorchTensor mean, TorchTensor square) in _optimizer.States)
        {
            expected.Add(MeanPrefix + name, mean.shape);
            expected.Add(SquarePrefix + name, square.shape);
        }

        string[] problems =
        [
            .. expected.Keys.Where(key => !saved.Tensors.ContainsKey(key)).Select(key => $"missing: {key}"),
            .. saved.Tensors.Keys.Where(key => !expected.ContainsKey(key)).Select(key => $"unexpected: {BadInputException.Escape(key, 120)}"),
            .. expected.Where(pair => saved.Tensors.TryGetValue(pair.Key, out StoredTensor stored) && !stored.Dimensions.AsSpan().SequenceEqual(pair.Value))
                .Select(pair => $"wrong shape: {pair.Key}: expected [{string.Join(", ", pair.Value)}], found [{string.Join(", ", saved.Tensors[pair.Key].Dimensions)}]"),
        ];
        if (problems.Length > 0)
            throw new BadInputException(path, $"does not belong to this model: {string.Join("; ", problems.Order(StringComparer.Ordinal).Take(10))}.", "Load the model from the same folder.");
        using (torch.no_grad())
        {
            foreach ((string name, _, TorchTensor mean, TorchTensor square) in _optimizer.States)
            {
                Fill(mean, saved, MeanPrefix + name);
                Fill(square, saved, SquarePrefix + name);
            }
        }

        (_optimizer.Steps, Steps, LossScale, _finiteSteps) = (updates, steps, scale, checked((int)finite));
    }

    private void WriteState(string path)
    {
        var tensors = new Dictionary<string, TorchTensor>();
        foreach ((string name, _, TorchTensor mean, TorchTensor square) in _optimizer.States)
        {
            tensors.Add(MeanPrefix + name, mean);
            tensors.Add(SquarePrefix + name, square);
        }

        var numbers = new Dictionary<string, string>
        {
            [StepsKey] = Steps.ToString(CultureInfo.InvariantCulture),
            [UpdatesKey] = _optimizer.Steps.ToString(CultureInfo.InvariantCulture),
            [LossScaleKey] = LossScale.ToString("R", CultureInfo.InvariantCulture),
            [FiniteStepsKey] = _finiteSteps.ToString(CultureInfo.InvariantCulture),
        };
        using var state = new StateDictionary(tensors, numbers);
        var writer = new SafetensorsWriter(numbers);
        foreach (string key in tensors.Keys)
            writer.Add(state, key);
        writer.Write(path);
    }

    private static void Fill(TorchTensor target, ICheckpoint saved, string key)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        using TensorBytes bytes = saved.Borrow(key);
        StoredTensor stored = saved.Tensors[key];
        target.copy_(TorchTensors.FromMemory(bytes.Address, stored.Dimensions.AsSpan(), stored.Type, target.device));
    }

    private static T Number<T>(ICheckpoint saved, string key, Func<string, IFormatProvider, T> parse)
    {
        try
        {
            return parse(saved.Metadata.GetValueOrDefault(key, ""), CultureInfo.InvariantCulture);
        }
        catch (Exception exception) when (exception is FormatException or OverflowException)
        {
            throw new BadInputException(saved.Path, $"its header has no number {key}.", $"Name a folder that ClipTrainer.Save wrote.", exception);
        }
    }

    private static void Delete(string folder)
    {
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
    }
}
