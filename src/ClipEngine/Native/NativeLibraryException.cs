namespace ClipEngine.Native;

/// <summary>A native library of ClipEngine is missing, of another version, or reported an error of its own. The message says what to do.</summary>
public sealed class NativeLibraryException : Exception
{
    internal NativeLibraryException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
