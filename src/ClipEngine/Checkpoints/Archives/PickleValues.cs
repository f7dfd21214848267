using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints.Archives;

/// <summary>
/// What a pickle may hold here: null, bool, long, double, string, byte[] and these records. None of them can do anything;
/// a name is a pair of strings and is never looked up.
/// </summary>
internal abstract class PickleContainer
{
    /// <summary>The values directly inside.</summary>
    public abstract IEnumerable<object?> Children { get; }
}

/// <summary>A list or a set.</summary>
internal sealed class PickleList : PickleContainer
{
    public List<object?> Items { get; } = [];

    public override IEnumerable<object?> Children => Items;
}

/// <summary>A tuple.</summary>
internal sealed class PickleTuple(object?[] items) : PickleContainer
{
    public object?[] Items { get; } = items;

    public override IEnumerable<object?> Children => Items;
}

/// <summary>A dictionary, ordered as written. Keys that are not strings are kept, but nothing looks for them.</summary>
internal sealed class PickleDictionary : PickleContainer
{
    private readonly HashSet<string> _names = [];

    public List<(object? Key, object? Value)> Items { get; } = [];

    public override IEnumerable<object?> Children => Items.SelectMany(static item => new[] { item.Key, item.Value });

    /// <summary>Adds an entry; false where the key, a string, is there already.</summary>
    public bool TryAdd(object? key, object? value)
    {
        if (key is string name && !_names.Add(name))
            return false;
        Items.Add((key, value));
        return true;
    }

    public bool TryGet(string name, out object? value)
    {
        foreach ((object? key, object? found) in Items)
        {
            if (key is string text && text == name)
            {
                value = found;
                return true;
            }
        }

        value = null;
        return false;
    }
}

/// <summary>The name of something in Python: two strings.</summary>
internal sealed record PickleGlobal(string Module, string Name)
{
    public override string ToString() => BadInputException.Escape($"{Module}.{Name}", 120);
}

/// <summary>An object of a TorchScript class: the class's name and the object's attributes.</summary>
internal sealed class PickleObject(PickleGlobal type) : PickleContainer
{
    public PickleGlobal Type { get; } = type;

    public PickleDictionary? State { get; set; }

    public override IEnumerable<object?> Children => State is null ? [] : [State];
}

/// <summary>A value that nobody reads: a NumPy array, a date, a path. Its content is not kept.</summary>
internal sealed record PickleOpaque(PickleGlobal Type);

/// <summary>A tensor of a kind that is known and not read here; whoever needs it says so.</summary>
/// <param name="What">What it is, for messages.</param>
internal sealed record PickleUnreadable(string What);

/// <summary>A storage as a persistent id names it.</summary>
/// <param name="Type">The element type; null for an untyped storage, which tensors give their type, and for one that is not read here.</param>
/// <param name="Key">The member below <c>data/</c>.</param>
/// <param name="Length">Elements, or bytes where it is untyped.</param>
/// <param name="Unread">The name of a type that is not read here; else null.</param>
internal sealed record PickleStorage(ElementType? Type, string Key, long Length, string? Unread = null);

/// <summary>A tensor: a view of a storage.</summary>
/// <param name="Storage">Where its elements lie.</param>
/// <param name="Type">Its element type.</param>
/// <param name="Offset">The first element.</param>
/// <param name="Sizes">Sizes, outermost first.</param>
/// <param name="Strides">Elements from one index to the next, for each dimension.</param>
/// <param name="IsNegative">Whether the values are minus what is stored: PyTorch's negative bit.</param>
internal sealed record PickleTensor(PickleStorage Storage, ElementType Type, long Offset, long[] Sizes, long[] Strides, bool IsNegative);
