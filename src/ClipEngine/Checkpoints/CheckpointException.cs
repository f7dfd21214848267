namespace ClipEngine.Checkpoints;

/// <summary>Which rule a checkpoint breaks.</summary>
public enum CheckpointError
{
    /// <summary>No such file, or a folder without weights.</summary>
    NotFound,

    /// <summary>A folder, named pipe, device or loop of links where a file is wanted.</summary>
    NotAFile,

    /// <summary>The file cannot be opened or read: permissions, a bad disk.</summary>
    Unreadable,

    /// <summary>The file shrank or was written to while it was in use.</summary>
    Changed,

    /// <summary>Not a checkpoint format that is known here.</summary>
    UnknownFormat,

    /// <summary>A format, or a feature of one, that is well defined and deliberately not read here.</summary>
    Unsupported,

    /// <summary>The file ends before what it declares.</summary>
    Truncated,

    /// <summary>There are bytes that no part of the file accounts for.</summary>
    TrailingData,

    /// <summary>The safetensors header's length is zero, beyond the limit or written big-endian.</summary>
    InvalidHeaderLength,

    /// <summary>The safetensors header is not UTF-8.</summary>
    InvalidUtf8,

    /// <summary>The safetensors header, or an index, is not the JSON that the format asks for.</summary>
    InvalidJson,

    /// <summary>A name occurs twice.</summary>
    DuplicateKey,

    /// <summary>The <c>__metadata__</c> entry is not an object of strings.</summary>
    InvalidMetadata,

    /// <summary>A tensor's entry has a field that the format does not know.</summary>
    UnknownField,

    /// <summary>A tensor's entry lacks a field, or has one of the wrong kind.</summary>
    InvalidField,

    /// <summary>An element type that the format does not know.</summary>
    UnknownElementType,

    /// <summary>An element type of the format that is not read here.</summary>
    UnsupportedElementType,

    /// <summary>A shape that is no shape: negative, fractional, too large, too many dimensions, or overflowing.</summary>
    InvalidShape,

    /// <summary>Offsets that are no range: reversed, negative, not two.</summary>
    InvalidOffsets,

    /// <summary>A tensor's bytes are not as many as its shape and type ask for.</summary>
    SizeMismatch,

    /// <summary>Bytes between two tensors that belong to neither.</summary>
    Hole,

    /// <summary>Two tensors claim the same bytes.</summary>
    Overlap,

    /// <summary>The index of a sharded checkpoint contradicts itself or its shards.</summary>
    InvalidIndex,

    /// <summary>A file that the index names is not there.</summary>
    MissingShard,

    /// <summary>A name inside the file that would lead out of its folder, or that no honest program writes.</summary>
    UnsafeName,

    /// <summary>A zip archive that breaks the rules of its format.</summary>
    InvalidArchive,

    /// <summary>A pickle that breaks the rules of its format.</summary>
    InvalidPickle,

    /// <summary>A pickle that asks for something other than tensors and plain values. Nothing was called.</summary>
    ForbiddenPickle,

    /// <summary>More objects, depth or memory than any honest checkpoint needs.</summary>
    TooComplex,

    /// <summary>A tensor reaches beyond its storage, or a storage beyond its bytes.</summary>
    InvalidStorage,

    /// <summary>The file holds several sets of weights, or keys of several layouts.</summary>
    Ambiguous,

    /// <summary>Tensors are missing, unexpected, or of another shape or type than the model asks for.</summary>
    DoesNotFit,

    /// <summary>The weights are larger than this machine's memory.</summary>
    ExceedsMemory,

    /// <summary>There are NaN or infinite weights, and finite ones were asked for.</summary>
    NotFinite,
}

/// <summary>A checkpoint was refused. Nothing was filled in and nothing of it is kept.</summary>
public sealed class CheckpointException : BadInputException
{
    /// <summary>Names the file, the rule and what to do.</summary>
    /// <param name="path">The file as the user named it.</param>
    /// <param name="error">The rule that is broken.</param>
    /// <param name="problem">What is wrong, with the expected and the found value; text out of the file is escaped by the caller.</param>
    /// <param name="remedy">What to do about it.</param>
    /// <param name="innerException">The cause, where another exception brought us here.</param>
    public CheckpointException(string path, CheckpointError error, string problem, string? remedy = null, Exception? innerException = null)
        : base(path, problem, remedy, innerException) => Error = error;

    /// <summary>The rule that is broken.</summary>
    public CheckpointError Error { get; }
}
