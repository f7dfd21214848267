using System.Buffers.Binary;
using System.Runtime.InteropServices;
using ClipEngine.Checkpoints;
using ClipEngine.Tensors;

namespace ClipEngine.Audit.Balancing;

/// <summary>Attributes as tensors of a safetensors file, one of the attribute's name for each, <c>[rows]</c> or <c>[rows, 1]</c>; NaN is missing. A block of rows at a time is in memory.</summary>
/// <param name="path">The file.</param>
internal sealed class TensorAttributes(string path) : AttributeTable(path)
{
    private const int BlockRows = 1 << 16;

    /// <inheritdoc/>
    public override void Read(IReadOnlyList<string> attributes, string? utility, Action<double[]> visit, CancellationToken cancellation)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path);
        StoredTensor[] tensors = [.. attributes.Concat(utility is null ? [] : [utility]).Select(name => Find(file, name))];
        long rows = tensors[0].ElementCount;
        foreach (StoredTensor tensor in tensors)
        {
            if (tensor.ElementCount != rows)
                throw new BadInputException(Path, $"'{BadInputException.Escape(tensor.Name, 60)}' has {tensor.ElementCount} rows, '{BadInputException.Escape(tensors[0].Name, 60)}' has {rows}.", "All attributes need a value for each example; NaN is a missing one.");
        }

        if (rows == 0)
            throw NoRows();
        double[][] blocks = [.. tensors.Select(static _ => new double[BlockRows])];
        var row = new double[attributes.Count + 1];
        for (long first = 0; first < rows; first += BlockRows)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = (int)Math.Min(BlockRows, rows - first);
            for (int tensor = 0; tensor < tensors.Length; tensor++)
                Load(file, tensors[tensor], first, blocks[tensor].AsSpan(0, count));
            for (int index = 0; index < count; index++)
            {
                for (int i = 0; i < attributes.Count; i++)
                {
                    row[i] = blocks[i][index];
                    if (!IsAttribute(row[i]))
                        throw NoAttribute($"row {first + index}, tensor '{attributes[i]}'", row[i]);
                }

                row[^1] = utility is null ? 1 : blocks[^1][index];
                if (!IsUtility(row[^1]))
                    throw NoUtility($"row {first + index}, tensor '{utility}'", row[^1]);
                visit(row);
            }
        }
    }

    /// <summary>Nothing: tensors name no examples. <c>repeats.csv</c> says how often each row shall be seen.</summary>
    public override void WriteExamples(IEnumerable<long> times, string directory, CancellationToken cancellation)
    {
    }

    private StoredTensor Find(SafetensorsFile file, string name)
    {
        if (!file.Tensors.TryGetValue(name, out StoredTensor tensor))
            throw new BadInputException(Path, $"there is no tensor '{BadInputException.Escape(name)}'; there are {string.Join(", ", file.Tensors.Keys.Take(30).Select(static key => $"'{BadInputException.Escape(key, 60)}'"))}.", "Name one of them (case matters).");
        return tensor.Dimensions.Length == 1 || (tensor.Dimensions.Length == 2 && tensor.Dimensions[1] == 1) ? tensor
            : throw new BadInputException(Path, $"'{BadInputException.Escape(name, 60)}' is {tensor}; [rows] or [rows, 1] was expected.", "Store each attribute as a tensor of its own.");
    }

    private void Load(SafetensorsFile file, StoredTensor tensor, long first, Span<double> values)
    {
        int size = tensor.Type.SizeInBytes();
        byte[] bytes = new byte[values.Length * size];
        file.Read(tensor.Name, first * size, bytes);
        for (int i = 0; i < values.Length; i++)
        {
            ReadOnlySpan<byte> element = bytes.AsSpan(i * size, size);
            values[i] = tensor.Type switch
            {
                ElementType.Float16 => (double)BinaryPrimitives.ReadHalfLittleEndian(element),
                ElementType.BFloat16 => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(element) << 16),
                ElementType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(element),
                ElementType.Float64 => BinaryPrimitives.ReadDoubleLittleEndian(element),
                ElementType.Boolean or ElementType.UInt8 => element[0],
                ElementType.Int8 => (sbyte)element[0],
                ElementType.Int16 => BinaryPrimitives.ReadInt16LittleEndian(element),
                ElementType.UInt16 => BinaryPrimitives.ReadUInt16LittleEndian(element),
                ElementType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(element),
                ElementType.UInt32 => BinaryPrimitives.ReadUInt32LittleEndian(element),
                ElementType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(element),
                ElementType.UInt64 => BinaryPrimitives.ReadUInt64LittleEndian(element),
                _ => throw new BadInputException(Path, $"'{BadInputException.Escape(tensor.Name, 60)}' is of {tensor.Type}; numbers or truth values were expected.", "Store it in another type."),
            };
        }
    }
}
