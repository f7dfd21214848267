using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints.Archives;

/// <summary>What a known name stands for.</summary>
internal enum PickleMeaning
{
    /// <summary>A type of storage or of elements: stands for itself only.</summary>
    Type,

    /// <summary><c>collections.OrderedDict</c>.</summary>
    OrderedDictionary,

    /// <summary>A tensor of its storage's type.</summary>
    Tensor,

    /// <summary>A tensor that names its own type.</summary>
    TypedTensor,

    /// <summary>A tensor wrapped as a parameter.</summary>
    Parameter,

    /// <summary>A sequence that is what it is given.</summary>
    Sequence,

    /// <summary>A value with the name of its TorchScript type; the value is all that counts here.</summary>
    Tagged,

    /// <summary>Something that is written as text, such as a device.</summary>
    Text,

    /// <summary>Known, harmless and not read here: sparse and quantised tensors.</summary>
    Unsupported,
}

/// <summary>The closed list of names that a pickle may mention. They are compared as strings; nothing is looked up by them.</summary>
internal static class PickleNames
{
    private static readonly Dictionary<string, PickleMeaning> s_meanings = new()
    {
        ["collections.OrderedDict"] = PickleMeaning.OrderedDictionary,
        ["torch._utils._rebuild_tensor"] = PickleMeaning.Tensor,
        ["torch._utils._rebuild_tensor_v2"] = PickleMeaning.Tensor,
        ["torch._utils._rebuild_tensor_v3"] = PickleMeaning.TypedTensor,
        ["torch._utils._rebuild_parameter"] = PickleMeaning.Parameter,
        ["torch.Size"] = PickleMeaning.Sequence,
        ["torch.device"] = PickleMeaning.Text,
        ["builtins.set"] = PickleMeaning.Sequence,
        ["__builtin__.set"] = PickleMeaning.Sequence,
        ["torch.jit._pickle.build_intlist"] = PickleMeaning.Sequence,
        ["torch.jit._pickle.build_doublelist"] = PickleMeaning.Sequence,
        ["torch.jit._pickle.build_boollist"] = PickleMeaning.Sequence,
        ["torch.jit._pickle.build_tensorlist"] = PickleMeaning.Sequence,
        ["torch.jit._pickle.restore_type_tag"] = PickleMeaning.Tagged,
        ["torch._utils._rebuild_sparse_tensor"] = PickleMeaning.Unsupported,
        ["torch._utils._rebuild_sparse_csr_tensor"] = PickleMeaning.Unsupported,
        ["torch._utils._rebuild_qtensor"] = PickleMeaning.Unsupported,
        ["torch._utils._rebuild_meta_tensor_no_storage"] = PickleMeaning.Unsupported,
    };

    private static readonly Dictionary<string, ElementType?> s_storages = new()
    {
        ["FloatStorage"] = ElementType.Float32,
        ["HalfStorage"] = ElementType.Float16,
        ["BFloat16Storage"] = ElementType.BFloat16,
        ["DoubleStorage"] = ElementType.Float64,
        ["LongStorage"] = ElementType.Int64,
        ["IntStorage"] = ElementType.Int32,
        ["ShortStorage"] = ElementType.Int16,
        ["CharStorage"] = ElementType.Int8,
        ["ByteStorage"] = ElementType.UInt8,
        ["BoolStorage"] = ElementType.Boolean,
        ["ComplexFloatStorage"] = null,
        ["ComplexDoubleStorage"] = null,
        ["QUInt8Storage"] = null,
        ["QInt8Storage"] = null,
        ["QInt32Storage"] = null,
        ["QUInt4x2Storage"] = null,
        ["QUInt2x4Storage"] = null,
    };

    private static readonly Dictionary<string, ElementType?> s_types = new()
    {
        ["float32"] = ElementType.Float32,
        ["float16"] = ElementType.Float16,
        ["bfloat16"] = ElementType.BFloat16,
        ["float64"] = ElementType.Float64,
        ["int64"] = ElementType.Int64,
        ["int32"] = ElementType.Int32,
        ["int16"] = ElementType.Int16,
        ["int8"] = ElementType.Int8,
        ["uint8"] = ElementType.UInt8,
        ["uint16"] = ElementType.UInt16,
        ["uint32"] = ElementType.UInt32,
        ["uint64"] = ElementType.UInt64,
        ["bool"] = ElementType.Boolean,
        ["complex64"] = null,
        ["complex128"] = null,
        ["float8_e4m3fn"] = null,
        ["float8_e5m2"] = null,
    };

    /// <summary>Whether a pickle may mention the name at all.</summary>
    public static bool IsKnown(PickleGlobal name) =>
        s_meanings.ContainsKey($"{name.Module}.{name.Name}") || IsUntypedStorage(name)
        || (name.Module == "torch" && (s_storages.ContainsKey(name.Name) || s_types.ContainsKey(name.Name)));

    /// <summary>What calling the name stands for.</summary>
    public static PickleMeaning MeaningOf(PickleGlobal name) => s_meanings.GetValueOrDefault($"{name.Module}.{name.Name}", PickleMeaning.Type);

    /// <summary>A class that a TorchScript archive defines in its own code, which is never read.</summary>
    public static bool IsScriptClass(PickleGlobal name) =>
        name.Module == "__torch__" || name.Module.StartsWith("__torch__.", StringComparison.Ordinal);

    /// <summary>Whether the name is a storage of bytes.</summary>
    public static bool IsUntypedStorage(PickleGlobal name) => name is { Module: "torch.storage", Name: "UntypedStorage" or "_UntypedStorage" };

    /// <summary>The element type of a typed storage; null where it is not read here.</summary>
    public static ElementType? StorageTypeOf(PickleGlobal name) => name.Module == "torch" ? s_storages.GetValueOrDefault(name.Name) : null;

    /// <summary>The element type that a dtype names; null where it is not read here.</summary>
    public static ElementType? TypeOf(PickleGlobal name) => name.Module == "torch" ? s_types.GetValueOrDefault(name.Name) : null;
}
