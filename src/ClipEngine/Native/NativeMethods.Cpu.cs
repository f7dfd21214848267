using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ClipEngine.Native;

/// <summary><c>native/include/clipengine_cpu.h</c>. Weights cross as raw pointers: the managed weight that owns one outlives the call.</summary>
internal static unsafe partial class NativeMethods
{
    [LibraryImport(Library, EntryPoint = "clipengine_cpu_isa_best")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int CpuIsaBest();

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_isa_check")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuIsaCheck(int isa);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_rates_get")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuRatesGet(out CpuRates rates);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_rates_file")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial byte* CpuRatesFile();

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_isa_default")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuIsaDefault(out int isa);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_isa_name")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial byte* CpuIsaName(int isa);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_matrix_create")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuMatrixCreate(nint data, int type, long columns, long depth, int transposed, int computeType, int isa, out nint weight);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_values_create")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuValuesCreate(nint data, int type, long count, out nint weight);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_weight_destroy")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void CpuWeightDestroy(nint weight);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_weight_bytes")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial long CpuWeightBytes(nint weight);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_weight_values")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial nint CpuWeightValues(nint weight);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_live_bytes")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial long CpuLiveBytes();

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_pass_create")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuPassCreate(int isa, int computeType, out nint pass);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_matrix_read")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuMatrixRead(ref CpuRead read, long columns, long depth, int computeType, int isa, out nint weight);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_values_read")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuValuesRead(ref CpuRead read, long count, out nint weight);

    /// <summary><c>clipengine_cpu_read</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct CpuRead
    {
        public long File;
        public long Start;
        public long Error;
        public int Type;
        public uint Largest;
    }

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_pass_destroy")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void CpuPassDestroy(nint pass);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_allocate")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuAllocate(nint pass, long bytes, out nint memory);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_mark")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial long CpuMark(nint pass);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_release")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial void CpuRelease(nint pass, long mark);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_linear")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuLinear(nint pass, nint input, long rows, nint weight, nint bias, int activation, nint scale, nint multiplier, nint residual, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_layer_norm")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuLayerNorm(nint pass, nint input, long rows, long width, nint weight, nint bias, float epsilon, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_rms_norm")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuRmsNorm(nint pass, nint input, long rows, long width, nint weight, float epsilon, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_l2_normalize")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuL2Normalize(nint pass, nint input, long rows, long width, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_activate")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuActivate(nint pass, nint input, long count, int activation, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_add")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuAdd(nint pass, nint left, nint right, long count, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_multiply")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuMultiply(nint pass, nint left, nint right, long count, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_gate_tokens")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuGateTokens(nint pass, nint input, long batch, long tokens, long width, nint gates, int activation, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_rotate")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuRotate(nint pass, nint input, long stride, long batch, long tokens, long width, long heads, nint cosines, nint sines, int halfSplit, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_attend")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuAttend(nint pass, in CpuAttention call);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_transformer_block")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuTransformerBlock(nint pass, in CpuBlock call);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_patch_embedding")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuPatchEmbedding(nint pass, nint pixels, long batch, long channels, long height, long width, long patch, nint kernel, nint bias, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_convolve")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuConvolve(nint pass, in CpuConvolution call);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_convolve_depthwise")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuConvolveDepthwise(nint pass, in CpuConvolution call, long outputs);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_convolve_tokens")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuConvolveTokens(nint pass, in CpuConvolution call, long depthwiseOutputs);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_convolution_stack")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static unsafe partial NativeStatus CpuConvolutionStack(nint pass, nint input, long batch, long height, long width, long channels, CpuConvolutionBlock* blocks, long count, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_average_pool")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuAveragePool(nint pass, nint input, long maps, long height, long width, long size, long stride, long padding, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_transpose")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuTranspose(nint pass, nint input, long batch, long rows, long columns, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_assemble_tokens")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuAssembleTokens(nint pass, nint tokens, long batch, long count, long width, nint first, nint positions, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_token_embedding")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuTokenEmbedding(nint pass, nint ids, long batch, long count, long rows, long width, nint table, nint appended, nint positions, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_select_tokens")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuSelectTokens(nint pass, nint tokens, long batch, long count, long width, nint indices, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_mean_tokens")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuMeanTokens(nint pass, nint tokens, long batch, long count, long width, nint output);

    [LibraryImport(Library, EntryPoint = "clipengine_cpu_copy_runs")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial NativeStatus CpuCopyRuns(nint pass, nint input, long inputStride, nint output, long outputStride, long length, long batch);

    /// <summary><c>clipengine_cpu_rates</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct CpuRates
    {
        public double Pairs;
        public double Tiles;
        public long Source;
    }

    /// <summary><c>clipengine_cpu_attention</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct CpuAttention
    {
        public nint Query;
        public nint Key;
        public nint Value;
        public nint Mask;
        public nint Output;
        public long QueryStride;
        public long KeyStride;
        public long ValueStride;
        public long Batch;
        public long Queries;
        public long Keys;
        public long Width;
        public long Heads;
        public long Causal;
        public long Offset;
        public nint KeyLengths;
        public long SharedKeys;
        public long SharedMask;
        public long MaskHeads;
    }

    /// <summary><c>clipengine_cpu_block</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct CpuBlock
    {
        public nint Input;
        public nint Output;
        public nint Mask;
        public nint Norm1Weight;
        public nint Norm1Bias;
        public nint InWeight;
        public nint InBias;
        public nint OutWeight;
        public nint OutBias;
        public nint Scale1;
        public nint Norm2Weight;
        public nint Norm2Bias;
        public nint ExpandWeight;
        public nint ExpandBias;
        public nint ContractWeight;
        public nint ContractBias;
        public nint Scale2;
        public long Batch;
        public long Tokens;
        public long Width;
        public long Heads;
        public long Causal;
        public int Activation;
        public float Epsilon;
        public nint KeyLengths;
        public long SharedMask;
    }

    /// <summary><c>clipengine_cpu_convolution</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct CpuConvolution
    {
        public nint Input;
        public nint Kernel;
        public nint Bias;
        public nint Residual;
        public nint Output;
        public long Batch;
        public long Channels;
        public long Groups;
        public long Height;
        public long Width;
        public long KernelHeight;
        public long KernelWidth;
        public long Stride;
        public long Padding;
        public long Activation;
    }
    /// <summary><c>clipengine_cpu_convolution_block</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct CpuConvolutionBlock
    {
        public nint MixerKernel;
        public nint MixerBias;
        public nint Kernel;
        public nint Bias;
        public nint NormWeight;
        public nint NormBias;
        public nint ExpandWeight;
        public nint ExpandBias;
        public nint ContractWeight;
        public nint ContractBias;
        public nint Scale;
        public long MixerSide;
        public long Side;
        public int Activation;
        public float Epsilon;
    }
}
