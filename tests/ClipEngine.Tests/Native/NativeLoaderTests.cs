using ClipEngine.Native;

namespace ClipEngine.Tests.Native;

public class NativeLoaderTests
{
    [Fact]
    public void The_libraries_that_were_built_speak_our_abi()
    {
        NativeLoader.EnsureLoaded();
        NativeLoader.EnsureImagesLoaded();
    }

    [Fact]
    public void Another_version_is_refused_with_both_numbers()
    {
        NativeLibraryException exception = Assert.Throws<NativeLibraryException>(() => NativeLoader.Compare("libclipengine.so", 99, NativeMethods.StructSize, NativeLoader.StructSizes));
        Assert.Contains("99", exception.Message, StringComparison.Ordinal);
        Assert.Contains("dotnet build", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Another_struct_size_is_refused_by_name()
    {
        NativeLibraryException exception = Assert.Throws<NativeLibraryException>(() => NativeLoader.Compare("libclipengine.so", NativeLoader.AbiVersion, _ => 3, NativeLoader.StructSizes));
        Assert.Contains("clipengine_status", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_unknown_struct_has_no_size()
    {
        NativeLoader.EnsureLoaded();
        Assert.Equal(-1, NativeMethods.StructSize("clipengine_no_such_struct"));
    }

    [Fact]
    public void A_status_becomes_its_exception()
    {
        NativeLoader.EnsureLoaded();
        NativeStatus.Ok.ThrowIfFailed();
        Assert.Throws<ArgumentException>(() => NativeStatus.InvalidArgument.ThrowIfFailed());
        Assert.Equal("a.png", Assert.Throws<BadInputException>(() => NativeStatus.BadInput.ThrowIfFailed("a.png")).InputSource);
        Assert.Throws<InsufficientMemoryException>(() => NativeStatus.OutOfMemory.ThrowIfFailed());
        Assert.Throws<NotSupportedException>(() => NativeStatus.Unsupported.ThrowIfFailed());
        Assert.Throws<NativeLibraryException>(() => NativeStatus.Internal.ThrowIfFailed());
    }

    [Fact]
    public void Threads_default_to_what_the_process_may_use()
    {
        Assert.InRange(NativeThreads.Available, 1, 1024);
        Assert.InRange(NativeThreads.Count, 1, 1024);
        Assert.Throws<ArgumentOutOfRangeException>(() => NativeThreads.Count = 0);
    }
}
