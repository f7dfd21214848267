using System.Buffers;
using System.Collections.Immutable;
using System.IO.Compression;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using System.Text;
using ClipEngine.Checkpoints.Archives;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>
/// A PyTorch archive (<c>.pt</c>, <c>.pth</c>, <c>.bin</c>) as <c>torch.save</c> and <c>torch.jit.save</c> write it since 1.6,
/// read without executing anything: the pickle is parsed by a closed set of opcodes into inert records, code in it is never
/// looked at, and nothing but the file itself is read. There is no switch that changes this.
/// </summary>
/// <remarks>
/// Tensors that share a storage share its bytes in the file. A storage's checksum is compared when one of its tensors is first
/// borrowed.
/// </remarks>
internal sealed class PyTorchArchive : ICheckpoint
{
    private const int MaximumPickleLength = 256_000_000;

    private readonly CheckpointFile _file;
    private readonly Dictionary<string, Storage> _storages = [];
    private readonly Dictionary<string, View> _views = [];
    private readonly Dictionary<string, StoredTensor> _tensors = [];

    private bool _hasNoSums;

    private PyTorchArchive(CheckpointFile file) => _file = file;

    /// <inheritdoc/>
    public string Path => _file.Path;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, StoredTensor> Tensors => _tensors;

    /// <summary>Plain values that were saved beside the weights, such as the epoch of a training checkpoint.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; private set; } = new Dictionary<string, string>();

    /// <inheritdoc/>
    public IReadOnlyList<string> Notices { get; private set; } = [];

    /// <inheritdoc/>
    public string Format => IsScript ? "TorchScript archive (the code in it is not used)" : "PyTorch archive";

    /// <summary>Whether the archive is a TorchScript module, as OpenAI publishes its models. Its code is not used.</summary>
    public bool IsScript { get; private set; }

    /// <summary>Opens and validates an archive.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="CheckpointException">Any departure from the format, anything that could be called, or weights that cannot be told from others.</exception>
    public static PyTorchArchive Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        CheckpointFile file = CheckpointFile.Open(path);
        var archive = new PyTorchArchive(file);
        try
        {
            archive.Read();
            return archive;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public TensorBytes Borrow(string name)
    {
        StoredTensor tensor = _tensors[name];
        View view = _views[name];
        int size = tensor.Type.SizeInBytes();
        bool isContiguous = tensor.ByteLength == 0 || IsContiguous(view.Tensor);
        TensorBytes bytes;
        if (!view.Storage.Member.IsStored)
        {
            TensorBytes whole = Inflate(view.Storage);
            bytes = isContiguous ? Part(whole, view.Tensor.Offset * size, tensor.ByteLength) : Gather(whole, view.Tensor, tensor.ByteLength, size);
        }
        else
        {
            CheckSum(view.Storage);
            bytes = isContiguous
                ? _file.Borrow(view.Storage.Member.Start + view.Tensor.Offset * size, tensor.ByteLength, size)
                : Gather(_file.Borrow(view.Storage.Member.Start, view.Storage.Member.Length, size), view.Tensor, tensor.ByteLength, size);
        }

        return view.Tensor.IsNegative ? Negate(bytes, tensor.Type) : bytes;
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private void Read()
    {
        ZipDirectory zip = ZipDirectory.Read(_file);
        string prefix = FindPrefix(zip);
        _hasNoSums = zip.Members.Values.Any(static member => member.Length > 0) && zip.Members.Values.All(static member => member.Crc == 0);
        CheckVersion(zip, prefix);
        IsScript = zip.Members.ContainsKey(prefix + "constants.pkl");
        PickleContent content = ReadPickle(zip, prefix + "data.pkl");
        AddStorages(zip, prefix + "data/", content);
        if (IsScript)
            AddStorages(zip, prefix + "constants/", ReadPickle(zip, prefix + "constants.pkl"));
        StateDictionary state = StateDictionary.Find(content.Value, Path);
        Metadata = state.Metadata;
        Notices = _hasNoSums ? [$"{Path}: was written without checksums (torch.utils.serialization.config.save.compute_crc32 = False): damage would not be noticed.", .. state.Notices] : state.Notices;
        foreach ((string key, PickleTensor tensor) in state.Tensors)
        {
            Storage storage = _storages[prefix + "data/" + tensor.Storage.Key];
            long count = 1;
            foreach (long length in tensor.Sizes)
                count = length > 0 && count > long.MaxValue / length ? long.MaxValue : count * length;
            if (count > storage.Member.Length / tensor.Type.SizeInBytes())
                throw Refuse($"has as '{BadInputException.Escape(key, 80)}' a tensor of {count} elements in a storage of {storage.Member.Length} bytes: an expanded view.", CheckpointError.Unsupported);
            _views.Add(key, new View(storage, tensor));
            _tensors.Add(key, new StoredTensor(key, tensor.Type, ImmutableCollectionsMarshal.AsImmutableArray(tensor.Sizes), count * tensor.Type.SizeInBytes()));
        }
    }

    private string FindPrefix(ZipDirectory zip)
    {
        string[] pickles = [.. zip.Members.Keys.Where(static name => name == "data.pkl" || name.EndsWith("/data.pkl", StringComparison.Ordinal))];
        if (zip.Members.Keys.Any(static name => name == "archive_format" || name.EndsWith("/archive_format", StringComparison.Ordinal) || name.EndsWith("serialized_exported_program.json", StringComparison.Ordinal)))
        {
            throw new CheckpointException(Path, CheckpointError.Unsupported, "is a program of torch.export (.pt2), which holds its weights as constants of a graph.",
                "Save its weights with PyTorch: torch.save(torch.export.load(FILE).state_dict, \"weights.pt\").");
        }

        if (pickles.Length == 0 && zip.Members.Keys.All(static name => name.EndsWith(".npy", StringComparison.Ordinal)))
        {
            throw new CheckpointException(Path, CheckpointError.Unsupported, "is a NumPy archive (.npz), which no CLIP model is published in.", "Save the weights as safetensors.");
        }

        if (pickles.Length == 0)
            throw Refuse("is a zip archive without 'data.pkl': no PyTorch checkpoint.", CheckpointError.UnknownFormat);
        if (pickles.Length > 1)
            throw Refuse($"has {pickles.Length} members named data.pkl.", CheckpointError.Ambiguous);
        string prefix = pickles[0][..^"data.pkl".Length];
        if (prefix.Count(static character => character == '/') != 1)
            throw Refuse($"has its data.pkl at '{BadInputException.Escape(pickles[0], 80)}' instead of in one top folder.");
        foreach (string name in zip.Members.Keys)
        {
            if (!name.StartsWith(prefix, StringComparison.Ordinal))
                throw Refuse($"has the member '{BadInputException.Escape(name, 80)}' outside its folder '{BadInputException.Escape(prefix, 80)}'.");
        }

        return prefix;
    }

    private void CheckVersion(ZipDirectory zip, string prefix)
    {
        foreach (string name in new[] { "version", ".data/version" })
        {
            if (ReadText(zip, prefix + name) is { } version && (version.Length is 0 or > 8 || !version.All(char.IsAsciiDigit)))
                throw Refuse($"has '{BadInputException.Escape(version, 40)}' as its version; a number is expected.");
        }

        string? order = ReadText(zip, prefix + "byteorder");
        if (order is "big")
            throw Refuse("was saved on a big-endian machine.", CheckpointError.Unsupported);
        if (order is not (null or "little"))
            throw Refuse($"has '{BadInputException.Escape(order, 40)}' as its byte order; 'little' is expected.");
    }

    private string? ReadText(ZipDirectory zip, string name)
    {
        const int Longest = 64;
        return zip.Members.ContainsKey(name) ? Encoding.Latin1.GetString(ReadMember(zip, name, Longest)).TrimEnd('\n') : null;
    }

    private PickleContent ReadPickle(ZipDirectory zip, string name) =>
        PickleReader.Read(ReadMember(zip, name, MaximumPickleLength), Path, BadInputException.Escape(name, 80), IsScript);

    private byte[] ReadMember(ZipDirectory zip, string name, int longest)
    {
        ZipMember member = Find(zip, name);
        if (member.Length > longest)
            throw Refuse($"has a member '{BadInputException.Escape(name, 80)}' of {member.Length} bytes; at most {longest} are read.", CheckpointError.TooComplex);
        byte[] bytes;
        if (member.IsStored)
        {
            bytes = _file.Read(member.Start, (int)member.Length);
        }
        else
        {
            bytes = GC.AllocateUninitializedArray<byte>((int)member.Length);
            Inflate(member, bytes);
        }

        return _hasNoSums || Crc32.HashToUInt32(bytes) == member.Crc ? bytes : throw RefuseSum(name);
    }

    private ZipMember Find(ZipDirectory zip, string name) => zip.Members.TryGetValue(name, out ZipMember member)
        ? member
        : throw Refuse($"has no member '{BadInputException.Escape(name, 80)}'.");

    private void AddStorages(ZipDirectory zip, string folder, PickleContent content)
    {
        foreach (PickleStorage declared in content.Storages)
        {
            string name = folder + declared.Key;
            if (!_storages.TryGetValue(name, out Storage? storage))
                _storages.Add(name, new Storage(Find(zip, name), declared));
            else if (storage.Declared != declared)
                throw Refuse($"declares the storage '{BadInputException.Escape(name, 80)}' twice, differently.", CheckpointError.InvalidStorage);
        }

        foreach (PickleTensor tensor in content.Tensors)
            CheckBounds(tensor, _storages[folder + tensor.Storage.Key].Member);
        foreach (string name in zip.Members.Keys)
        {
            if (name.StartsWith(folder, StringComparison.Ordinal) && !_storages.ContainsKey(name))
                throw Refuse($"has the member '{BadInputException.Escape(name, 80)}', which no tensor uses.");
        }
    }

    private void CheckBounds(PickleTensor tensor, ZipMember member)
    {
        int size = tensor.Type.SizeInBytes();
        UInt128 declared = (UInt128)tensor.Storage.Length * (UInt128)(tensor.Storage.Type is null ? 1 : size);
        if (declared != (UInt128)member.Length)
        {
            throw Refuse($"has a storage '{BadInputException.Escape(member.Name, 80)}' that should take {declared} bytes; the member has {member.Length}.",
                CheckpointError.InvalidStorage);
        }

        if (tensor.Offset < 0 || tensor.Sizes.Length != tensor.Strides.Length)
            throw Refuse($"has a tensor of storage '{BadInputException.Escape(member.Name, 80)}' with a negative offset, or with as many strides as no shape.", CheckpointError.InvalidStorage);
        // The last element's index decides; an empty tensor touches nothing.
        UInt128 last = (UInt128)tensor.Offset;
        UInt128 count = 1;
        for (int i = 0; i < tensor.Sizes.Length; i++)
        {
            if (tensor.Sizes[i] > 0)
                last += (UInt128)(tensor.Sizes[i] - 1) * (UInt128)tensor.Strides[i];
            count = count > long.MaxValue && tensor.Sizes[i] > 0 ? count : count * (UInt128)tensor.Sizes[i];
        }

        UInt128 length = (UInt128)(member.Length / size);
        bool fits = count == 0 ? (UInt128)tensor.Offset <= length : last < length;
        if (!fits)
        {
            throw Refuse($"has a tensor that reaches to element {last} of the storage '{BadInputException.Escape(member.Name, 80)}', which has {length}.",
                CheckpointError.InvalidStorage);
        }
    }

    private void CheckSum(Storage storage)
    {
        if (storage.IsVerified || _hasNoSums)
            return;
        const int ChunkLength = 1 << 20;
        var sum = new Crc32();
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ChunkLength);
        for (long done = 0; done < storage.Member.Length; done += ChunkLength)
        {
            Span<byte> chunk = buffer.AsSpan(0, (int)Math.Min(ChunkLength, storage.Member.Length - done));
            _file.Read(storage.Member.Start + done, chunk);
            sum.Append(chunk);
        }

        ArrayPool<byte>.Shared.Return(buffer);
        if (sum.GetCurrentHashAsUInt32() != storage.Member.Crc)
            throw RefuseSum(storage.Member.Name);
        storage.IsVerified = true;
    }

    private static bool IsContiguous(PickleTensor tensor)
    {
        long expected = 1;
        for (int i = tensor.Sizes.Length - 1; i >= 0; i--)
        {
            // The stride of a dimension of one element is never used, and PyTorch writes anything there.
            if (tensor.Sizes[i] != 1 && tensor.Strides[i] != expected)
                return false;
            expected *= tensor.Sizes[i];
        }

        return true;
    }

    /// <summary>Copies a transposed or otherwise strided view into row-major order.</summary>
    /// <param name="storage">The whole storage; given back here.</param>
    /// <param name="tensor">The view.</param>
    /// <param name="byteLength">Bytes of the view.</param>
    /// <param name="size">Bytes of an element.</param>
    private static unsafe TensorBytes Gather(TensorBytes storage, PickleTensor tensor, long byteLength, int size)
    {
        using TensorBytes source = storage;
        TensorBytes gathered = TensorBytes.Allocate(byteLength);
        byte* copy = (byte*)gathered.Address;
        long[] sizes = tensor.Sizes;
        long[] strides = tensor.Strides;
        Span<long> index = stackalloc long[sizes.Length];
        long element = tensor.Offset;
        for (long i = 0; i < byteLength; i += size)
        {
            Buffer.MemoryCopy((byte*)source.Address + element * size, copy + i, size, size);
            for (int dimension = sizes.Length - 1; dimension >= 0; dimension--)
            {
                element += strides[dimension];
                if (++index[dimension] < sizes[dimension])
                    break;
                element -= sizes[dimension] * strides[dimension];
                index[dimension] = 0;
            }
        }

        return gathered;
    }

    private static TensorBytes Part(TensorBytes whole, long start, long length) => new(whole.Address + (nint)start, length, whole.Dispose);

    /// <summary>The values of a view with PyTorch's negative bit: minus what is stored.</summary>
    private static unsafe TensorBytes Negate(TensorBytes stored, ElementType type)
    {
        using TensorBytes source = stored;
        TensorBytes negated = TensorBytes.Allocate(source.ByteLength);
        byte* from = (byte*)source.Address;
        byte* to = (byte*)negated.Address;
        int size = type.SizeInBytes();
        long count = source.ByteLength / size;
        if (type.IsFloatingPoint())
        {
            Buffer.MemoryCopy(from, to, source.ByteLength, source.ByteLength);
            for (long i = 0; i < count; i++)
                to[(i * size) + size - 1] ^= 0x80; // the sign bit; -0 and NaN included
            return negated;
        }

        for (long i = 0; i < count; i++)
        {
            // Two's complement, at any width.
            int carry = 1;
            for (int b = 0; b < size; b++)
            {
                int sum = (byte)~from[(i * size) + b] + carry;
                to[(i * size) + b] = (byte)sum;
                carry = sum >> 8;
            }
        }

        return negated;
    }

    /// <summary>Unpacks a whole storage into memory: archives that were packed again by another program.</summary>
    private unsafe TensorBytes Inflate(Storage storage)
    {
        long length = storage.Member.Length;
        if (length > GC.GetGCMemoryInfo().TotalAvailableMemoryBytes)
            throw new CheckpointException(Path, CheckpointError.ExceedsMemory, $"has a packed storage of {length} bytes, more than this process may use.", "Save the weights with PyTorch, which does not pack them.");
        TensorBytes bytes = TensorBytes.Allocate(length);
        try
        {
            using Stream stream = OpenPacked(storage.Member);
            var sum = new Crc32();
            const int ChunkLength = 1 << 20;
            for (long done = 0; done < length; done += ChunkLength)
            {
                var chunk = new Span<byte>((byte*)bytes.Address + done, (int)Math.Min(ChunkLength, length - done));
                ReadExactly(stream, chunk, storage.Member);
                sum.Append(chunk);
            }

            RefuseMore(stream, storage.Member);
            return _hasNoSums || sum.GetCurrentHashAsUInt32() == storage.Member.Crc ? bytes : throw RefuseSum(storage.Member.Name);
        }
        catch
        {
            bytes.Dispose();
            throw;
        }
    }

    private void Inflate(ZipMember member, Span<byte> bytes)
    {
        using Stream stream = OpenPacked(member);
        ReadExactly(stream, bytes, member);
        RefuseMore(stream, member);
    }

    private DeflateStream OpenPacked(ZipMember member) => new(new FilePartStream(_file, member.Start, member.PackedLength), CompressionMode.Decompress);

    private void ReadExactly(Stream stream, Span<byte> bytes, ZipMember member)
    {
        try
        {
            stream.ReadExactly(bytes);
        }
        catch (Exception exception) when (exception is EndOfStreamException or InvalidDataException)
        {
            throw RefusePacked(member, exception);
        }
    }

    private void RefuseMore(Stream stream, ZipMember member)
    {
        try
        {
            if (stream.ReadByte() >= 0)
                throw RefusePacked(member, null);
        }
        catch (InvalidDataException exception)
        {
            throw RefusePacked(member, exception);
        }
    }

    private CheckpointException RefusePacked(ZipMember member, Exception? cause) => new(Path, CheckpointError.InvalidArchive,
        $"has a packed member '{BadInputException.Escape(member.Name, 80)}' that does not unpack to its {member.Length} bytes.", "The file is damaged: get it again from its source.", cause);

    private CheckpointException RefuseSum(string name) =>
        Refuse($"has a member '{BadInputException.Escape(name, 80)}' whose bytes do not match their checksum.");

    private CheckpointException Refuse(string problem, CheckpointError error = CheckpointError.InvalidArchive) =>
        new(Path, error, problem, error == CheckpointError.Unsupported
            ? "Load the file with PyTorch and save only the weights, contiguous."
            : "The file is damaged, or is no PyTorch checkpoint: get it again from its source.");

    private sealed class Storage(ZipMember member, PickleStorage declared)
    {
        public ZipMember Member { get; } = member;

        public PickleStorage Declared { get; } = declared;

        public bool IsVerified { get; set; }
    }

    private sealed record View(Storage Storage, PickleTensor Tensor);
}
