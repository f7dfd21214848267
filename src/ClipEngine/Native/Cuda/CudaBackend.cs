using System.Runtime.InteropServices;
using ClipEngine.Tensors;

namespace ClipEngine.Native;

/// <summary>
/// An NVIDIA GPU, through our own kernels and the CUDA driver. A feature does not depend on its batch: every kernel's order of
/// summation is set by the shape of the weights and by the sequence alone.
/// </summary>
public sealed class CudaBackend : IBackend
{
    private readonly Lock _lock = new();
    private readonly Stack<CudaPass> _idle = new();
    private readonly CudaDevice _device;
    private readonly int _ordinal;
    private volatile bool _disposed;
    private string? _lastDescription;

    private CudaBackend(CudaDevice device, CudaBackendOptions options)
    {
        _device = device;
        _ordinal = options.Device;
        ComputeType = options.ComputeType;
        IsFp8 = options.Fp8;
        Operand = options.Tf32 ? CudaOperand.TensorFloat32 : options.ComputeType switch
        {
            ElementType.BFloat16 => CudaOperand.BFloat16,
            ElementType.Float16 => CudaOperand.Float16,
            _ => CudaOperand.Float32,
        };
    }

    /// <inheritdoc/>
    public string Name => $"cuda:{_ordinal}";

    /// <summary>
    /// What actually runs: lines of <c>key: value</c>. Complete once the weights are made, because with them is decided what multiplies
    /// them. Nothing in it changes from run to run.
    /// </summary>
    public string Description
    {
        get
        {
            lock (_lock)
                return _lastDescription ?? Describe();
        }
    }

    /// <inheritdoc/>
    public ElementType ComputeType { get; }

    /// <inheritdoc/>
    public FeatureInvariance Invariance => FeatureInvariance.Bitwise;

    /// <inheritdoc/>
    public double InvarianceBound => 0;

    /// <summary>Whether products of fp32 run in tf32.</summary>
    public bool Tf32 => Operand == CudaOperand.TensorFloat32;

    internal CudaDevice Device => _device;

    /// <summary>What times the passes; null for nothing.</summary>
    internal CudaProfile? Profile { get; set; }

    /// <summary>Device memory that nobody holds, in bytes.</summary>
    /// <exception cref="ObjectDisposedException">The backend is disposed.</exception>
    public long FreeMemory
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            using var device = new HandleReference(_device);
            return _device.FreeMemory();
        }
    }

    /// <summary>Measures what the device does at best, by kernels of its own and CUDA events.</summary>
    /// <param name="ceiling">What.</param>
    /// <param name="time">About how long it may take; some tenths of a second are enough.</param>
    /// <returns>Operations or bytes a second, the best of several runs; null where there is not enough memory.</returns>
    internal double? MeasureCeiling(CudaCeiling ceiling, TimeSpan time)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(time, TimeSpan.Zero);
        ObjectDisposedException.ThrowIf(_disposed, this);
        using var device = new HandleReference(_device);
        return _device.MeasureCeiling(ceiling, time.TotalSeconds);
    }

    /// <summary>Whether linear layers multiply fp8.</summary>
    internal bool IsFp8 { get; }

    /// <summary>What products multiply, those of linear layers in fp8 aside.</summary>
    internal CudaOperand Operand { get; }

    /// <summary>Opens a device. Nothing falls back to the CPU.</summary>
    /// <param name="options">Device and compute type; null for device 0 in fp32.</param>
    /// <exception cref="NotSupportedException">There is no driver, no way to get kernels for the device, or another compute type; says which step failed.</exception>
    /// <exception cref="BadInputException">There is no such device.</exception>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public static CudaBackend Create(CudaBackendOptions? options = null)
    {
        options ??= new CudaBackendOptions();
        if (options.ComputeType is not (ElementType.Float32 or ElementType.BFloat16 or ElementType.Float16))
            throw new NotSupportedException($"CUDA computes in Float32, BFloat16 or Float16; asked for {options.ComputeType}.");
        if (options.Tf32 && options.ComputeType != ElementType.Float32)
            throw new NotSupportedException($"tf32 is a way to multiply Float32; asked for {options.ComputeType}.");
        if (options.Fp8 && options.ComputeType != ElementType.BFloat16)
            throw new NotSupportedException($"fp8 is a way to multiply BFloat16; asked for {options.ComputeType}.");
        CudaLibrary library = CudaLibrary.Open(options.LibraryPath);
        CudaDevice device = CudaDevice.Open(library, options.Device, CudaDevice.KernelFolder(options.KernelFolder));
        try
        {
            // Whether the device multiplies fp8 at all is said here, not at the first weight.
            if (options.Fp8)
                device.Product(CudaOperand.Float8, isResultFloat32: true, columns: 16, depth: 16);
            return new CudaBackend(device, options);
        }
        catch
        {
            device.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public unsafe Weight CreateWeight(in WeightData data, WeightRole role)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!data.Type.IsFloatingPoint())
            throw new NotSupportedException($"{data.Name}: a weight's elements must be fp16, bf16, fp32 or fp64; found {data.Type}.");
        Shape shape = data.Shape;
        bool isMatrix = role is WeightRole.Linear or WeightRole.LinearTransposed or WeightRole.PatchEmbedding or WeightRole.Convolution;
        int expectedRank = role is WeightRole.Linear or WeightRole.LinearTransposed ? 2 : 4;
        if (isMatrix && shape.Rank != expectedRank)
            throw new ArgumentException($"{data.Name}: a {role} weight has {expectedRank} dimensions; found {shape}.", nameof(data));

        isMatrix &= !OperationShapes.IsDepthwise(role, shape);
        // A product wants [columns, depth] with rows of whole 16-byte pieces; what lies behind a row's end is zero.
        long rows = isMatrix ? (role == WeightRole.LinearTransposed ? shape[1] : shape[0]) : 1;
        long depth = isMatrix ? shape.ElementCount / Math.Max(1, rows) : shape.ElementCount;
        bool isFp8 = IsFp8 && role == WeightRole.Linear;
        ElementType type = isFp8 ? ElementType.UInt8 : isMatrix ? ComputeType : ElementType.Float32;
        long padded = isFp8 ? CudaPass.PaddedFp8(depth) : isMatrix ? CudaPass.Padded(depth) : depth;
        int size = type.SizeInBytes();
        var memory = new CudaMemory(_device, rows * padded * size, data.Name);
        CudaMemory? scaleMemory = null;
        try
        {
            // A few rows at a time: the host never holds a second copy of the weight.
            long rowsAtOnce = Math.Max(1, (4 << 20) / Math.Max(1, padded * size));
            var scales = new float[isFp8 ? rows : 0];
            byte* staging = (byte*)NativeMemory.AllocZeroed((nuint)(Math.Min(rows, rowsAtOnce) * padded * size));
            try
            {
                for (long first = 0; first < rows; first += rowsAtOnce)
                {
                    long count = Math.Min(rowsAtOnce, rows - first);
                    for (long row = 0; row < count && isFp8; row++)
                        scales[first + row] = QuantizeRow(data, first + row, depth, staging + (row * padded));
                    for (long row = 0; row < count && !isFp8; row++)
                        ConvertRow(data, role == WeightRole.LinearTransposed, first + row, depth, rows, type, staging + (row * padded * size));
                    _device.Upload(memory.Address + (ulong)(first * padded * size), staging, count * padded * size);
                }
            }
            finally
            {
                NativeMemory.Free(staging);
            }

            if (isFp8)
            {
                scaleMemory = new CudaMemory(_device, rows * sizeof(float), data.Name);
                fixed (float* source = scales)
                    _device.Upload(scaleMemory.Address, source, rows * sizeof(float));
            }
            else if (isMatrix && rows > 0 && depth > 0)
            {
                // Which implementation multiplies is decided, and tried, before anything is computed.
                _device.Product(Operand, isResultFloat32: true, checked((int)rows), checked((int)padded));
                if (ComputeType != ElementType.Float32 && role != WeightRole.LinearTransposed)
                    _device.Product(Operand, isResultFloat32: false, checked((int)rows), checked((int)padded));
            }

            return new CudaWeight(memory, scaleMemory, data, role, type);
        }
        catch
        {
            memory.Dispose();
            scaleMemory?.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public TokenStore CreateTokenStore(in Shape shape)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return new CudaTokenStore(_device, shape, ComputeType);
    }

    /// <inheritdoc/>
    public IPass BeginPass()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_idle.TryPop(out CudaPass? idle))
            {
                idle.Open();
                return idle;
            }
        }

        return new CudaPass(this);
    }

    /// <summary>Takes a pass back for the next caller.</summary>
    internal void Return(CudaPass pass)
    {
        lock (_lock)
        {
            if (!_disposed)
            {
                _idle.Push(pass);
                return;
            }
        }

        pass.Free();
    }

    /// <summary>Releases idle passes. The device closes when the passes that still run have ended and the weights are disposed.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
                return;
            _lastDescription = Describe();
            _disposed = true;
            while (_idle.TryPop(out CudaPass? pass))
                pass.Free();
        }

        _device.Dispose();
    }

    private string Describe()
    {
        IEnumerable<string> lines = _device.Describe().Split('\n').Where(static line => !line.StartsWith("free memory bytes: ", StringComparison.Ordinal));
        return string.Join('\n', Operand == CudaOperand.TensorFloat32 ? lines.Append("products: tf32") : IsFp8 ? lines.Append("products of linear layers: fp8 (e4m3)") : lines);
    }

    private static unsafe void ConvertRow(in WeightData data, bool isTransposed, long row, long depth, long rows, ElementType type, byte* destination)
    {
        for (long i = 0; i < depth; i++)
        {
            float value = Element(data, isTransposed ? (i * rows) + row : (row * depth) + i);
            switch (type)
            {
                case ElementType.Float32:
                    ((float*)destination)[i] = value;
                    break;
                case ElementType.Float16:
                    ((Half*)destination)[i] = (Half)value;
                    break;
                default:
                    ((ushort*)destination)[i] = ToBFloat16(value);
                    break;
            }
        }
    }

    /// <summary>A row as e4m3, its largest magnitude as 448; returns the scale that gives its numbers back.</summary>
    private static unsafe float QuantizeRow(in WeightData data, long row, long depth, byte* destination)
    {
        float largest = 0;
        for (long i = 0; i < depth; i++)
            largest = Math.Max(largest, Math.Abs(Element(data, (row * depth) + i)));
        float factor = largest > 0 ? 448 / largest : 1;
        for (long i = 0; i < depth; i++)
            destination[i] = Float8.FromSingle(Element(data, (row * depth) + i) * factor);
        return largest > 0 ? largest / 448 : 1;
    }

    /// <summary>Round to nearest even; a NaN stays one.</summary>
    private static ushort ToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)0x7fc0 : (ushort)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
    }

    private static unsafe float Element(in WeightData data, long index)
    {
        byte* at = (byte*)data.Address + (index * data.Type.SizeInBytes());
        // A mapped tensor need not be aligned.
        return data.Type switch
        {
            ElementType.Float32 => BitConverter.UInt32BitsToSingle(System.Runtime.CompilerServices.Unsafe.ReadUnaligned<uint>(at)),
            ElementType.Float16 => (float)BitConverter.UInt16BitsToHalf(System.Runtime.CompilerServices.Unsafe.ReadUnaligned<ushort>(at)),
            ElementType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)System.Runtime.CompilerServices.Unsafe.ReadUnaligned<ushort>(at) << 16),
            _ => (float)BitConverter.UInt64BitsToDouble(System.Runtime.CompilerServices.Unsafe.ReadUnaligned<ulong>(at)),
        };
    }
}
