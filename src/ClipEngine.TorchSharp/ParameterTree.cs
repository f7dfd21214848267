using System.Globalization;
using ClipEngine.Checkpoints;
using ClipEngine.Models;
using ClipEngine.Tensors;
using TorchSharp;
using TorchSharp.Modules;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>A checkpoint's tensors as the parameters and buffers of a tree of modules, whose paths are the checkpoint's own keys.</summary>
internal sealed class ParameterTree
{
    private readonly Dictionary<string, torch.nn.Module> _nodes = [];
    private readonly Func<string, torch.nn.Module> _createNode;

    /// <summary>An empty tree.</summary>
    /// <param name="root">Stands for the empty path.</param>
    /// <param name="createNode">Makes the module of a path.</param>
    public ParameterTree(torch.nn.Module root, Func<string, torch.nn.Module> createNode)
    {
        _nodes.Add("", root);
        _createNode = createNode;
    }

    /// <summary>The module of a path.</summary>
    public torch.nn.Module this[string path] => _nodes[path];

    /// <summary>Copies every tensor to the device, floating-point ones in the type that is trained in.</summary>
    public void Fill(ICheckpoint checkpoint, torch.Device device, torch.ScalarType type)
    {
        foreach (string key in checkpoint.Tensors.Keys.Order(StringComparer.Ordinal))
        {
            StoredTensor stored = checkpoint.Tensors[key];
            bool isFloat = stored.Type.IsFloatingPoint();
            using DisposeScope scope = torch.NewDisposeScope();
            using TensorBytes bytes = checkpoint.Borrow(key);
            TorchTensor value = TorchTensors.FromMemory(bytes.Address, stored.Dimensions.AsSpan(), stored.Type, device);
            if (isFloat)
                value = value.to(type);
            (torch.nn.Module node, string name) = (Node(ParentOf(key)), key[(key.LastIndexOf('.') + 1)..]);
            value.DetachFromDisposeScope();
            if (!isFloat || IsBuffer(key))
                node.register_buffer(name, value);
            else
                node.register_parameter(name, (Parameter)new Parameter(value).DetachFromDisposeScope());
        }
    }

    /// <summary>The parameter or buffer of a key as it is now: modules replace theirs when they are moved or converted.</summary>
    public TorchTensor? Find(string key)
    {
        if (!_nodes.TryGetValue(ParentOf(key), out torch.nn.Module? node))
            return null;
        string name = key[(key.LastIndexOf('.') + 1)..];
        return node.has_parameter(name) ? node.get_parameter(name) : node.has_buffer(name) ? node.get_buffer(name) : null;
    }

    /// <summary>The same, where it has to be there and on the device.</summary>
    /// <exception cref="InvalidOperationException">The module was changed or moved since it was loaded.</exception>
    public TorchTensor Get(string key, torch.Device device)
    {
        TorchTensor value = Find(key) ?? throw new InvalidOperationException($"The module has no {key} any more.");
        return value.device_type == device.type
            ? value
            : throw new InvalidOperationException($"{key} was moved to {value.device}, the modules compute on {device}: choose the device when they are loaded.");
    }

    private torch.nn.Module Node(string path)
    {
        if (_nodes.TryGetValue(path, out torch.nn.Module? known))
            return known;
        torch.nn.Module made = _createNode(path);
        _nodes.Add(path, made);
        Node(ParentOf(path)).add_module(path[(path.LastIndexOf('.') + 1)..], made);
        return made;
    }

    private static string ParentOf(string key) => key.LastIndexOf('.') is >= 0 and int dot ? key[..dot] : "";

    /// <summary>What PyTorch keeps as buffers and no optimiser may touch: the statistics of a batch norm, and a mask that old checkpoints carry.</summary>
    private static bool IsBuffer(string key) => key[(key.LastIndexOf('.') + 1)..] is "running_mean" or "running_var" or "attn_mask";
}

/// <summary>A place in the tree of names that computes nothing itself.</summary>
internal sealed class ParameterNode(string name) : torch.nn.Module(name);

/// <summary>A tower that is a module of its own: <c>[n, ...]</c> to <c>[n, embed_dim]</c>.</summary>
internal sealed class TowerModule(string name, Func<TorchTensor, TorchTensor> encode) : torch.nn.Module<TorchTensor, TorchTensor>(name)
{
    public override TorchTensor forward(TorchTensor input) => encode(input);
}

/// <summary>A backend whose weights are the parameters of a tree, looked up anew in every pass.</summary>
internal sealed class ModuleBackend(TorchBackend backend, ParameterTree tree, BatchNormMode norms, string source) : IBackend
{
    public string Name => backend.Name;

    public string Description => backend.Description;

    public ElementType ComputeType => backend.ComputeType;

    public FeatureInvariance Invariance => backend.Invariance;

    public double InvarianceBound => backend.InvarianceBound;

    public Weight CreateWeight(in WeightData data, WeightRole role)
    {
        if (BatchNormFolding.TryParseKernel(data.Name, out string kernel, out string norm) && tree.Find(kernel) is not null)
            return new BatchNormKernel(tree, kernel, norm, data, role, backend.Device, norms);
        if (BatchNormFolding.IsBias(data.Name))
            return new FoldedBias(data, role);
        (string key, long first, long? end) = Split(data.Name);
        if (tree.Find(key) is null)
        {
            if (ComputedWeight.IsConstant(data.Name))
                return backend.CreateWeight(data, role);
            if (ComputedWeight.Recipe(data.Name, data.Shape, name => tree.Find(name) is null ? null : () => tree.Get(name, backend.Device)) is { } compute)
                return new ComputedWeight(data, role, compute);
            throw new BadInputException(source, $"{BadInputException.Escape(data.Name, 120)} is computed from other tensors when the model is loaded, so that no gradient would reach the checkpoint's own.",
                "The model runs on this backend (TorchBackend) and cannot be trained as modules.");
        }

        return new ParameterWeight(tree, key, first, end, data, role, backend.Device);
    }

    public IPass BeginPass() => backend.BeginTorchPass();

    public void Dispose() => backend.Dispose();

    /// <summary>Some rows of a tensor are called <c>key[first:end]</c> by the weight reader.</summary>
    private static (string Key, long First, long? End) Split(string name)
    {
        int open = name.LastIndexOf('['), colon = name.LastIndexOf(':');
        if (!name.EndsWith(']') || open < 0 || colon < open)
            return (name, 0, null);
        return (name[..open],
            long.Parse(name.AsSpan(open + 1, colon - open - 1), NumberStyles.None, CultureInfo.InvariantCulture),
            long.Parse(name.AsSpan(colon + 1, name.Length - colon - 2), NumberStyles.None, CultureInfo.InvariantCulture));
    }
}

/// <summary>A parameter of the tree, or some of its rows, as the models read it.</summary>
internal sealed class ParameterWeight(ParameterTree tree, string key, long first, long? end, in WeightData data, WeightRole role, torch.Device device)
    : TorchWeight(data.Name, data.Shape, role, data.Type)
{
    /// <summary>None of its own: the parameter belongs to its module.</summary>
    public override long ByteLength => 0;

    internal override TorchTensor Value
    {
        get
        {
            TorchTensor value = tree.Get(key, device);
            TorchTensor rows = end is { } last ? value.narrow(0, first, last - first) : value;
            // Leading dimensions of 1 are a matter of taste: timm keeps positions as [1, t, w].
            return rows.dim() == Shape.Rank ? rows : rows.reshape(TorchTensors.Sizes(Shape));
        }
    }

    protected override void Dispose(bool disposing)
    {
        // It owns nothing.
    }
}
