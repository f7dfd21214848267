using System.Collections.Immutable;
using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ClipEngine.Native;
using ClipEngine.Tensors;
using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Files;

/// <summary>
/// An open NumPy <c>.npy</c> file (format versions 1, 2 and 3). The header is checked against the file's length when it is opened;
/// elements are read on demand, so that a file may be larger than memory.
/// </summary>
/// <remarks>
/// Elements come out little-endian and row-major (C order), however they are stored: big-endian ones are turned as they are read, a file
/// in Fortran order is brought into memory as a whole.
/// Reading is thread-safe: every read names its position. NumPy has no bfloat16; such features travel as safetensors.
/// Format: <see href="https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html"/>.
/// </remarks>
public sealed class NpyFile : IDisposable
{
    private readonly bool _isBigEndian;
    private readonly Lazy<byte[]>? _rowMajor;

    private NpyFile(string path, SafeFileHandle handle, NpyHeader header, long dataOffset)
    {
        Path = path;
        Handle = handle;
        DataOffset = dataOffset;
        Type = header.Type;
        Dimensions = header.Dimensions;
        ElementCount = header.ElementCount;
        _isBigEndian = header.IsBigEndian;
        _rowMajor = header.IsColumnMajor ? new Lazy<byte[]>(ReadColumnMajor) : null;
    }

    /// <summary>Whether the elements lie in the file as they come out, so that others may read them there.</summary>
    internal bool IsPlain => !_isBigEndian && _rowMajor is null;

    /// <summary>The file as the caller named it.</summary>
    public string Path { get; }

    /// <summary>The element type as stored.</summary>
    public ElementType Type { get; }

    /// <summary>Sizes, outermost first; none for a scalar.</summary>
    public ImmutableArray<long> Dimensions { get; }

    /// <summary>The product of <see cref="Dimensions"/>.</summary>
    public long ElementCount { get; }

    /// <summary>The open file.</summary>
    internal SafeFileHandle Handle { get; }

    /// <summary>Where the first element lies, in bytes.</summary>
    internal long DataOffset { get; }

    /// <summary>Whether a file begins with NumPy's signature; false also where it cannot be opened, which opening it will report.</summary>
    internal static bool IsNpy(string path)
    {
        if (Platform.GetStatus(path) is { Kind: not FileKind.Regular } || !File.Exists(path))
            return path.EndsWith(".npy", StringComparison.OrdinalIgnoreCase);
        using SafeFileHandle handle = File.OpenHandle(path);
        Span<byte> start = stackalloc byte[6];
        return path.EndsWith(".npy", StringComparison.OrdinalIgnoreCase) || (RandomAccess.Read(handle, start, 0) == 6 && start.SequenceEqual(NpyHeader.Magic));
    }

    /// <summary>Opens a file and checks its header; no element is read.</summary>
    /// <param name="path">An existing <c>.npy</c> file.</param>
    /// <exception cref="BadInputException">The file is missing, is no <c>.npy</c>, is of a type that is not read here, or its length is not what its header says.</exception>
    /// <exception cref="IOException">The file exists but cannot be read.</exception>
    public static NpyFile Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        // A named pipe would wait for its writer, perhaps for ever.
        if (Platform.GetStatus(path) is { Kind: not FileKind.Regular } status)
            throw new BadInputException(path, status.Kind == FileKind.Folder ? "expected a .npy file, found a folder." : "is no regular file.");
        SafeFileHandle handle;
        try
        {
            handle = File.OpenHandle(path, options: FileOptions.SequentialScan);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new BadInputException(path, "the file does not exist.", innerException: exception);
        }
        catch (UnauthorizedAccessException exception) when (Directory.Exists(path))
        {
            throw new BadInputException(path, "expected a .npy file, found a folder.", innerException: exception);
        }

        try
        {
            (NpyHeader header, long dataOffset) = NpyHeader.Read(path, handle);
            return new NpyFile(path, handle, header, dataOffset);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Reads a whole file whose type is <typeparamref name="T"/>.</summary>
    /// <typeparam name="T">The .NET type of the stored elements; nothing is converted.</typeparam>
    /// <param name="path">An existing <c>.npy</c> file.</param>
    /// <returns>The elements in row-major order, and the sizes.</returns>
    /// <exception cref="BadInputException">As <see cref="Open"/>; or another element type, or more elements than one array holds.</exception>
    internal static (T[] Values, ImmutableArray<long> Dimensions) ReadAll<T>(string path)
        where T : unmanaged
    {
        using NpyFile file = Open(path);
        if (file.ElementCount > Array.MaxLength)
            throw new BadInputException(path, $"holds {file.ElementCount} elements, more than fit in one array ({Array.MaxLength}).");
        file.RequireType(ElementTypes.Of<T>());
        var values = new T[file.ElementCount];
        file.Read(0, values.AsSpan());
        return (values, file.Dimensions);
    }

    /// <summary>Copies a run of elements out, unconverted.</summary>
    /// <typeparam name="T">The .NET type of the stored elements.</typeparam>
    /// <param name="firstElement">Row-major index of the first one.</param>
    /// <param name="destination">Filled whole.</param>
    /// <exception cref="BadInputException">The stored type is another one, or the file was cut short since it was opened.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The run leaves the file.</exception>
    internal void Read<T>(long firstElement, Span<T> destination)
        where T : unmanaged
    {
        RequireType(ElementTypes.Of<T>());
        ReadBytes(firstElement, MemoryMarshal.AsBytes(destination));
    }

    /// <summary>Copies a run of elements out as they are stored, whatever their type.</summary>
    /// <param name="firstElement">Row-major index of the first one.</param>
    /// <param name="destination">Filled whole; its length is a multiple of the element size.</param>
    /// <exception cref="BadInputException">The file was cut short since it was opened.</exception>
    /// <exception cref="ArgumentException">The run leaves the file, or the length is no multiple of the element size.</exception>
    internal void ReadBytes(long firstElement, Span<byte> destination)
    {
        int size = Type.SizeInBytes();
        if (destination.Length % size != 0)
            throw new ArgumentException($"{destination.Length} bytes are no whole number of {Type} elements.", nameof(destination));
        ArgumentOutOfRangeException.ThrowIfNegative(firstElement);
        if (firstElement > ElementCount - (destination.Length / size))
            throw new ArgumentOutOfRangeException(nameof(firstElement), firstElement, $"{destination.Length / size} elements from there leave the file's {ElementCount}.");

        if (_rowMajor is not null)
            _rowMajor.Value.AsSpan(checked((int)(firstElement * size)), destination.Length).CopyTo(destination);
        else
            ReadStored(firstElement * size, destination);
    }

    /// <summary>Reads bytes as they lie in the file, but for their order inside an element.</summary>
    private void ReadStored(long start, Span<byte> destination)
    {
        long position = DataOffset + start;
        Span<byte> rest = destination;
        while (!rest.IsEmpty)
        {
            int read = RandomAccess.Read(Handle, rest, position);
            if (read == 0)
                throw new BadInputException(Path, "was cut short while it was being read.");
            rest = rest[read..];
            position += read;
        }

        if (!_isBigEndian)
            return;
        int size = Type.SizeInBytes();
        for (int element = 0; element < destination.Length; element += size)
            destination.Slice(element, size).Reverse();
    }

    /// <summary>The whole array in row-major order.</summary>
    private byte[] ReadColumnMajor()
    {
        int size = Type.SizeInBytes();
        if (ElementCount > Array.MaxLength / size)
        {
            throw new BadInputException(Path, $"is in Fortran (column-major) order with {ElementCount * size} bytes; up to {Array.MaxLength} are turned round in memory.",
                "Save numpy.ascontiguousarray(array).");
        }

        byte[] stored = new byte[ElementCount * size], turned = new byte[stored.Length];
        ReadStored(0, stored);
        Span<long> index = stackalloc long[Dimensions.Length];
        Span<long> steps = stackalloc long[Dimensions.Length];
        long step = 1;
        for (int dimension = 0; dimension < steps.Length; dimension++)
        {
            steps[dimension] = step;
            step *= Dimensions[dimension];
        }

        long from = 0;
        for (int to = 0; to < turned.Length; to += size)
        {
            stored.AsSpan((int)(from * size), size).CopyTo(turned.AsSpan(to));
            for (int dimension = index.Length - 1; dimension >= 0; dimension--)
            {
                from += steps[dimension];
                if (++index[dimension] < Dimensions[dimension])
                    break;
                from -= steps[dimension] * Dimensions[dimension];
                index[dimension] = 0;
            }
        }

        return turned;
    }

    /// <summary>Copies a run of elements out as fp32. float16 and float32 are exact; float64 is rounded.</summary>
    /// <param name="firstElement">Row-major index of the first one.</param>
    /// <param name="destination">Filled whole.</param>
    /// <exception cref="BadInputException">The stored type is not floating-point, or the file was cut short since it was opened.</exception>
    public void ReadAsSingle(long firstElement, Span<float> destination)
    {
        switch (Type)
        {
            case ElementType.Float32:
                Read(firstElement, destination);
                break;
            case ElementType.Float16:
                Convert<Half>(firstElement, destination);
                break;
            case ElementType.Float64:
                Convert<double>(firstElement, destination);
                break;
            default:
                throw new BadInputException(Path, $"expected floating-point elements, found {Type}.");
        }
    }

    /// <summary>Writes an array, whole or not at all (see <see cref="AtomicFile"/>).</summary>
    /// <typeparam name="T">float, double, <see cref="Half"/>, bool or an integer.</typeparam>
    /// <param name="path">The final name.</param>
    /// <param name="values">The elements in row-major order.</param>
    /// <param name="dimensions">Sizes, outermost first; their product is the number of values.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write<T>(string path, ReadOnlySpan<T> values, params ReadOnlySpan<long> dimensions)
        where T : unmanaged
    {
        ImmutableArray<long> sizes = [.. dimensions];
        long count = NpyHeader.CountElements(sizes);
        if (count != values.Length)
            throw new ArgumentException($"[{string.Join(", ", sizes)}] holds {count} elements; found {values.Length}.", nameof(values));
        var header = new NpyHeader(ElementTypes.Of<T>(), sizes, count);
        unsafe
        {
            // A span cannot enter a lambda; pinning it for the call is what AsBytes would do anyway.
            fixed (T* first = values)
            {
                nint address = (nint)first;
                long byteLength = (long)values.Length * sizeof(T);
                AtomicFile.Write(path, stream =>
                {
                    stream.Write(header.ToBytes());
                    for (long done = 0; done < byteLength;)
                    {
                        int length = (int)Math.Min(byteLength - done, 1 << 24);
                        stream.Write(new ReadOnlySpan<byte>((byte*)address + done, length));
                        done += length;
                    }
                });
            }
        }
    }

    /// <summary>Writes an array piece by piece, whole or not at all: for results that do not fit in memory.</summary>
    /// <param name="path">The final name.</param>
    /// <param name="type">The element type; not bfloat16.</param>
    /// <param name="dimensions">Sizes, outermost first.</param>
    /// <param name="fill">Appends exactly as many elements as the sizes say.</param>
    /// <exception cref="InvalidOperationException"><paramref name="fill"/> appended fewer or more elements.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    internal static void Write(string path, ElementType type, ImmutableArray<long> dimensions, Action<NpyWriter> fill)
    {
        ArgumentNullException.ThrowIfNull(fill);
        var header = new NpyHeader(type, dimensions, NpyHeader.CountElements(dimensions));
        byte[] headerBytes = header.ToBytes();
        AtomicFile.Write(path, stream =>
        {
            stream.Write(headerBytes);
            var writer = new NpyWriter(stream, header.Type, header.ElementCount);
            fill(writer);
            writer.Complete();
        });
    }

    /// <inheritdoc/>
    public void Dispose() => Handle.Dispose();

    private void RequireType(ElementType expected)
    {
        if (Type != expected)
            throw new BadInputException(Path, $"expected elements of type {expected}, found {Type}.");
    }

    private void Convert<T>(long firstElement, Span<float> destination)
        where T : unmanaged, System.Numerics.INumberBase<T>
    {
        Span<T> buffer = stackalloc T[512];
        while (!destination.IsEmpty)
        {
            Span<T> part = buffer[..Math.Min(buffer.Length, destination.Length)];
            Read(firstElement, part);
            TensorPrimitives.ConvertTruncating<T, float>(part, destination);
            destination = destination[part.Length..];
            firstElement += part.Length;
        }
    }
}

/// <summary>Takes the elements of a <c>.npy</c> file in row-major order; see <see cref="NpyFile.Write(string, ElementType, ImmutableArray{long}, Action{NpyWriter})"/>.</summary>
internal sealed class NpyWriter
{
    private readonly Stream _stream;
    private readonly ElementType _type;
    private long _remaining;

    internal NpyWriter(Stream stream, ElementType type, long elementCount)
    {
        _stream = stream;
        _type = type;
        _remaining = elementCount;
    }

    /// <summary>Writes the next elements.</summary>
    /// <typeparam name="T">The .NET type of the file's elements.</typeparam>
    /// <param name="values">In row-major order; not kept.</param>
    /// <exception cref="InvalidOperationException">More elements than the file's sizes say.</exception>
    public void Append<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        if (ElementTypes.Of<T>() != _type)
            throw new ArgumentException($"The file holds {_type}; found {ElementTypes.Of<T>()}.", nameof(values));
        if (values.Length > _remaining)
            throw new InvalidOperationException($"{values.Length} more elements do not fit: {_remaining} are left.");
        _remaining -= values.Length;
        // In parts: the bytes of one span may be more than an int counts.
        int step = (1 << 24) / Unsafe.SizeOf<T>();
        for (int start = 0; start < values.Length; start += step)
            _stream.Write(MemoryMarshal.AsBytes(values[start..Math.Min(values.Length, start + step)]));
    }

    internal void Complete()
    {
        if (_remaining != 0)
            throw new InvalidOperationException($"{_remaining} elements were announced and not written.");
    }
}
