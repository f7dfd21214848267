using System.Buffers;
using System.Numerics.Tensors;
using ClipEngine.Checkpoints;
using ClipEngine.Files;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Scoring;

/// <summary>
/// Features, one row each: <c>[rows, width]</c>, row-major, in memory or in a file. A file is read as it is needed and never held
/// as a whole, so that it may be larger than memory.
/// </summary>
/// <remarks>Float16, BFloat16 (safetensors only), Float32 and Float64; computed with in fp32, to which Float64 is rounded. Thread-safe to read.</remarks>
public sealed class FeatureSource : IDisposable
{
    private readonly ReadOnlyMemory<float> _values;
    private readonly ReadOnlyMemory<Half> _halves;
    private readonly NpyFile? _npy;
    private readonly ICheckpoint? _checkpoint;
    private readonly TensorBytes? _tensor;
    private readonly CudaFeatures? _resident;
    private volatile bool _isDisposed;

    private FeatureSource(string name, long rows, long width, ElementType type)
    {
        Name = name;
        Rows = rows;
        Width = width;
        Type = type;
    }

    private FeatureSource(ReadOnlyMemory<float> values, int width, string name)
        : this(name, values.Length / width, width, ElementType.Float32) => _values = values;

    private FeatureSource(ReadOnlyMemory<Half> values, int width, string name)
        : this(name, values.Length / width, width, ElementType.Float16) => _halves = values;

    private FeatureSource(NpyFile npy)
        : this(npy.Path, npy.Dimensions[0], npy.Dimensions[1], npy.Type) => _npy = npy;

    private FeatureSource(ICheckpoint checkpoint, StoredTensor tensor)
        : this(checkpoint.Path, tensor.Dimensions[0], tensor.Dimensions[1], tensor.Type)
    {
        _checkpoint = checkpoint;
        _tensor = checkpoint.Borrow(tensor.Name);
    }

    private FeatureSource(FeatureSource source, long rows, CudaFeatures resident)
        : this(source.Name, rows, source.Width, source.Type) => _resident = resident;

    /// <summary>What messages call it: the file, or the name given.</summary>
    public string Name { get; }

    /// <summary>The number of rows; at least 1 for a file.</summary>
    public long Rows { get; }

    /// <summary>Features of a row; at least 1.</summary>
    public long Width { get; }

    /// <summary>How features are stored.</summary>
    public ElementType Type { get; }

    /// <summary>Wraps features in memory; nothing is copied, and they must not change while they are used.</summary>
    /// <param name="values"><c>[rows, width]</c>, row-major.</param>
    /// <param name="width">Features of a row.</param>
    /// <param name="name">What messages call them.</param>
    /// <exception cref="ArgumentException">The number of values is no multiple of the width.</exception>
    public static FeatureSource FromMemory(ReadOnlyMemory<float> values, int width, string name = "features")
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        if (values.Length % width != 0)
            throw new ArgumentException($"{values.Length} values do not make rows of {width}.", nameof(values));
        return new FeatureSource(values, width, name);
    }

    /// <summary>Wraps features of 16 bits in memory; nothing is copied, and they must not change while they are used.</summary>
    /// <param name="values"><c>[rows, width]</c>, row-major.</param>
    /// <param name="width">Features of a row.</param>
    /// <param name="name">What messages call them.</param>
    /// <exception cref="ArgumentException">The number of values is no multiple of the width.</exception>
    public static FeatureSource FromMemory(ReadOnlyMemory<Half> values, int width, string name = "features")
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        if (values.Length % width != 0)
            throw new ArgumentException($"{values.Length} values do not make rows of {width}.", nameof(values));
        return new FeatureSource(values, width, name);
    }

    /// <summary>Opens features in a <c>.npy</c> or safetensors file, told apart by content.</summary>
    /// <param name="path">The file.</param>
    /// <param name="key">The tensor in a safetensors file; null where the file holds only one floating-point matrix.</param>
    /// <exception cref="BadInputException">Missing, malformed, no matrix, empty, not floating-point, or the key is missing or needed.</exception>
    /// <exception cref="IOException">The file exists but cannot be read.</exception>
    public static FeatureSource Open(string path, string? key = null)
    {
        if (NpyFile.IsNpy(path))
        {
            if (key is not null)
                throw new BadInputException(path, $"a .npy file holds one array and no key '{BadInputException.Escape(key, 80)}'.", "Leave the key out.");
            NpyFile npy = NpyFile.Open(path);
            try
            {
                Check(path, npy.Type, npy.Dimensions.AsSpan());
                return npy.IsPlain ? new FeatureSource(npy) : TurnRound(npy);
            }
            catch
            {
                npy.Dispose();
                throw;
            }
        }

        ICheckpoint checkpoint = Checkpoint.Open(path);
        try
        {
            StoredTensor tensor = Find(checkpoint, key);
            Check($"{path} ({BadInputException.Escape(tensor.Name, 80)})", tensor.Type, tensor.Dimensions.AsSpan());
            return new FeatureSource(checkpoint, tensor);
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <summary>Features of another order of bytes or rows than native code reads, in memory.</summary>
    private static FeatureSource TurnRound(NpyFile npy)
    {
        if (npy.ElementCount > Array.MaxLength)
            throw new BadInputException(npy.Path, $"is big-endian or in Fortran order with {npy.ElementCount} elements; up to {Array.MaxLength} are turned round in memory.", "Save numpy.ascontiguousarray(array, '<f4').");
        float[] values = new float[npy.ElementCount];
        npy.ReadAsSingle(0, values);
        var source = new FeatureSource(values, (int)npy.Dimensions[1], npy.Path);
        npy.Dispose();
        return source;
    }

    /// <summary>
    /// Copies features to GPUs, so that many sweeps read them from there: each GPU holds an equal run of the rows. Sweeps over
    /// them must run on the same devices, begin and end at multiples of 4096 rows or at the last one, and take their groups
    /// from here. The rows cannot be read back.
    /// </summary>
    /// <param name="source">The features; not needed afterwards.</param>
    /// <param name="devices">The GPUs.</param>
    /// <param name="groups">The group of every row, -1 for none; empty: all in group 0.</param>
    /// <param name="groupCount">Groups; 0 for none.</param>
    /// <exception cref="ArgumentException">Another number of groups than rows, or a group out of range.</exception>
    /// <exception cref="InsufficientMemoryException">They do not fit.</exception>
    /// <exception cref="BadInputException">The file ends early.</exception>
    public static FeatureSource LoadOnCuda(FeatureSource source, CudaDevices devices, ReadOnlySpan<int> groups = default, int groupCount = 0)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(devices);
        ArgumentOutOfRangeException.ThrowIfNegative(groupCount);
        if (source._resident is not null)
            throw new ArgumentException($"{source.Name} lies on GPUs already.", nameof(source));
        if (!groups.IsEmpty && groups.Length != source.Rows)
            throw new ArgumentException($"{groups.Length} groups for {source.Rows} rows.", nameof(groups));
        return new FeatureSource(source, source.Rows, CudaFeatures.Load(source, devices, groups, groupCount));
    }

    /// <summary>
    /// Fills GPUs with features again and again, for measuring at sizes that the host does not hold: row i is row i modulo the
    /// source's rows. All else is as <see cref="LoadOnCuda"/> has it, all rows in group 0.
    /// </summary>
    /// <param name="source">The features; not needed afterwards.</param>
    /// <param name="rows">How many rows there are to be; at least the source's.</param>
    /// <param name="devices">The GPUs.</param>
    /// <param name="groupCount">Groups; 0 for none.</param>
    /// <exception cref="InsufficientMemoryException">They do not fit.</exception>
    public static FeatureSource RepeatOnCuda(FeatureSource source, long rows, CudaDevices devices, int groupCount = 0)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(devices);
        ArgumentOutOfRangeException.ThrowIfNegative(groupCount);
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, source.Rows);
        if (source._resident is not null)
            throw new ArgumentException($"{source.Name} lies on GPUs already.", nameof(source));
        return new FeatureSource(source, rows, CudaFeatures.Load(source, devices, [], groupCount, rows));
    }

    /// <summary>The rows on GPUs; null where they are on the host.</summary>
    internal CudaFeatures? Resident => _resident;

    /// <summary>Ends the use of the rows. May be called at any time: what a sweep is reading stays until it has been read.</summary>
    public void Dispose()
    {
        _isDisposed = true;
        _resident?.Dispose();
        _tensor?.Dispose();
        _checkpoint?.Dispose();
        _npy?.Dispose();
    }

    /// <summary>Makes the rows reachable for native code until the result is disposed.</summary>
    internal Access Pin() => new(this);

    /// <summary>Copies rows out as fp32.</summary>
    /// <param name="firstRow">The first row.</param>
    /// <param name="destination">Whole rows.</param>
    /// <exception cref="NotSupportedException">The rows lie on GPUs.</exception>
    public void ReadRows(long firstRow, Span<float> destination)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_resident is not null)
            throw new NotSupportedException($"{Name} lies on GPUs and cannot be read back.");
        if (_npy is not null)
            _npy.ReadAsSingle(firstRow * Width, destination);
        else if (_tensor is not null)
            ReadTensor(_tensor, firstRow, destination);
        else if (!_halves.IsEmpty)
            TensorPrimitives.ConvertToSingle(_halves.Span.Slice(checked((int)(firstRow * Width)), destination.Length), destination);
        else
            _values.Span.Slice(checked((int)(firstRow * Width)), destination.Length).CopyTo(destination);
    }

    private void ReadTensor(TensorBytes tensor, long firstRow, Span<float> destination)
    {
        using CallCounter.Call loan = tensor.Hold();
        ElementConversion.ToSingle(tensor.Slice(firstRow * Width * Type.SizeInBytes(), destination.Length * Type.SizeInBytes()), Type, destination);
    }

    private static StoredTensor Find(ICheckpoint checkpoint, string? key)
    {
        if (key is not null)
        {
            return checkpoint.Tensors.TryGetValue(key, out StoredTensor tensor)
                ? tensor
                : throw new BadInputException(checkpoint.Path, $"holds no tensor '{BadInputException.Escape(key, 80)}'.", Offer(checkpoint));
        }

        StoredTensor[] matrices = [.. checkpoint.Tensors.Values.Where(static tensor => tensor.Dimensions.Length == 2 && tensor.Type.IsFloatingPoint()).Take(2)];
        return matrices.Length == 1
            ? matrices[0]
            : throw new BadInputException(checkpoint.Path, "expected exactly one floating-point matrix, or a key to choose by.", Offer(checkpoint));
    }

    private static string Offer(ICheckpoint checkpoint)
    {
        IEnumerable<string> names = checkpoint.Tensors.Values.Take(8).Select(static tensor => $"{BadInputException.Escape(tensor.Name, 60)} ({tensor})");
        return $"It holds: {string.Join(", ", names)}{(checkpoint.Tensors.Count > 8 ? ", …" : "")}.";
    }

    private static void Check(string name, ElementType type, ReadOnlySpan<long> dimensions)
    {
        if (dimensions.Length != 2)
            throw new BadInputException(name, $"expected a matrix [rows, width], found [{string.Join(", ", dimensions.ToArray())}].");
        if (!type.IsFloatingPoint())
            throw new BadInputException(name, $"expected floating-point features, found {type}.");
        if (dimensions[0] == 0 || dimensions[1] == 0)
            throw new BadInputException(name, $"is empty: [{dimensions[0]}, {dimensions[1]}].");
    }

    /// <summary>Where the rows are: in memory at <see cref="Address"/>, or in an open file.</summary>
    internal sealed unsafe class Access : IDisposable
    {
        private readonly MemoryHandle _pin;
        private readonly Microsoft.Win32.SafeHandles.SafeFileHandle? _file;
        private readonly bool _isReferenced;
        private readonly HandleReference _resident;
        private readonly CallCounter.Call? _loan;

        internal Access(FeatureSource matrix)
        {
            ObjectDisposedException.ThrowIf(matrix._isDisposed, matrix);
            if (matrix._resident is not null)
            {
                _resident = new HandleReference(matrix._resident.Handle);
            }
            else if (matrix._npy is not null)
            {
                _file = matrix._npy.Handle;
                _file.DangerousAddRef(ref _isReferenced);
                File = (int)_file.DangerousGetHandle();
                FileOffset = matrix._npy.DataOffset;
            }
            else if (matrix._tensor is not null)
            {
                _loan = matrix._tensor.Hold();
                Address = matrix._tensor.Address;
            }
            else
            {
                _pin = !matrix._halves.IsEmpty ? matrix._halves.Pin() : matrix._values.Pin();
                Address = (nint)_pin.Pointer;
            }
        }

        /// <summary>The first feature, or 0 where the rows are read from <see cref="File"/>.</summary>
        public nint Address { get; }

        /// <summary>A descriptor.</summary>
        public int File { get; }

        /// <summary>The first feature in the file, in bytes.</summary>
        public long FileOffset { get; }

        public void Dispose()
        {
            if (_isReferenced)
                _file!.DangerousRelease();
            _resident.Dispose();
            _loan?.Dispose();
            _pin.Dispose();
        }
    }
}
