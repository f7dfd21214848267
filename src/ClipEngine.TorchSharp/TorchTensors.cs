using System.Runtime.InteropServices;
using ClipEngine.Tensors;
using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp;

/// <summary>Carries values between memory and TorchSharp tensors.</summary>
internal static unsafe class TorchTensors
{
    /// <summary>Bytes that pass through the host at a time on their way to another device.</summary>
    private const int StagingBytes = 64 << 20;

    /// <summary>TorchSharp's name of an element type.</summary>
    /// <exception cref="NotSupportedException">libtorch has no such type.</exception>
    public static torch.ScalarType ScalarTypeOf(ElementType type) => type switch
    {
        ElementType.Boolean => torch.ScalarType.Bool,
        ElementType.UInt8 => torch.ScalarType.Byte,
        ElementType.Int8 => torch.ScalarType.Int8,
        ElementType.Int16 => torch.ScalarType.Int16,
        ElementType.Int32 => torch.ScalarType.Int32,
        ElementType.Int64 => torch.ScalarType.Int64,
        ElementType.Float16 => torch.ScalarType.Float16,
        ElementType.BFloat16 => torch.ScalarType.BFloat16,
        ElementType.Float32 => torch.ScalarType.Float32,
        ElementType.Float64 => torch.ScalarType.Float64,
        _ => throw new NotSupportedException($"libtorch has no {type}."),
    };

    /// <summary>Our name of an element type.</summary>
    /// <exception cref="NotSupportedException">A complex or quantised type.</exception>
    public static ElementType ElementTypeOf(torch.ScalarType type) => type switch
    {
        torch.ScalarType.Bool => ElementType.Boolean,
        torch.ScalarType.Byte => ElementType.UInt8,
        torch.ScalarType.Int8 => ElementType.Int8,
        torch.ScalarType.Int16 => ElementType.Int16,
        torch.ScalarType.Int32 => ElementType.Int32,
        torch.ScalarType.Int64 => ElementType.Int64,
        torch.ScalarType.Float16 => ElementType.Float16,
        torch.ScalarType.BFloat16 => ElementType.BFloat16,
        torch.ScalarType.Float32 => ElementType.Float32,
        torch.ScalarType.Float64 => ElementType.Float64,
        _ => throw new NotSupportedException($"A checkpoint cannot hold {type}."),
    };

    /// <summary>The sizes as TorchSharp takes them.</summary>
    public static long[] Sizes(in Shape shape)
    {
        long[] sizes = new long[shape.Rank];
        for (int i = 0; i < sizes.Length; i++)
            sizes[i] = shape[i];
        return sizes;
    }

    /// <summary>
    /// Copies a stored tensor from where it lies, a mapped file, into the device's own memory. Nothing of it is ever held on the
    /// managed heap, and a tensor for another device passes through the host in pieces.
    /// </summary>
    /// <returns>A new tensor of the stored type, in the dispose scope of the caller.</returns>
    public static TorchTensor FromMemory(nint address, ReadOnlySpan<long> sizes, ElementType type, torch.Device device)
    {
        torch.ScalarType scalar = ScalarTypeOf(type);
        TorchTensor tensor = torch.empty(sizes.ToArray(), scalar, device);
        long count = tensor.numel();
        if (count == 0)
            return tensor;
        int size = type.SizeInBytes();
        long piece = StagingBytes / size;
        using DisposeScope scope = torch.NewDisposeScope();
        TorchTensor flat = tensor.reshape(count); // a view: the memory is new and contiguous
        for (long first = 0; first < count; first += piece)
        {
            long length = Math.Min(piece, count - first);
            TorchTensor part = flat.narrow(0, first, length);
            TorchTensor host = device.type == DeviceType.CPU ? part : torch.empty(length, scalar);
            new ReadOnlySpan<byte>((byte*)address + (first * size), (int)(length * size)).CopyTo(host.bytes);
            if (device.type != DeviceType.CPU)
                part.copy_(host);
            scope.DisposeEverythingBut(flat);
        }

        return tensor;
    }

    /// <summary>The address of a contiguous tensor's first byte in the host's memory, valid as long as the tensor is.</summary>
    public static nint AddressOf(TorchTensor tensor)
    {
        if (tensor.numel() == 0)
            return 0;
        // The bytes of one element: a span cannot cover a tensor beyond 2 GiB.
        using DisposeScope scope = torch.NewDisposeScope();
        return (nint)System.Runtime.CompilerServices.Unsafe.AsPointer(ref MemoryMarshal.GetReference(tensor.reshape(-1).narrow(0, 0, 1).bytes));
    }
}
