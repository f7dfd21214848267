using System.Text;

namespace ClipEngine.Native;

/// <summary>What a native function returns.</summary>
internal enum NativeStatus
{
    Ok = 0,
    InvalidArgument = 1,
    BadInput = 2,
    OutOfMemory = 3,
    Unsupported = 4,
    Internal = 5,
}

/// <summary>Turns a status into the exception it stands for; the only place that does.</summary>
internal static class NativeStatusExtensions
{
    /// <summary>Throws for anything but <see cref="NativeStatus.Ok"/>. Call it right behind the native call, on the same thread.</summary>
    /// <param name="status">What the call returned.</param>
    /// <param name="source">The user's file, where the call worked on one: it becomes <see cref="BadInputException.InputSource"/>.</param>
    /// <exception cref="BadInputException">The user's file or value is at fault.</exception>
    /// <exception cref="ArgumentException">The caller broke the function's contract.</exception>
    /// <exception cref="NotSupportedException">The combination is not supported.</exception>
    /// <exception cref="InsufficientMemoryException">Memory ran out.</exception>
    /// <exception cref="NativeLibraryException">The library failed.</exception>
    internal static void ThrowIfFailed(this NativeStatus status, string? source = null)
    {
        if (status != NativeStatus.Ok)
            Throw(status, source);
    }

    /// <summary>The text of this thread's last error. For callers that throw a type of their own.</summary>
    internal static unsafe string LastMessage()
    {
        Span<byte> buffer = stackalloc byte[1024];
        fixed (byte* pointer = buffer)
        {
            long length = NativeMethods.ErrorMessage(pointer, buffer.Length);
            return Encoding.UTF8.GetString(buffer[..(int)Math.Min(length, buffer.Length - 1)]);
        }
    }

    /// <summary>The exception that a status stands for.</summary>
    /// <param name="status">Anything but <see cref="NativeStatus.Ok"/>.</param>
    /// <param name="message">The library's text.</param>
    /// <param name="source">The user's file, where the call worked on one.</param>
    internal static Exception ToException(NativeStatus status, string message, string? source) => status switch
    {
        NativeStatus.InvalidArgument => new ArgumentException(message, nameof(status)),
        NativeStatus.BadInput => new BadInputException(source ?? "input", message),
        NativeStatus.OutOfMemory => new InsufficientMemoryException(source is null ? message : $"{source}: {message}"),
        NativeStatus.Unsupported => new NotSupportedException(message),
        _ => new NativeLibraryException(source is null ? message : $"{source}: {message}"),
    };

    private static void Throw(NativeStatus status, string? source) => throw ToException(status, LastMessage(), source);
}
