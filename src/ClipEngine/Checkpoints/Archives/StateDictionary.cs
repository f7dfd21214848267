using System.Globalization;

namespace ClipEngine.Checkpoints.Archives;

/// <summary>
/// Finds the weights inside what was saved: a state dict by itself, one under <c>state_dict</c> or <c>model</c> (a training
/// checkpoint), or the attributes of a TorchScript module. Where two sets of weights could be meant, neither is taken.
/// </summary>
internal sealed class StateDictionary
{
    private const string WrapperPrefix = "module.";

    // One module may be an attribute of many: shared again and again, it would multiply without end.
    private const int MaximumTensors = 1_000_000;

    private static readonly string[] s_nests = ["state_dict", "model"];

    private readonly string _path;
    private readonly Dictionary<string, PickleTensor> _tensors = [];
    private readonly Dictionary<string, string> _metadata = [];

    private int _modules;

    private StateDictionary(string path) => _path = path;

    /// <summary>The weights by key.</summary>
    public IReadOnlyDictionary<string, PickleTensor> Tensors => _tensors;

    /// <summary>Plain values that were saved beside the weights (epoch, name).</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>Finds the weights in a pickle's value.</summary>
    /// <exception cref="CheckpointException">None, or more than one set.</exception>
    public static StateDictionary Find(object? root, string path)
    {
        var found = new StateDictionary(path);
        switch (root)
        {
            case PickleObject module:
                found.AddModule(module, "");
                break;
            case PickleDictionary dictionary:
                found.AddDictionary(dictionary);
                break;
            default:
                throw found.Refuse("holds neither a state_dict nor a TorchScript module.", CheckpointError.UnknownFormat);
        }

        if (found._tensors.Count == 0)
            throw found.Refuse("holds no tensors.", CheckpointError.UnknownFormat);
        return found.Unwrap();
    }

    private void AddDictionary(PickleDictionary dictionary)
    {
        string[] nests = [.. s_nests.Where(name => dictionary.TryGet(name, out object? value) && value is PickleDictionary or PickleObject)];
        bool hasTensors = dictionary.Items.Exists(static item => item.Value is PickleTensor);
        if (nests.Length > 1 || (nests.Length == 1 && hasTensors))
            throw Refuse($"holds several sets of weights ({string.Join(", ", nests)}{(hasTensors ? ", the top level" : "")}).", CheckpointError.Ambiguous);
        if (nests.Length == 1)
        {
            AddPlainValues(dictionary);
            dictionary.TryGet(nests[0], out object? nested);
            if (nested is PickleObject)
                throw Refuse($"holds an object as '{nests[0]}' instead of a state_dict.", CheckpointError.UnknownFormat);
            AddDictionary((PickleDictionary)nested!);
            return;
        }

        foreach ((object? key, object? value) in dictionary.Items)
        {
            if (value is PickleTensor tensor)
                AddTensor(key as string ?? throw Refuse("has a tensor under a key that is no text.", CheckpointError.UnknownFormat), tensor);
            else if (hasTensors && value is PickleContainer)
                throw Refuse($"holds '{BadInputException.Escape(key as string ?? "?", 80)}', which is no tensor, among its weights.", CheckpointError.Ambiguous);
        }

        AddPlainValues(dictionary);
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

    private StateDictionary Unwrap()
    {
        int wrapped = _tensors.Keys.Count(static key => key.StartsWith(WrapperPrefix, StringComparison.Ordinal));
        if (wrapped == 0)
            return this;
        if (wrapped != _tensors.Count)
            throw Refuse($"has the prefix '{WrapperPrefix}' on {wrapped} of {_tensors.Count} keys.", CheckpointError.Ambiguous);
        KeyValuePair<string, PickleTensor>[] all = [.. _tensors];
        _tensors.Clear();
        foreach ((string key, PickleTensor tensor) in all)
            AddTensor(key[WrapperPrefix.Length..], tensor);
        return this;
    }

    private CheckpointException Refuse(string problem, CheckpointError error) =>
        new(_path, error, problem, "Load the file with PyTorch and save only the state_dict that is meant.");
}
