using System.Globalization;
using ClipEngine.Checkpoints.Layouts;

namespace ClipEngine.Checkpoints.Archives;

/// <summary>
/// Finds the weights inside what was saved: a state dict by itself, one somewhere below (<c>state_dict</c>, <c>model_state_dict</c>,
/// DeepSpeed's <c>module</c>: what training code calls it does not matter where its keys are a model's), or the attributes of a TorchScript
/// module. Where two sets of weights could be meant, neither is taken. What stands beside the weights need not be readable.
/// </summary>
internal sealed class StateDictionary
{
    // One module may be an attribute of many: shared again and again, it would multiply without end.
    private const int MaximumTensors = 1_000_000;
    private const int DeepestNest = 5;
    private const int ShownNames = 6;

    // Where weights without a known model's keys may lie.
    private static readonly string[] s_nests = ["state_dict", "model_state_dict", "model", "module", "ema"];

    private readonly string _path;
    private readonly Dictionary<string, PickleTensor> _tensors = [];
    private readonly Dictionary<string, string> _metadata = [];
    private readonly List<string> _notices = [];

    private int _modules;

    private StateDictionary(string path) => _path = path;

    /// <summary>The weights by key.</summary>
    public IReadOnlyDictionary<string, PickleTensor> Tensors => _tensors;

    /// <summary>Plain values that were saved beside the weights (epoch, name).</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>Where the weights were found, and what else lies there.</summary>
    public IReadOnlyList<string> Notices => _notices;

    /// <summary>Finds the weights in a pickle's value.</summary>
    /// <exception cref="CheckpointException">None, more than one set, or some that are not read here.</exception>
    public static StateDictionary Find(object? root, string path)
    {
        var found = new StateDictionary(path);
        switch (root)
        {
            case PickleObject module:
                found.AddModule(module, "");
                break;
            case PickleContainer container:
                found.AddBest(container);
                break;
            default:
                throw found.Refuse("holds neither a state_dict nor a TorchScript module.", CheckpointError.UnknownFormat);
        }

        if (found._tensors.Count == 0)
            throw found.Refuse("holds no tensors.", CheckpointError.UnknownFormat);
        return found;
    }

    private void AddBest(PickleContainer root)
    {
        List<Nest> nests = [.. FindNests(root)];
        List<Nest> models = nests.FindAll(static nest => KeyPrefix.HasModel(nest.Names));
        // Without a model's keys only the usual places count: an optimiser's state is made of dictionaries of tensors, too.
        List<Nest> candidates = models.Count > 0 ? models : nests.FindAll(static nest => nest.Path.Length == 0 || Array.TrueForAll(nest.Path, s_nests.Contains));
        if (candidates.Count > 1)
        {
            throw Refuse($"holds several sets of weights: {string.Join(", ", candidates.Take(ShownNames).Select(static nest => nest.Shown))}{(candidates.Count > ShownNames ? ", ..." : "")}.", CheckpointError.Ambiguous);
        }

        if (candidates.Count == 0)
        {
            string[] names = [.. (root as PickleDictionary)?.Items.Select(static item => BadInputException.Escape(item.Key as string ?? "?", 40)) ?? []];
            throw Refuse($"holds no tensors under a model's keys{(names.Length == 0 ? "" : $"; there are: {string.Join(", ", names.Take(ShownNames))}{(names.Length > ShownNames ? ", ..." : "")}")}.", CheckpointError.UnknownFormat);
        }

        Nest best = candidates[0];
        RefuseEmptied(best, root as PickleDictionary);
        foreach ((object? key, object? value) in best.Dictionary.Items)
        {
            switch (value)
            {
                case PickleTensor tensor:
                    AddTensor(key as string ?? throw Refuse("has a tensor under a key that is no text.", CheckpointError.UnknownFormat), tensor);
                    break;
                case PickleUnreadable unreadable:
                    throw Unsupported(key as string ?? "?", unreadable);
            }
        }

        AddPlainValues(best.Dictionary);
        if (root is PickleDictionary top && !ReferenceEquals(top, best.Dictionary))
            AddPlainValues(top);
        AddNotices(best, root);
    }

    /// <summary>Every dictionary with tensors in it, with the names that lead to it.</summary>
    private static IEnumerable<Nest> FindNests(PickleContainer root)
    {
        const int MostLooked = 100_000;
        var seen = new HashSet<object>(ReferenceEqualityComparer.Instance) { root };
        var waiting = new Queue<(PickleContainer Container, string[] Path)>([(root, [])]);
        for (int looked = 0; looked < MostLooked && waiting.TryDequeue(out (PickleContainer Container, string[] Path) next); looked++)
        {
            if (next.Container is PickleDictionary dictionary && dictionary.Items.Exists(static item => item.Value is PickleTensor or PickleUnreadable))
                yield return new Nest(dictionary, next.Path);
            if (next.Path.Length == DeepestNest)
                continue;
            foreach ((string name, object? value) in Named(next.Container))
            {
                if (value is PickleContainer inner and not PickleObject && seen.Add(inner))
                    waiting.Enqueue((inner, [.. next.Path, name]));
            }
        }
    }

    private static IEnumerable<(string Name, object? Value)> Named(PickleContainer container) => container switch
    {
        PickleDictionary dictionary => dictionary.Items.Where(static item => item.Key is string).Select(static item => ((string)item.Key!, item.Value)),
        PickleList list => list.Items.Select(static (value, i) => ($"[{i}]", value)),
        PickleTuple tuple => tuple.Items.Select(static (value, i) => ($"[{i}]", value)),
        _ => [],
    };

    /// <summary>ZeRO's third stage leaves a model's parameters empty and keeps their values in the optimiser's files.</summary>
    private void RefuseEmptied(Nest best, PickleDictionary? root)
    {
        PickleTensor[] tensors = [.. best.Dictionary.Items.Select(static item => item.Value).OfType<PickleTensor>()];
        bool isEmptied = tensors.Length > 1 && Array.TrueForAll(tensors, static tensor => tensor.Sizes is [0] || tensor.Sizes.Length == 0);
        if (isEmptied && root is not null && (root.TryGet("ds_version", out _) || root.TryGet("param_shapes", out _) || root.TryGet("zero_stage", out _)))
            throw ForeignCheckpoints.Zero(_path, "is one piece of a checkpoint of DeepSpeed's ZeRO, whose parameters are empty here");
    }

    private void AddNotices(Nest best, PickleContainer root)
    {
        // What is neither weights nor a plain value: an optimiser's state, settings.
        List<string> others = [.. Others(best.Dictionary)];
        if (!ReferenceEquals(root, best.Dictionary))
            others.AddRange(Others(root).Where(name => name != best.Path[0]));
        string left = others.Count == 0 ? "" : $" Left out: {string.Join(", ", others.Take(ShownNames).Select(static name => BadInputException.Escape(name, 40)))}{(others.Count > ShownNames ? $" and {others.Count - ShownNames} more" : "")}.";
        if (best.Path.Length > 0)
            _notices.Add($"{_path}: the weights are those under {best.Shown}.{left}");
        else if (left.Length > 0)
            _notices.Add($"{_path}:{left}");

        static IEnumerable<string> Others(PickleContainer container) =>
            Named(container).Where(static item => item.Value is PickleContainer or PickleOpaque or PickleUnreadable or PickleStorage or byte[]).Select(static item => item.Name);
    }

    private void AddPlainValues(PickleDictionary dictionary)
    {
        foreach ((object? key, object? value) in dictionary.Items)
        {
            if (key is string name && value is string or long or double or bool)
                _metadata.TryAdd(name, Convert.ToString(value, CultureInfo.InvariantCulture)!);
        }
    }

    // A module's attributes: tensors are its weights, objects its submodules, anything else is code's business.
    private void AddModule(PickleObject module, string prefix)
    {
        if (++_modules > MaximumTensors)
            throw Refuse($"has more than {MaximumTensors} modules.", CheckpointError.TooComplex);
        foreach ((object? key, object? value) in module.State?.Items ?? [])
        {
            if (key is not string name)
                throw Refuse("has a module with an attribute that has no name.", CheckpointError.UnknownFormat);
            if (value is PickleTensor tensor)
                AddTensor(prefix + name, tensor);
            else if (value is PickleUnreadable unreadable)
                throw Unsupported(prefix + name, unreadable);
            else if (value is PickleObject submodule)
                AddModule(submodule, $"{prefix}{name}.");
        }
    }

    private void AddTensor(string key, PickleTensor tensor)
    {
        if (!_tensors.TryAdd(key, tensor))
            throw Refuse($"has two tensors named '{BadInputException.Escape(key, 80)}'.", CheckpointError.DuplicateKey);
        if (_tensors.Count > MaximumTensors)
            throw Refuse($"has more than {MaximumTensors} tensors.", CheckpointError.TooComplex);
    }

    private CheckpointException Unsupported(string key, PickleUnreadable tensor) => new(_path, CheckpointError.UnsupportedElementType,
        $"holds as '{BadInputException.Escape(key, 80)}' {tensor.What}, which is not supported here; supported are dense tensors of bool, integers, fp16, bf16, fp32 and fp64.",
        "Load the file with PyTorch and save only the weights.");

    private CheckpointException Refuse(string problem, CheckpointError error) =>
        new(_path, error, problem, "Load the file with PyTorch and save only the state_dict that is meant.");

    private sealed record Nest(PickleDictionary Dictionary, string[] Path)
    {
        public IEnumerable<string> Names => Dictionary.Items.Where(static item => item.Value is PickleTensor or PickleUnreadable).Select(static item => item.Key).OfType<string>();

        public string Shown => Path.Length == 0 ? "the top level" : $"'{BadInputException.Escape(string.Join('.', Path), 80)}'";
    }
}
