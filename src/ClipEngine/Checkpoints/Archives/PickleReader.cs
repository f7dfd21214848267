using System.Buffers.Binary;
using System.Text;
using System.Text.Unicode;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints.Archives;

/// <summary>
/// Reads the pickles of PyTorch archives with a closed set of opcodes. There is no import mechanism: the few names that are
/// known (<see cref="PickleNames"/>) stand for records made here, every other name is refused, and so is every opcode that could
/// call something.
/// </summary>
/// <remarks>After the comments of CPython's <c>pickletools</c>, protocols 2 to 5. The stack machine does not recurse, so that nesting costs no stack.</remarks>
internal sealed class PickleReader
{
    private const int MaximumOperations = 10_000_000;
    private const int MaximumMemo = 10_000_000;
    private const int MaximumDepth = 500;

    // What the values made so far take in memory, roughly; honest checkpoints stay below a hundredth of it.
    private const long MaximumMemory = 256_000_000;
    private const int ContainerCost = 256;
    private const int ValueCost = 40;
    private const int MaximumRank = 64;

    private readonly byte[] _bytes;
    private readonly string _path;
    private readonly string _member;
    private readonly bool _isScript;
    private readonly List<object?> _stack = [];
    private readonly Stack<int> _marks = [];
    private readonly Dictionary<int, object?> _memo = [];
    private readonly List<PickleTensor> _tensors = [];
    private readonly List<PickleStorage> _storages = [];
    private int _position;
    private int _operations;
    private long _memory;

    private PickleReader(byte[] bytes, string path, string member, bool isScript)
    {
        _bytes = bytes;
        _path = path;
        _member = member;
        _isScript = isScript;
    }

    /// <summary>Reads one pickle, which must fill the bytes.</summary>
    /// <param name="bytes">The member.</param>
    /// <param name="path">The archive, for messages.</param>
    /// <param name="member">The member's name, for messages.</param>
    /// <param name="isScript">Whether objects of TorchScript classes may occur; they stay inert records.</param>
    /// <returns>The value, free of cycles and at most <see cref="MaximumDepth"/> deep, and every tensor and storage that occurs in the pickle.</returns>
    public static PickleContent Read(byte[] bytes, string path, string member, bool isScript)
    {
        var reader = new PickleReader(bytes, path, member, isScript);
        object? value = reader.Run();
        reader.RefuseCycles(value);
        return new PickleContent(value, reader._tensors, reader._storages);
    }

    private object? Run()
    {
        if (TakeByte() != 0x80)
            throw Refuse("does not begin with a protocol number: it is no pickle of protocol 2 or later.");
        byte protocol = TakeByte();
        if (protocol is < 2 or > 5)
            throw Refuse($"is a pickle of protocol {protocol}; 2 to 5 are read.");
        while (true)
        {
            if (++_operations > MaximumOperations || _memory > MaximumMemory)
                throw Refuse($"builds more than any checkpoint needs ({_operations} operations, about {_memory} bytes).", CheckpointError.TooComplex);
            byte operation = TakeByte();
            if (operation == (byte)'.')
                break;
            Execute(operation);
        }

        object? value = Pop();
        if (_stack.Count != 0 || _marks.Count != 0)
            throw Refuse("leaves values behind on its stack.");
        if (_position != _bytes.Length)
            throw Refuse($"goes on for {_bytes.Length - _position} bytes behind its end.");
        return value;
    }

    private void Execute(byte operation)
    {
        switch (operation)
        {
            case 0x95: // FRAME
                Take(8);
                break;
            case (byte)'(': // MARK
                _marks.Push(_stack.Count);
                break;
            case (byte)'0': // POP
                Pop();
                break;
            case (byte)'1': // POP_MARK
                PopToMark();
                break;
            case (byte)'2': // DUP
                Push(Peek());
                break;
            case (byte)'N':
                Push(null);
                break;
            case 0x88: // NEWTRUE
                Push(true);
                break;
            case 0x89: // NEWFALSE
                Push(false);
                break;
            case (byte)'J': // BININT
                Push((long)BinaryPrimitives.ReadInt32LittleEndian(Take(4)));
                break;
            case (byte)'K': // BININT1
                Push((long)TakeByte());
                break;
            case (byte)'M': // BININT2
                Push((long)BinaryPrimitives.ReadUInt16LittleEndian(Take(2)));
                break;
            case 0x8a: // LONG1
                PushInteger(Take(TakeByte()));
                break;
            case 0x8b: // LONG4
                PushInteger(Take(BinaryPrimitives.ReadInt32LittleEndian(Take(4))));
                break;
            case (byte)'G': // BINFLOAT
                Push(BinaryPrimitives.ReadDoubleBigEndian(Take(8)));
                break;
            default:
                if (!ExecuteText(operation) && !ExecuteContainer(operation) && !ExecuteMemo(operation) && !ExecuteObject(operation))
                    throw RefuseOperation(operation);
                break;
        }
    }

    private bool ExecuteText(byte operation)
    {
        switch (operation)
        {
            case (byte)'X': // BINUNICODE
                PushText(Take(BinaryPrimitives.ReadUInt32LittleEndian(Take(4))));
                return true;
            case 0x8c: // SHORT_BINUNICODE
                PushText(Take(TakeByte()));
                return true;
            case 0x8d: // BINUNICODE8
                PushText(Take(BinaryPrimitives.ReadInt64LittleEndian(Take(8))));
                return true;
            case (byte)'U': // SHORT_BINSTRING, Python 2's
                Push(Encoding.Latin1.GetString(Take(TakeByte())));
                return true;
            case (byte)'T': // BINSTRING
                Push(Encoding.Latin1.GetString(Take(BinaryPrimitives.ReadInt32LittleEndian(Take(4)))));
                return true;
            case (byte)'C': // SHORT_BINBYTES
                Push(Take(TakeByte()).ToArray());
                return true;
            case (byte)'B': // BINBYTES
                Push(Take(BinaryPrimitives.ReadUInt32LittleEndian(Take(4))).ToArray());
                return true;
            case 0x8e or 0x96: // BINBYTES8, BYTEARRAY8
                Push(Take(BinaryPrimitives.ReadInt64LittleEndian(Take(8))).ToArray());
                return true;
            default:
                return false;
        }
    }

    private bool ExecuteContainer(byte operation)
    {
        switch (operation)
        {
            case (byte)']' or 0x8f: // EMPTY_LIST, EMPTY_SET
                Push(new PickleList());
                return true;
            case (byte)'l' or 0x91: // LIST, FROZENSET
                object?[] items = PopToMark();
                var list = new PickleList();
                list.Items.AddRange(items);
                Push(list);
                return true;
            case (byte)'a': // APPEND
                object? item = Pop();
                Expect<PickleList>(Peek(), "APPEND").Items.Add(item);
                return true;
            case (byte)'e' or 0x90: // APPENDS, ADDITEMS
                object?[] more = PopToMark();
                Expect<PickleList>(Peek(), "APPENDS").Items.AddRange(more);
                return true;
            case (byte)')': // EMPTY_TUPLE
                Push(new PickleTuple([]));
                return true;
            case (byte)'t': // TUPLE
                Push(new PickleTuple(PopToMark()));
                return true;
            case 0x85 or 0x86 or 0x87: // TUPLE1, TUPLE2, TUPLE3
                object?[] parts = new object?[operation - 0x84];
                for (int i = parts.Length - 1; i >= 0; i--)
                    parts[i] = Pop();
                Push(new PickleTuple(parts));
                return true;
            case (byte)'}': // EMPTY_DICT
                Push(new PickleDictionary());
                return true;
            case (byte)'d': // DICT
                object?[] pairs = PopToMark();
                var dictionary = new PickleDictionary();
                AddPairs(dictionary, pairs);
                Push(dictionary);
                return true;
            case (byte)'s': // SETITEM
                object? value = Pop();
                object? key = Pop();
                AddPairs(Expect<PickleDictionary>(Peek(), "SETITEM"), [key, value]);
                return true;
            case (byte)'u': // SETITEMS
                object?[] entries = PopToMark();
                AddPairs(Expect<PickleDictionary>(Peek(), "SETITEMS"), entries);
                return true;
            default:
                return false;
        }
    }

    private bool ExecuteMemo(byte operation)
    {
        switch (operation)
        {
            case (byte)'q': // BINPUT
                Memorize(TakeByte());
                return true;
            case (byte)'r': // LONG_BINPUT
                Memorize(BinaryPrimitives.ReadUInt32LittleEndian(Take(4)));
                return true;
            case 0x94: // MEMOIZE
                Memorize((uint)_memo.Count);
                return true;
            case (byte)'h': // BINGET
                Recall(TakeByte());
                return true;
            case (byte)'j': // LONG_BINGET
                Recall(BinaryPrimitives.ReadUInt32LittleEndian(Take(4)));
                return true;
            default:
                return false;
        }
    }

    private bool ExecuteObject(byte operation)
    {
        switch (operation)
        {
            case (byte)'c': // GLOBAL
                string module = TakeLine();
                Push(Name(module, TakeLine()));
                return true;
            case 0x93: // STACK_GLOBAL
                string name = Expect<string>(Pop(), "STACK_GLOBAL");
                Push(Name(Expect<string>(Pop(), "STACK_GLOBAL"), name));
                return true;
            case (byte)'R': // REDUCE
                PickleTuple arguments = Expect<PickleTuple>(Pop(), "REDUCE");
                Push(Record(Expect<PickleGlobal>(Pop(), "REDUCE"), arguments.Items));
                return true;
            case 0x81: // NEWOBJ
                if (Expect<PickleTuple>(Pop(), "NEWOBJ").Items.Length != 0)
                    throw Refuse("makes an object with arguments.", CheckpointError.ForbiddenPickle);
                PickleGlobal type = Expect<PickleGlobal>(Pop(), "NEWOBJ");
                if (PickleNames.IsScriptClass(type))
                    Push(new PickleObject(type));
                else if (PickleNames.IsInertObject(type))
                    Push(new PickleOpaque(type));
                else
                    throw Refuse($"makes an object of {type}.", CheckpointError.ForbiddenPickle);
                return true;
            case (byte)'b': // BUILD
                Build();
                return true;
            case (byte)'Q': // BINPERSID
                Push(Storage(Expect<PickleTuple>(Pop(), "BINPERSID").Items));
                return true;
            default:
                return false;
        }
    }

    private PickleGlobal Name(string module, string name)
    {
        var global = new PickleGlobal(module, name);
        if (PickleNames.IsKnown(global) || (_isScript && PickleNames.IsScriptClass(global)))
            return global;
        if (module == "deepspeed" || module.StartsWith("deepspeed.", StringComparison.Ordinal))
            throw ForeignCheckpoints.Zero(_path, $"asks for {global}: a piece of a checkpoint of DeepSpeed, not its weights");
        throw new CheckpointException(_path, CheckpointError.ForbiddenPickle, $"member '{_member}' asks for {global}, which is neither a tensor nor a plain value. Nothing was called.",
            "If the source is trusted, load the file with PyTorch and save only its state_dict.");
    }

    private object Record(PickleGlobal callable, object?[] arguments)
    {
        switch (PickleNames.MeaningOf(callable))
        {
            // The factory of a default dictionary makes nothing here.
            case PickleMeaning.Dictionary when arguments.Length == 0 || (callable.Name == "defaultdict" && arguments is [PickleGlobal or null]):
                return new PickleDictionary();
            case PickleMeaning.Counter when arguments is [PickleDictionary dictionary]:
                return dictionary;
            case PickleMeaning.Tensor when arguments.Length >= 4:
                return Tensor(arguments, type: null, attributes: arguments.ElementAtOrDefault(6));
            case PickleMeaning.TypedTensor when arguments.Length >= 7 && arguments[6] is PickleGlobal type:
                return Tensor(arguments, type, attributes: arguments.ElementAtOrDefault(7));
            case PickleMeaning.Parameter when arguments.Length >= 1 && arguments[0] is PickleUnreadable:
                return arguments[0]!;
            case PickleMeaning.Parameter when arguments.Length >= 1:
                return Expect<PickleTensor>(arguments[0], "a parameter");
            case PickleMeaning.Subclass when arguments is [PickleGlobal rebuild, PickleGlobal made, PickleTuple inner, ..] && IsRebuild(rebuild):
                return PickleNames.IsTensorClass(made) ? Record(rebuild, inner.Items) : new PickleUnreadable($"a tensor of the class {made}");
            case PickleMeaning.Sequence when arguments.Length == 1 && arguments[0] is PickleTuple or PickleList:
                return arguments[0]!;
            case PickleMeaning.Tagged when arguments.Length == 2 && arguments[0] is PickleContainer && arguments[1] is string:
                return arguments[0]!;
            case PickleMeaning.Text when arguments.Length >= 1 && arguments[0] is string text:
                return text;
            case PickleMeaning.Bytes when arguments.Length == 0:
                return Array.Empty<byte>();
            case PickleMeaning.Bytes when arguments is [byte[] bytes]:
                return bytes;
            case PickleMeaning.Bytes when arguments is [string text, string]:
                return Encoding.Latin1.GetBytes(text);
            case PickleMeaning.Unsupported:
                return new PickleUnreadable(callable.ToString());
            case PickleMeaning.Inert when PickleNames.IsCall(callable, arguments):
                return new PickleOpaque(callable);
            default:
                throw Refuse($"calls {callable} with {arguments.Length} arguments that do not belong to it.", CheckpointError.ForbiddenPickle);
        }
    }

    private static bool IsRebuild(PickleGlobal name) =>
        PickleNames.MeaningOf(name) is PickleMeaning.Tensor or PickleMeaning.TypedTensor or PickleMeaning.Parameter or PickleMeaning.Unsupported;

    private void Build()
    {
        object? state = Pop();
        switch (Peek())
        {
            // A state dict's own attributes (_metadata): versions of modules, which no weight depends on.
            case PickleDictionary when state is PickleDictionary:
                break;
            // What a plain value holds, nobody reads.
            case PickleOpaque:
                break;
            case PickleObject { State: null } instance when state is PickleDictionary attributes:
                instance.State = attributes;
                break;
            case var target:
                throw Refuse($"sets the state of {Describe(target)} to {Describe(state)}.", CheckpointError.ForbiddenPickle);
        }
    }

    private PickleStorage Storage(object?[] id)
    {
        bool isStorage = id.Length == 5 && id[0] is string and "storage" && id[1] is PickleGlobal && id[2] is string && id[3] is string && id[4] is long;
        if (!isStorage)
            throw Refuse("refers to something outside that is no storage.", CheckpointError.ForbiddenPickle);
        var type = (PickleGlobal)id[1]!;
        string key = (string)id[2]!;
        long length = (long)id[4]!;
        ElementType? elementType = PickleNames.StorageTypeOf(type);
        bool isUntyped = PickleNames.IsUntypedStorage(type);
        if (!isUntyped && !PickleNames.IsStorage(type))
            throw Refuse($"has a storage of {type}, which is no type of storage.", CheckpointError.ForbiddenPickle);
        if (length < 0 || length > SafetensorsFormat.MaximumSize)
            throw Refuse($"has a storage of {length} elements.", CheckpointError.InvalidStorage);
        if (key.Length is 0 or > 20 || !key.All(char.IsAsciiDigit))
            throw Refuse($"has a storage named '{BadInputException.Escape(key, 40)}'; storages are numbered.", CheckpointError.InvalidStorage);
        var storage = new PickleStorage(elementType, key, length, isUntyped || elementType is not null ? null : type.ToString());
        _storages.Add(storage);
        return storage;
    }

    private object Tensor(object?[] arguments, PickleGlobal? type, object? attributes)
    {
        PickleStorage storage = Expect<PickleStorage>(arguments[0], "a tensor");
        if (arguments[1] is not long offset || arguments[2] is not PickleTuple sizes || arguments[3] is not PickleTuple strides)
            throw Refuse("has a tensor without offset, sizes and strides.");
        (long[] shape, long[] steps) = (Numbers(sizes), Numbers(strides));
        if (storage.Unread is { } unread)
            return new PickleUnreadable($"a tensor in a storage of type {unread}");
        if ((type is null) == (storage.Type is null))
            throw Refuse("has a tensor whose type is given twice or not at all.");
        if ((type is null ? storage.Type : PickleNames.TypeOf(type)) is not { } elementType)
            return new PickleUnreadable($"a tensor of type {type}");
        bool isNegative = false;
        foreach ((object? key, object? value) in (attributes as PickleDictionary)?.Items ?? [])
        {
            if (value is false)
                continue;
            if (key is not "neg" || value is not true)
                return new PickleUnreadable($"a tensor with the attribute '{BadInputException.Escape(key as string ?? "?", 40)}' set");
            isNegative = true;
        }

        if (isNegative && elementType == ElementType.Boolean)
            return new PickleUnreadable("a negative truth value");
        var tensor = new PickleTensor(storage, elementType, offset, shape, steps, isNegative);
        _tensors.Add(tensor);
        return tensor;
    }

    private long[] Numbers(PickleTuple tuple)
    {
        if (tuple.Items.Length > MaximumRank)
            throw Refuse($"has a tensor of {tuple.Items.Length} dimensions; at most {MaximumRank} are read.", CheckpointError.InvalidShape);
        long[] numbers = new long[tuple.Items.Length];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (tuple.Items[i] is not long number || number < 0 || number > SafetensorsFormat.MaximumSize)
                throw Refuse("has a tensor with a size or stride that is no number from 0 to 2^48.", CheckpointError.InvalidStorage);
            numbers[i] = number;
        }

        return numbers;
    }

    private void AddPairs(PickleDictionary dictionary, object?[] pairs)
    {
        if (pairs.Length % 2 != 0)
            throw Refuse("has a dictionary with a key and no value.");
        for (int i = 0; i < pairs.Length; i += 2)
        {
            if (!dictionary.TryAdd(pairs[i], pairs[i + 1]))
            {
                throw new CheckpointException(_path, CheckpointError.DuplicateKey,
                    $"member '{_member}' has the key '{BadInputException.Escape((string)pairs[i]!, 80)}' twice in one dictionary.", "No honest program writes this: get the file again from its source.");
            }
        }
    }

    private void PushText(ReadOnlySpan<byte> bytes)
    {
        // Python keeps lone surrogates ("surrogatepass"); a key that is no text is refused instead.
        if (!Utf8.IsValid(bytes))
            throw Refuse("has text that is not UTF-8.");
        Push(Encoding.UTF8.GetString(bytes));
    }

    private void PushInteger(ReadOnlySpan<byte> bytes)
    {
        // Two's complement, little-endian. Numbers beyond 64 bits (seeds) are kept as bytes: nothing reads them.
        if (bytes.Length > 8)
        {
            Push(bytes.ToArray());
            return;
        }

        long value = bytes.Length > 0 && (bytes[^1] & 0x80) != 0 ? -1 : 0;
        for (int i = bytes.Length - 1; i >= 0; i--)
            value = (value << 8) | bytes[i];
        Push(value);
    }

    private void Memorize(uint index)
    {
        if (index > MaximumMemo)
            throw Refuse($"memorizes a value under the number {index}.", CheckpointError.TooComplex);
        _memo[(int)index] = Peek();
    }

    private void Recall(uint index)
    {
        if (index > int.MaxValue || !_memo.TryGetValue((int)index, out object? value))
            throw Refuse($"recalls value {index}, which was never memorized.");
        Push(value);
    }

    private void Push(object? value)
    {
        _memory += value switch
        {
            string text => ValueCost + 2L * text.Length,
            byte[] bytes => ValueCost + (long)bytes.Length,
            PickleTuple tuple => ContainerCost + 8L * tuple.Items.Length,
            PickleContainer => ContainerCost,
            _ => ValueCost,
        };
        _stack.Add(value);
    }

    private object? Peek() => _stack.Count > Floor ? _stack[^1] : throw Refuse("takes a value from an empty stack.");

    private object? Pop()
    {
        object? value = Peek();
        _stack.RemoveAt(_stack.Count - 1);
        return value;
    }

    // Nothing below the last mark may be taken away, or the mark would stand for something else.
    private int Floor => _marks.Count > 0 ? _marks.Peek() : 0;

    private object?[] PopToMark()
    {
        if (_marks.Count == 0)
            throw Refuse("goes back to a mark that was never set.");
        int mark = _marks.Pop();
        object?[] items = [.. _stack[mark..]];
        _stack.RemoveRange(mark, _stack.Count - mark);
        return items;
    }

    private T Expect<T>(object? value, string operation)
        where T : class => value as T ?? throw Refuse($"has a wrong value for {operation}: {Describe(value)}.");

    private byte TakeByte() => _position < _bytes.Length ? _bytes[_position++] : throw Refuse("ends before its STOP.", CheckpointError.Truncated);

    private ReadOnlySpan<byte> Take(long length)
    {
        if (length < 0 || length > _bytes.Length - _position)
            throw Refuse($"has an operand of {length} bytes where {_bytes.Length - _position} are left.", CheckpointError.Truncated);
        ReadOnlySpan<byte> bytes = _bytes.AsSpan(_position, (int)length);
        _position += (int)length;
        return bytes;
    }

    private string TakeLine()
    {
        const int Longest = 1000;
        int length = _bytes.AsSpan(_position).IndexOf((byte)'\n');
        if (length is < 0 or > Longest)
            throw Refuse("has a name without end.");
        ReadOnlySpan<byte> line = Take(length);
        _position++;
        return Utf8.IsValid(line) ? Encoding.UTF8.GetString(line) : throw Refuse("has a name that is not UTF-8.");
    }

    /// <summary>Walks the finished value without recursion: a container on the way down that is met again is a cycle.</summary>
    private void RefuseCycles(object? root)
    {
        var finished = new HashSet<object>(ReferenceEqualityComparer.Instance);
        var open = new HashSet<object>(ReferenceEqualityComparer.Instance);
        var path = new Stack<(PickleContainer Container, IEnumerator<object?> Children)>();
        Enter(root);
        while (path.Count > 0)
        {
            (PickleContainer container, IEnumerator<object?> children) = path.Peek();
            if (children.MoveNext())
            {
                Enter(children.Current);
            }
            else
            {
                path.Pop();
                open.Remove(container);
                finished.Add(container);
            }
        }

        void Enter(object? value)
        {
            if (value is not PickleContainer container || finished.Contains(container))
                return;
            if (!open.Add(container))
                throw Refuse("holds a value that contains itself.", CheckpointError.TooComplex);
            if (path.Count == MaximumDepth)
                throw Refuse($"is nested more than {MaximumDepth} deep.", CheckpointError.TooComplex);
            path.Push((container, container.Children.GetEnumerator()));
        }
    }

    private static string Describe(object? value) => value switch
    {
        null => "None",
        bool => "a truth value",
        long => "an integer",
        double => "a float",
        string => "a string",
        byte[] => "bytes",
        PickleList => "a list",
        PickleTuple => "a tuple",
        PickleDictionary => "a dictionary",
        PickleObject instance => $"an object of {instance.Type}",
        PickleGlobal global => global.ToString(),
        PickleStorage => "a storage",
        PickleOpaque opaque => $"a value of {opaque.Type}",
        PickleUnreadable unreadable => unreadable.What,
        _ => "a tensor",
    };

    private CheckpointException RefuseOperation(byte operation)
    {
        string? calling = operation switch
        {
            (byte)'i' => "INST",
            (byte)'o' => "OBJ",
            0x92 => "NEWOBJ_EX",
            0x82 or 0x83 or 0x84 => "EXT",
            (byte)'P' => "PERSID",
            _ => null,
        };
        return calling is null
            ? Refuse($"has the operation 0x{operation:x2} at byte {_position - 1}, which PyTorch does not write.")
            : Refuse($"has the operation {calling} at byte {_position - 1}, which can call things. Nothing was called.", CheckpointError.ForbiddenPickle);
    }

    private CheckpointException Refuse(string problem, CheckpointError error = CheckpointError.InvalidPickle) =>
        new(_path, error, $"member '{_member}' {problem}", "The file is damaged or was made to deceive: get it again from its source.");
}

/// <summary>What a pickle holds.</summary>
/// <param name="Value">Its one value.</param>
/// <param name="Tensors">Every tensor that occurs in it, wherever.</param>
/// <param name="Storages">Every storage that it refers to.</param>
internal sealed record PickleContent(object? Value, IReadOnlyList<PickleTensor> Tensors, IReadOnlyList<PickleStorage> Storages);
