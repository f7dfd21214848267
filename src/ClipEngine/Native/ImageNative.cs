using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ClipEngine.Native;

/// <summary><c>clipengine_image_info</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NativeImageInfo
{
    internal int Format;
    internal int Width;
    internal int Height;
    internal int Reserved;
    internal long Memory;
}

/// <summary><c>clipengine_image_transform</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NativeImageTransform
{
    internal int Height;
    internal int Width;
    internal int ResizeMode;
    internal int Interpolation;
    internal int Resampler;
    internal int RgbOrder;
    internal int Alpha;
    internal int CropStart;
    internal int Normalization;
    internal ChannelValues Mean;
    internal ChannelValues StandardDeviation;

    /// <summary>One value per channel: R, G, B.</summary>
    [InlineArray(3)]
    internal struct ChannelValues
    {
        private float _first;
    }
}

/// <summary>The part of the border that <c>clipengine_image.h</c> declares.</summary>
internal static partial class NativeMethods
{
    internal const string ImageLibrary = "libclipengine_image";

    [LibraryImport(ImageLibrary, EntryPoint = "clipengine_image_abi_version")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ImageAbiVersion();

    [LibraryImport(ImageLibrary, EntryPoint = "clipengine_image_struct_size", StringMarshalling = StringMarshalling.Utf8)]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial long ImageStructSize(string name);

    [LibraryImport(ImageLibrary, EntryPoint = "clipengine_image_error_message")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static unsafe partial long ImageErrorMessage(byte* buffer, long capacity);

    [LibraryImport(ImageLibrary, EntryPoint = "clipengine_image_probe")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static unsafe partial NativeStatus ImageProbe(byte* encoded, long size, NativeImageInfo* info);

    [LibraryImport(ImageLibrary, EntryPoint = "clipengine_image_decode")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static unsafe partial NativeStatus ImageDecode(byte* encoded, long size, byte* rgb, long capacity);

    [LibraryImport(ImageLibrary, EntryPoint = "clipengine_image_crop")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static unsafe partial NativeStatus ImageCrop(byte* encoded, long size, NativeImageTransform* transform, byte* crop);

    [LibraryImport(ImageLibrary, EntryPoint = "clipengine_image_preprocess")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static unsafe partial NativeStatus ImagePreprocess(byte* encoded, long size, NativeImageTransform* transform, float* pixels);

    [LibraryImport(ImageLibrary, EntryPoint = "clipengine_image_preprocess_pixels")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static unsafe partial NativeStatus ImagePreprocessPixels(byte* decoded, int width, int height, long stride, int layout, NativeImageTransform* transform, float* pixels);

    [LibraryImport(ImageLibrary, EntryPoint = "clipengine_image_problem")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial int ImageProblem();

    [LibraryImport(ImageLibrary, EntryPoint = "clipengine_image_kernels")]
    [UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]
    internal static partial nint ImageKernels();
}
