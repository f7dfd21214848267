using System.Runtime.InteropServices;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>Small tensors of a checkpoint as arrays; weights go through <see cref="WeightReader"/>.</summary>
public static class CheckpointExtensions
{
    /// <summary>A floating-point tensor as fp32, row-major.</summary>
    /// <exception cref="CheckpointException">No such tensor, one of another type, or one too large for an array.</exception>
    public static float[] ReadSingles(this ICheckpoint checkpoint, string name)
    {
        StoredTensor tensor = Find(checkpoint, name, static type => type.IsFloatingPoint(), "a floating-point tensor");
        float[] values = new float[tensor.ElementCount];
        using TensorBytes bytes = checkpoint.Borrow(name);
        ElementConversion.ToSingle(bytes.Slice(0, (int)bytes.ByteLength), tensor.Type, values);
        return values;
    }

    /// <summary>An I64 tensor, row-major.</summary>
    /// <exception cref="CheckpointException">No such tensor, one of another type, or one too large for an array.</exception>
    public static long[] ReadInt64s(this ICheckpoint checkpoint, string name)
    {
        StoredTensor tensor = Find(checkpoint, name, static type => type == ElementType.Int64, "I64");
        using TensorBytes bytes = checkpoint.Borrow(name);
        return MemoryMarshal.Cast<byte, long>(bytes.Slice(0, (int)tensor.ByteLength)).ToArray();
    }

    private static StoredTensor Find(ICheckpoint checkpoint, string name, Predicate<ElementType> isWanted, string wanted)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        if (!checkpoint.Tensors.TryGetValue(name, out StoredTensor tensor))
            throw new CheckpointException(checkpoint.Path, CheckpointError.DoesNotFit, $"tensor '{BadInputException.Escape(name, 80)}' is missing.");
        if (!isWanted(tensor.Type))
            throw new CheckpointException(checkpoint.Path, CheckpointError.DoesNotFit, $"tensor '{BadInputException.Escape(name, 80)}': expected {wanted}, found {tensor}.");
        return tensor.ByteLength <= int.MaxValue
            ? tensor
            : throw new CheckpointException(checkpoint.Path, CheckpointError.DoesNotFit, $"tensor '{BadInputException.Escape(name, 80)}' is too large for an array: {tensor}.");
    }
}
