using System.Collections.Immutable;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints.Layouts;

/// <summary>A checkpoint under other names. Tensors that only change their name are lent as they are; the others are made when borrowed.</summary>
internal sealed class MappedCheckpoint : ICheckpoint, IHasTensorsInFiles
{
    private readonly ICheckpoint _source;
    private readonly Dictionary<string, Recipe> _recipes = [];
    private readonly Dictionary<string, StoredTensor> _tensors = [];

    private readonly IReadOnlyList<string> _notices;

    private MappedCheckpoint(ICheckpoint source, IReadOnlyList<string> notices) => (_source, _notices) = (source, notices);

    /// <summary>What is named anew.</summary>
    internal ICheckpoint Source => _source;

    /// <summary>How every tensor is made.</summary>
    internal IReadOnlyCollection<Recipe> Recipes => _recipes.Values;

    public string Path => _source.Path;

    public IReadOnlyDictionary<string, StoredTensor> Tensors => _tensors;

    public IReadOnlyDictionary<string, string> Metadata => _source.Metadata;

    public string Format => _source.Format;

    public IReadOnlyList<string> Notices => [.. _source.Notices, .. _notices];

    /// <summary>Names the tensors anew.</summary>
    /// <param name="source">Owned by the result from here on.</param>
    /// <param name="recipes">Every tensor of the new checkpoint.</param>
    /// <param name="notices">What is to be said of it.</param>
    public static MappedCheckpoint Create(ICheckpoint source, IEnumerable<Recipe> recipes, params IReadOnlyList<string> notices)
    {
        var checkpoint = new MappedCheckpoint(source, notices);
        foreach (Recipe recipe in recipes)
        {
            if (!checkpoint._recipes.TryAdd(recipe.Name, recipe))
            {
                throw new CheckpointException(source.Path, CheckpointError.Ambiguous,
                    $"holds '{BadInputException.Escape(recipe.Name, 80)}' in two layouts at once.", "Keep one of them only.");
            }

            checkpoint._tensors.Add(recipe.Name, Describe(source, recipe));
        }

        return checkpoint;
    }

    public static MappedCheckpoint Without(ICheckpoint source, IReadOnlyCollection<string> dropped) =>
        Create(source, source.Tensors.Keys.Where(key => !dropped.Contains(key)).Select(static key => new Recipe.Rename(key, key)));

    public TensorBytes Borrow(string name) => _recipes[name] switch
    {
        Recipe.Transpose recipe => Transpose(recipe.Source),
        Recipe.Join recipe => Join(recipe.Sources),
        Recipe.Part recipe => Part(recipe),
        Recipe.Rename recipe => _source.Borrow(recipe.Source),
        _ => throw new InvalidOperationException(),
    };

    public TensorPlace? Locate(string name) => _recipes[name] is Recipe.Rename recipe && _source is IHasTensorsInFiles files ? files.Locate(recipe.Source) : null;

    public void Dispose() => _source.Dispose();

    private static StoredTensor Describe(ICheckpoint source, Recipe recipe)
    {
        switch (recipe)
        {
            case Recipe.Rename rename:
                return source.Tensors[rename.Source] with { Name = recipe.Name };
            case Recipe.Transpose transpose:
                StoredTensor matrix = source.Tensors[transpose.Source];
                ImmutableArray<long> size = matrix.Dimensions.Length == 2
                    ? [matrix.Dimensions[1], matrix.Dimensions[0]]
                    : throw Refuse(source, transpose.Source, matrix, "a matrix");
                return matrix with { Name = recipe.Name, Dimensions = size };
            case Recipe.Join join:
                StoredTensor first = source.Tensors[join.Sources[0]];
                return first with
                {
                    Name = recipe.Name,
                    Dimensions = first.Dimensions.SetItem(0, checked(first.Dimensions[0] * join.Sources.Length)),
                    ByteLength = checked(first.ByteLength * join.Sources.Length),
                };
            case Recipe.Part part:
                StoredTensor whole = source.Tensors[part.Source];
                if (whole.Dimensions.Length == 0 || whole.Dimensions[0] % part.Count != 0)
                    throw Refuse(source, part.Source, whole, $"an outermost dimension that divides by {part.Count}");
                return whole with { Name = recipe.Name, Dimensions = whole.Dimensions.SetItem(0, whole.Dimensions[0] / part.Count), ByteLength = whole.ByteLength / part.Count };
            default:
                throw new InvalidOperationException();
        }
    }

    private static CheckpointException Refuse(ICheckpoint source, string key, StoredTensor tensor, string expected) =>
        new(source.Path, CheckpointError.DoesNotFit, $"tensor '{BadInputException.Escape(key, 80)}': expected {expected}, found {tensor}.");

    private TensorBytes Part(Recipe.Part part)
    {
        TensorBytes whole = _source.Borrow(part.Source);
        long length = whole.ByteLength / part.Count;
        return new TensorBytes(whole.Address + (nint)(length * part.Index), length, whole.Dispose);
    }

    private unsafe TensorBytes Join(string[] sources)
    {
        long length = _source.Tensors[sources[0]].ByteLength;
        TensorBytes joined = TensorBytes.Allocate(length * sources.Length);
        try
        {
            for (int i = 0; i < sources.Length; i++)
            {
                using TensorBytes part = _source.Borrow(sources[i]);
                Buffer.MemoryCopy((void*)part.Address, (byte*)joined.Address + i * length, length, length);
            }

            return joined;
        }
        catch
        {
            joined.Dispose();
            throw;
        }
    }

    private unsafe TensorBytes Transpose(string source)
    {
        StoredTensor tensor = _source.Tensors[source];
        using TensorBytes bytes = _source.Borrow(source);
        TensorBytes transposed = TensorBytes.Allocate(bytes.ByteLength);
        (nint from, nint to) = (bytes.Address, transposed.Address);
        long rows = tensor.Dimensions[0];
        long columns = tensor.Dimensions[1];
        switch (tensor.Type.SizeInBytes())
        {
            case 1:
                Transpose((byte*)from, (byte*)to, rows, columns);
                break;
            case 2:
                Transpose((ushort*)from, (ushort*)to, rows, columns);
                break;
            case 4:
                Transpose((uint*)from, (uint*)to, rows, columns);
                break;
            default:
                Transpose((ulong*)from, (ulong*)to, rows, columns);
                break;
        }

        return transposed;
    }

    // In tiles, so that neither side strides through memory a page at a time.
    private static unsafe void Transpose<T>(T* source, T* destination, long rows, long columns)
        where T : unmanaged
    {
        const long Tile = 32;
        for (long rowStart = 0; rowStart < rows; rowStart += Tile)
        {
            long rowEnd = Math.Min(rows, rowStart + Tile);
            for (long columnStart = 0; columnStart < columns; columnStart += Tile)
            {
                long columnEnd = Math.Min(columns, columnStart + Tile);
                for (long row = rowStart; row < rowEnd; row++)
                {
                    for (long column = columnStart; column < columnEnd; column++)
                        destination[column * rows + row] = source[row * columns + column];
                }
            }
        }
    }
}
