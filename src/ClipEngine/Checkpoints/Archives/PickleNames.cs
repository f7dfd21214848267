using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints.Archives;

/// <summary>What calling a known name makes here.</summary>
internal enum PickleMeaning
{
    /// <summary>A name that stands for itself only and is never called: a class, a type of storage or of elements.</summary>
    Type,

    /// <summary>A dictionary that is filled afterwards: <c>collections.OrderedDict</c>, <c>defaultdict</c>.</summary>
    Dictionary,

    /// <summary>A dictionary that is what it is given.</summary>
    Counter,

    /// <summary>A tensor of its storage's type.</summary>
    Tensor,

    /// <summary>A tensor that names its own type.</summary>
    TypedTensor,

    /// <summary>A tensor wrapped as a parameter.</summary>
    Parameter,

    /// <summary>A tensor with Python attributes: another rebuilding function, the class, its arguments, the attributes.</summary>
    Subclass,

    /// <summary>A sequence that is what it is given.</summary>
    Sequence,

    /// <summary>A value with the name of its TorchScript type; the value is all that counts here.</summary>
    Tagged,

    /// <summary>Something that is written as text, such as a device.</summary>
    Text,

    /// <summary>Bytes.</summary>
    Bytes,

    /// <summary>Known, harmless and not read here: sparse and quantised tensors.</summary>
    Unsupported,

    /// <summary>A value that nobody reads: a NumPy array, a date, a path. Only a record of its name is made.</summary>
    Inert,
}

/// <summary>
/// The closed list of names that a pickle may mention: those of <c>torch.load(weights_only=True)</c> (PyTorch 2.14), and plain values of
/// Python and NumPy that stand beside weights. They are compared as strings; nothing is looked up by them, and nothing is called.
/// </summary>
internal static class PickleNames
{
    private static readonly Dictionary<string, PickleMeaning> s_meanings = new()
    {
        ["collections.OrderedDict"] = PickleMeaning.Dictionary,
        ["collections.defaultdict"] = PickleMeaning.Dictionary,
        ["collections.Counter"] = PickleMeaning.Counter,
        ["torch._utils._rebuild_tensor"] = PickleMeaning.Tensor,
        ["torch._utils._rebuild_tensor_v2"] = PickleMeaning.Tensor,
        ["torch._utils._rebuild_tensor_v3"] = PickleMeaning.TypedTensor,
        ["torch._utils._rebuild_parameter"] = PickleMeaning.Parameter,
        ["torch._utils._rebuild_parameter_with_state"] = PickleMeaning.Parameter,
        ["torch._tensor._rebuild_from_type"] = PickleMeaning.Subclass,
        ["torch._tensor._rebuild_from_type_v2"] = PickleMeaning.Subclass,
        ["torch.Size"] = PickleMeaning.Sequence,
        ["torch.device"] = PickleMeaning.Text,
        ["torch.serialization._get_layout"] = PickleMeaning.Text,
        ["torch.jit._pickle.build_intlist"] = PickleMeaning.Sequence,
        ["torch.jit._pickle.build_doublelist"] = PickleMeaning.Sequence,
        ["torch.jit._pickle.build_boollist"] = PickleMeaning.Sequence,
        ["torch.jit._pickle.build_tensorlist"] = PickleMeaning.Sequence,
        ["torch.jit._pickle.restore_type_tag"] = PickleMeaning.Tagged,
        ["torch._utils._rebuild_sparse_tensor"] = PickleMeaning.Unsupported,
        ["torch._utils._rebuild_sparse_csr_tensor"] = PickleMeaning.Unsupported,
        ["torch._utils._rebuild_qtensor"] = PickleMeaning.Unsupported,
        ["torch._utils._rebuild_meta_tensor_no_storage"] = PickleMeaning.Unsupported,
        ["torch._utils._rebuild_nested_tensor"] = PickleMeaning.Unsupported,
        ["torch._utils._rebuild_wrapper_subclass"] = PickleMeaning.Unsupported,
        ["torch._utils._rebuild_device_tensor_from_numpy"] = PickleMeaning.Unsupported,
        ["torch._utils._rebuild_device_tensor_from_cpu_tensor"] = PickleMeaning.Unsupported,
        ["_codecs.encode"] = PickleMeaning.Bytes,
    };

    // Classes of Python and NumPy whose values stand beside weights, with what a call of each has to look like.
    private static readonly Dictionary<string, Func<object?[], bool>> s_inert = new()
    {
        ["numpy.dtype"] = static arguments => arguments.Length is >= 1 and <= 3 && arguments[0] is string or PickleGlobal,
        ["datetime.datetime"] = IsPlain,
        ["datetime.date"] = IsPlain,
        ["datetime.time"] = IsPlain,
        ["datetime.timedelta"] = IsPlain,
        ["datetime.timezone"] = IsPlain,
        ["argparse.Namespace"] = static arguments => arguments.Length == 0,
        ["types.SimpleNamespace"] = static arguments => arguments.Length == 0 || arguments is [PickleDictionary],
        ["decimal.Decimal"] = static arguments => arguments is [string],
        ["fractions.Fraction"] = IsPlain,
        ["uuid.UUID"] = static arguments => arguments.Length == 0,
    };

    // Types that stand for themselves: arguments of others, factories of default dictionaries.
    private static readonly HashSet<string> s_types = [];

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

    private static readonly Dictionary<string, ElementType?> s_elementTypes = new()
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
    };

    static PickleNames()
    {
        // Pickles of protocol 2 write Python 2's names of the built-in module.
        foreach (string module in new[] { "builtins", "__builtin__" })
        {
            s_meanings[$"{module}.set"] = PickleMeaning.Sequence;
            s_meanings[$"{module}.frozenset"] = PickleMeaning.Sequence;
            s_meanings[$"{module}.bytearray"] = PickleMeaning.Bytes;
            s_meanings[$"{module}.bytes"] = PickleMeaning.Bytes;
            s_inert[$"{module}.complex"] = IsPlain;
            s_inert[$"{module}.slice"] = IsPlain;
            s_inert[$"{module}.range"] = IsPlain;
            s_inert[$"{module}.xrange"] = IsPlain;
            foreach (string type in new[] { "object", "list", "dict", "tuple", "int", "long", "float", "str", "unicode", "bool" })
                s_types.Add($"{module}.{type}");
        }

        // NumPy 2 moved its modules, and writes the new names.
        foreach (string core in new[] { "numpy.core", "numpy._core" })
        {
            s_inert[$"{core}.multiarray.scalar"] = static arguments => arguments.Length is 1 or 2 && arguments[0] is PickleOpaque;
            s_inert[$"{core}.multiarray._reconstruct"] = static arguments => arguments is [PickleGlobal, PickleTuple, _];
            s_inert[$"{core}.numeric._frombuffer"] = static arguments => arguments.Length == 4;
        }

        foreach (string path in new[] { "Path", "PosixPath", "PurePath", "PurePosixPath", "WindowsPath", "PureWindowsPath" })
        {
            s_inert[$"pathlib.{path}"] = IsPlain;
            s_inert[$"pathlib._local.{path}"] = IsPlain; // Python 3.13
        }

        // How Python 2's protocols make an object of a plain class.
        foreach (string module in new[] { "copyreg", "copy_reg" })
            s_inert[$"{module}._reconstructor"] = static arguments => arguments is [PickleGlobal made, PickleGlobal, null] && IsInertObject(made);
        foreach (string type in new[]
        {
            "numpy.ndarray", "torch.Tensor", "torch.storage.TypedStorage", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer", "torch.nn.Parameter", "torch.nn.Buffer",
            "torch.strided", "torch.sparse_coo", "torch.sparse_csr", "torch.contiguous_format", "torch.channels_last", "torch.channels_last_3d", "torch.preserve_format",
            "torch.per_tensor_affine", "torch.per_tensor_symmetric", "torch.per_channel_affine", "torch.per_channel_symmetric", "torch.per_channel_affine_float_qparams",
        })
        {
            s_types.Add(type);
        }

        foreach (string type in new[] { "float16", "float32", "float64", "longdouble", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "bool_", "str_", "bytes_", "complex64", "complex128" })
            s_types.Add($"numpy.{type}");
        // Classes of tensors by element type, as weights_only lists them: torch.FloatTensor, torch.sparse.HalfTensor.
        foreach (string device in new[] { "torch", "torch.sparse", "torch.cuda", "torch.cuda.sparse" })
        {
            foreach (string type in new[] { "Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool" })
                s_types.Add($"{device}.{type}Tensor");
        }

        foreach (string type in new[] { "complex32", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2", "quint8", "qint8", "qint32", "quint4x2", "quint2x4" })
            s_elementTypes[type] = null;
        for (int bits = 1; bits < 8; bits++)
        {
            s_elementTypes[$"int{bits}"] = null;
            s_elementTypes[$"uint{bits}"] = null;
        }
    }

    /// <summary>Whether a pickle may mention the name at all.</summary>
    public static bool IsKnown(PickleGlobal name) =>
        s_meanings.ContainsKey(Full(name)) || s_inert.ContainsKey(Full(name)) || s_types.Contains(Full(name)) || IsUntypedStorage(name)
        || (name.Module == "torch" && (s_storages.ContainsKey(name.Name) || s_elementTypes.ContainsKey(name.Name)));

    /// <summary>What calling the name stands for.</summary>
    public static PickleMeaning MeaningOf(PickleGlobal name) =>
        s_meanings.TryGetValue(Full(name), out PickleMeaning meaning) ? meaning : s_inert.ContainsKey(Full(name)) ? PickleMeaning.Inert : PickleMeaning.Type;

    /// <summary>Whether a call of an inert name has the arguments that Python writes for it.</summary>
    public static bool IsCall(PickleGlobal name, object?[] arguments) => s_inert.TryGetValue(Full(name), out Func<object?[], bool>? isCall) && isCall(arguments);

    /// <summary>Whether the name is a class of plain attributes, whose objects are made without arguments.</summary>
    public static bool IsInertObject(PickleGlobal name) => Full(name) is "argparse.Namespace" or "types.SimpleNamespace" or "uuid.UUID";

    /// <summary>Whether the name is the class of a tensor, parameter or buffer, and no other class made of one.</summary>
    public static bool IsTensorClass(PickleGlobal name) =>
        Full(name) is "torch.Tensor" or "torch.nn.parameter.Parameter" or "torch.nn.parameter.Buffer" or "torch.nn.Parameter" or "torch.nn.Buffer";

    /// <summary>A class that a TorchScript archive defines in its own code, which is never read.</summary>
    public static bool IsScriptClass(PickleGlobal name) =>
        name.Module == "__torch__" || name.Module.StartsWith("__torch__.", StringComparison.Ordinal);

    /// <summary>Whether the name is a storage of bytes.</summary>
    public static bool IsUntypedStorage(PickleGlobal name) => name is { Module: "torch.storage", Name: "UntypedStorage" or "_UntypedStorage" };

    /// <summary>Whether the name is a typed storage.</summary>
    public static bool IsStorage(PickleGlobal name) => name.Module == "torch" && s_storages.ContainsKey(name.Name);

    /// <summary>The element type of a typed storage; null where it is not read here.</summary>
    public static ElementType? StorageTypeOf(PickleGlobal name) => name.Module == "torch" ? s_storages.GetValueOrDefault(name.Name) : null;

    /// <summary>The element type that a dtype names; null where it is not read here.</summary>
    public static ElementType? TypeOf(PickleGlobal name) => name.Module == "torch" ? s_elementTypes.GetValueOrDefault(name.Name) : null;

    private static string Full(PickleGlobal name) => $"{name.Module}.{name.Name}";

    // Numbers, text, bytes and values made of them.
    private static bool IsPlain(object?[] arguments) =>
        arguments.Length is >= 1 and <= 64 && Array.TrueForAll(arguments, static argument => argument is null or bool or long or double or string or byte[] or PickleOpaque);
}
