using System.Collections.Immutable;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>A tensor inside an open checkpoint: little-endian, row-major, contiguous, valid until the checkpoint is disposed.</summary>
/// <param name="Name">The key, verbatim.</param>
/// <param name="Type">The element type as stored.</param>
/// <param name="Dimensions">Sizes, outermost first; none for a scalar.</param>
/// <param name="Address">The first byte, usually inside a mapped file; may be unaligned.</param>
/// <param name="ByteLength">Bytes; a tensor may be larger than 2 GiB.</param>
public readonly record struct StoredTensor(string Name, ElementType Type, ImmutableArray<long> Dimensions, nint Address, long ByteLength);

/// <summary>An open checkpoint, whatever its file format: names, types, shapes and bytes, fully validated when it was opened.</summary>
public interface ICheckpoint : IDisposable
{
    /// <summary>The file (or index of shards) as the user named it.</summary>
    string Path { get; }

    /// <summary>Every tensor by its key.</summary>
    IReadOnlyDictionary<string, StoredTensor> Tensors { get; }

    /// <summary>Free text that the file carries about itself; empty where the format has none.</summary>
    IReadOnlyDictionary<string, string> Metadata { get; }
}
