using System.Collections.Immutable;
using System.Runtime.InteropServices;
using ClipEngine.Tensors;

namespace ClipEngine.Checkpoints;

/// <summary>
/// Hands a checkpoint's tensors to a backend, by key, shape and role. Nothing is ever filled in: what is missing, of another
/// shape or type, or left over, is collected and refused in one exception by <see cref="Complete"/>.
/// </summary>
/// <example>
/// <code>
/// using var reader = new WeightReader(checkpoint, backend);
/// WeightReader visual = reader.Scope("visual");
/// Weight positions = visual.Read("positional_embedding", WeightRole.Tokens, tokens, width);
/// // ...
/// IReadOnlyList&lt;Weight&gt; owned = reader.Complete();
/// </code>
/// </example>
/// <remarks>
/// After the first problem no further weight is created: what the methods then return only stands in until
/// <see cref="Complete"/> throws. Not thread-safe.
/// </remarks>
public sealed class WeightReader : IDisposable
{
    private readonly State _state;
    private readonly bool _isOnlyChecking;

    /// <summary>A reader over the whole checkpoint.</summary>
    /// <param name="checkpoint">Stays open until <see cref="Complete"/>.</param>
    /// <param name="backend">Takes the weights; null to check only, without reading a single value.</param>
    /// <exception cref="CheckpointException">The weights are larger than the memory there is.</exception>
    public WeightReader(ICheckpoint checkpoint, IBackend? backend)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        _state = new State(checkpoint, backend);
        _isOnlyChecking = backend is null;
        Prefix = "";
        if (backend is not null)
            RefuseWhatExceedsMemory(checkpoint);
    }

    private WeightReader(State state, string prefix, bool isOnlyChecking)
    {
        _state = state;
        Prefix = prefix;
        _isOnlyChecking = isOnlyChecking;
    }

    /// <summary>What stands in front of every name given to this reader, with its final dot; empty at the top.</summary>
    public string Prefix { get; }

    /// <summary>Oddities of the values read so far: NaN, infinity, all zero, denormal only. A report, not a refusal.</summary>
    internal IReadOnlyList<WeightFinding> Findings => _state.Findings;

    /// <summary>Every tensor that was asked for so far, in the order of asking, whether it is there or not.</summary>
    internal IReadOnlyList<(string Key, Shape Shape)> Requests => _state.Requests;

    /// <summary>A reader of the keys below <paramref name="name"/>, so that key names follow the code path.</summary>
    /// <param name="name">One or more steps, <c>visual</c> or <c>transformer.resblocks.0</c>.</param>
    public WeightReader Scope(string name) => new(_state, $"{Prefix}{name}.", _isOnlyChecking);

    /// <summary>
    /// A reader of the same keys that compares shapes and types and takes no value: for a tower that nobody will run. Its weights only
    /// stand in and must not reach a pass.
    /// </summary>
    public WeightReader CheckingOnly() => new(_state, Prefix, isOnlyChecking: true);

    /// <summary>Looked at before each tensor.</summary>
    internal CancellationToken Cancellation
    {
        init => _state.Cancellation = value;
    }

    /// <summary>Whether values are read at all; where only shapes are checked or counted, what would be computed of them need not be.</summary>
    internal bool TakesValues => !_isOnlyChecking && _state.HasBackend;

    /// <summary>Whether the checkpoint has the key; for what a configuration leaves open, never to make up for an absence.</summary>
    public bool Contains(string name) => _state.Checkpoint.Tensors.ContainsKey(Prefix + name);

    /// <summary>The sizes of a tensor as the checkpoint has it, for what a configuration leaves open; null where it is not there.</summary>
    /// <param name="name">The key behind <see cref="Prefix"/>.</param>
    public ImmutableArray<long>? DimensionsOf(string name) => _state.Checkpoint.Tensors.TryGetValue(Prefix + name, out StoredTensor tensor) ? tensor.Dimensions : null;

    /// <summary>Reads a floating-point tensor as a weight.</summary>
    /// <param name="name">The key behind <see cref="Prefix"/>.</param>
    /// <param name="role">What it is used for.</param>
    /// <param name="dimensions">The sizes that the configuration asks for, outermost first; at most <see cref="Shape.MaximumRank"/>.</param>
    /// <returns>The weight, owned by this reader until <see cref="Complete"/>. The same key and role read twice is the same weight.</returns>
    public Weight Read(string name, WeightRole role, params ReadOnlySpan<long> dimensions)
    {
        var shape = new Shape(dimensions);
        string key = Prefix + name;
        if (_isOnlyChecking)
            return _state.Check(key, shape, new AbsentWeight(key, shape, role));
        return _state.GetOrCreate(key, role, shape, () =>
        {
            StoredTensor? tensor = _state.Find(key, shape);
            return tensor is { } found ? _state.Create(found, 0, shape, key, role) : null;
        });
    }

    /// <summary>Reads a tensor as a weight of another shape with the same elements: a 1 x 1 convolution, <c>[out, in, 1, 1]</c>, as the matrix that it is.</summary>
    /// <param name="name">The key behind <see cref="Prefix"/>.</param>
    /// <param name="role">What it is used for.</param>
    /// <param name="shape">The weight's.</param>
    /// <param name="dimensions">The sizes of the tensor as it is stored.</param>
    public Weight ReadAs(string name, WeightRole role, in Shape shape, params ReadOnlySpan<long> dimensions)
    {
        var stored = new Shape(dimensions);
        Shape wanted = shape;
        if (stored.ElementCount != wanted.ElementCount)
            throw new ArgumentException($"{stored} has not the elements of {wanted}.", nameof(shape));
        string key = Prefix + name;
        if (_isOnlyChecking)
            return _state.Check(key, stored, new AbsentWeight(key, wanted, role));
        return _state.GetOrCreate(key, role, wanted, () =>
        {
            StoredTensor? tensor = _state.Find(key, stored);
            return tensor is { } found ? _state.Create(found, 0, wanted, key, role) : null;
        });
    }

    /// <summary>Reads some rows of a tensor (its outermost dimension) as a weight of their own, such as the query part of a fused projection.</summary>
    /// <param name="name">The key behind <see cref="Prefix"/>.</param>
    /// <param name="role">What the rows are used for.</param>
    /// <param name="firstRow">The first row.</param>
    /// <param name="rowCount">How many rows.</param>
    /// <param name="dimensions">The sizes of the whole tensor.</param>
    /// <returns>The weight, named <c>key[first:end]</c>.</returns>
    public Weight ReadRows(string name, WeightRole role, long firstRow, long rowCount, params ReadOnlySpan<long> dimensions)
    {
        var whole = new Shape(dimensions);
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rowCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(firstRow, whole[0] - rowCount);
        Span<long> part = stackalloc long[dimensions.Length];
        dimensions.CopyTo(part);
        part[0] = rowCount;
        var shape = new Shape(part);
        string key = Prefix + name;
        string partName = $"{key}[{firstRow}:{firstRow + rowCount}]";
        if (_isOnlyChecking)
            return _state.Check(key, whole, new AbsentWeight(partName, shape, role));
        return _state.GetOrCreate(partName, role, shape, () =>
        {
            StoredTensor? tensor = _state.Find(key, whole);
            return tensor is { } found ? _state.Create(found, firstRow * (found.ByteLength / Math.Max(1, whole[0])), shape, partName, role) : null;
        });
    }

    /// <summary>Reads a floating-point tensor as fp32 values, for what is computed at load time: a batch norm to be folded, a scale.</summary>
    /// <param name="name">The key behind <see cref="Prefix"/>.</param>
    /// <param name="dimensions">The sizes that the configuration asks for.</param>
    /// <returns>The values, row-major; zeros where the tensor is at fault or only checked.</returns>
    public float[] ReadValues(string name, params ReadOnlySpan<long> dimensions)
    {
        var shape = new Shape(dimensions);
        float[] values = new float[shape.ElementCount];
        if (_state.Find(Prefix + name, shape) is { } tensor && !_isOnlyChecking)
        {
            using TensorBytes bytes = _state.Checkpoint.Borrow(tensor.Name);
            _state.Inspect(tensor, bytes);
            ElementConversion.ToSingle(bytes.Slice(0, (int)bytes.ByteLength), tensor.Type, values);
        }

        return values;
    }

    /// <summary>Reads one number, stored as a scalar or as a vector of one: both are in use for <c>logit_scale</c>.</summary>
    /// <param name="name">The key behind <see cref="Prefix"/>.</param>
    public float ReadScalar(string name)
    {
        bool isVector = _state.Checkpoint.Tensors.TryGetValue(Prefix + name, out StoredTensor tensor) && tensor.Dimensions.Length == 1;
        return isVector ? ReadValues(name, 1)[0] : ReadValues(name)[0];
    }

    /// <summary>Makes a weight of values that were computed from others at load time.</summary>
    /// <param name="name">A name for messages, put behind <see cref="Prefix"/>.</param>
    /// <param name="role">What it is used for.</param>
    /// <param name="values">Row-major.</param>
    /// <param name="dimensions">Sizes, outermost first.</param>
    public unsafe Weight CreateFromValues(string name, WeightRole role, ReadOnlySpan<float> values, params ReadOnlySpan<long> dimensions)
    {
        var shape = new Shape(dimensions);
        if (shape.ElementCount != values.Length)
            throw new ArgumentException($"{values.Length} values do not make {shape}.", nameof(values));
        if (_isOnlyChecking)
            return new AbsentWeight(Prefix + name, shape, role);
        fixed (float* address = values)
        {
            var data = new WeightData(Prefix + name, shape, ElementType.Float32, (nint)address);
            return _state.GetOrCreate(Prefix + name, role, shape, () => _state.CreateFrom(data, role));
        }
    }

    /// <summary>Makes a weight of values that are computed at load time. Where only shapes are checked or counted, nothing is computed and nothing allocated.</summary>
    /// <param name="name">A name for messages, put behind <see cref="Prefix"/>.</param>
    /// <param name="role">What it is used for.</param>
    /// <param name="values">Reads and computes the values, row-major.</param>
    /// <param name="from">The tensors that <paramref name="values"/> reads: keys behind <see cref="Prefix"/> and sizes.</param>
    /// <param name="dimensions">Sizes of the weight, outermost first.</param>
    internal Weight Compute(string name, WeightRole role, Func<float[]> values, ReadOnlySpan<(string Name, Shape Shape)> from, params ReadOnlySpan<long> dimensions)
    {
        if (TakesValues)
            return CreateFromValues(name, role, values(), dimensions);
        foreach ((string key, Shape shape) in from)
            Require(key, shape);
        return new AbsentWeight(Prefix + name, new Shape(dimensions), role);
    }

    /// <summary>Compares a tensor's shape and type without reading it.</summary>
    /// <param name="name">The key behind <see cref="Prefix"/>.</param>
    /// <param name="shape">The sizes that the configuration asks for.</param>
    internal void Require(string name, in Shape shape) => _state.Find(Prefix + name, shape);

    /// <summary>Says that a key may be there though nothing reads it, such as a buffer that follows from the configuration.</summary>
    /// <param name="name">The key behind <see cref="Prefix"/>; ending in a dot, everything below it.</param>
    public void AllowUnused(string name) => _state.Allowed.Add(Prefix + name);

    /// <summary>Says that something does not fit that only the model can see. Collected with the other problems.</summary>
    /// <param name="problem">What was expected and what was found.</param>
    public void Report(string problem) => _state.Problems.Add(new Problem(ProblemKind.Other, Prefix, problem));

    /// <summary>Says what a user can do about a problem. Only shown where the reading is refused.</summary>
    /// <param name="remedy">A sentence.</param>
    public void Advise(string remedy) => _state.Remedies.Add(remedy);

    /// <summary>Ends the reading: refuses everything that did not fit, or hands the weights over.</summary>
    /// <returns>All weights created, now owned by the caller.</returns>
    /// <exception cref="CheckpointException">With all problems; no weight is kept.</exception>
    public IReadOnlyList<Weight> Complete()
    {
        IReadOnlyList<string> problems = ListProblems();
        if (problems.Count > 0)
        {
            Dispose();
            throw _state.Refuse();
        }

        Weight[] owned = [.. _state.Created];
        _state.Created.Clear();
        return owned;
    }

    /// <summary>Everything that does not fit so far, the keys left over included, one line each; empty when all is well.</summary>
    public IReadOnlyList<string> ListProblems() => [.. _state.AllProblems().Select(static problem => problem.Text)];

    /// <summary>Releases the weights of a reading that was not completed.</summary>
    public void Dispose()
    {
        foreach (Weight weight in _state.Created)
            weight.Dispose();
        _state.Created.Clear();
    }

    private static void RefuseWhatExceedsMemory(ICheckpoint checkpoint)
    {
        long needed = 0;
        foreach (StoredTensor tensor in checkpoint.Tensors.Values)
            needed = tensor.ByteLength > long.MaxValue - needed ? long.MaxValue : needed + tensor.ByteLength;
        long available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (needed > available)
        {
            throw new CheckpointException(checkpoint.Path, CheckpointError.ExceedsMemory,
                $"the weights take {needed} bytes, this process may use {available}.", "Use a machine with more memory, or a smaller model.");
        }
    }

    private enum ProblemKind
    {
        Missing,
        WrongShape,
        WrongType,
        Unexpected,
        Other,
    }

    private readonly record struct Problem(ProblemKind Kind, string Key, string Text);

    /// <summary>What all scopes of one reading share.</summary>
    private sealed class State(ICheckpoint checkpoint, IBackend? backend)
    {
        private const int ShownOfEachKind = 10;

        private readonly Dictionary<(string Name, WeightRole Role), Weight> _weights = [];
        private readonly HashSet<string> _used = [];
        private readonly HashSet<string> _faulty = [];
        private readonly HashSet<string> _inspected = [];

        public ICheckpoint Checkpoint => checkpoint;

        public bool HasBackend => backend is not null;

        public CancellationToken Cancellation { get; set; }

        public List<Problem> Problems { get; } = [];

        public List<string> Remedies { get; } = [];

        public List<WeightFinding> Findings { get; } = [];

        public HashSet<string> Allowed { get; } = [];

        public List<Weight> Created { get; } = [];

        public Weight GetOrCreate(string name, WeightRole role, Shape shape, Func<Weight?> create)
        {
            if (_weights.TryGetValue((name, role), out Weight? known))
            {
                if (known.Shape != shape)
                    throw new InvalidOperationException($"{name} is read as {known.Shape} and as {shape}.");
                return known;
            }

            Weight weight = create() ?? new AbsentWeight(name, shape, role);
            _weights.Add((name, role), weight);
            return weight;
        }

        public Weight Check(string key, Shape shape, Weight standIn)
        {
            Find(key, shape);
            return standIn;
        }

        public List<(string Key, Shape Shape)> Requests { get; } = [];

        public StoredTensor? Find(string key, Shape shape)
        {
            Cancellation.ThrowIfCancellationRequested();
            if (_used.Add(key))
                Requests.Add((key, shape));
            string shown = BadInputException.Escape(key, 120);
            if (!checkpoint.Tensors.TryGetValue(key, out StoredTensor tensor))
            {
                AddProblem(ProblemKind.Missing, key, $"missing: {shown} {shape}");
                return null;
            }

            if (!Matches(tensor.Dimensions, shape))
            {
                AddProblem(ProblemKind.WrongShape, key, $"wrong shape: {shown}: expected {shape}, found [{string.Join(", ", tensor.Dimensions)}]");
                return null;
            }

            if (!tensor.Type.IsFloatingPoint())
            {
                AddProblem(ProblemKind.WrongType, key, $"wrong type: {shown}: expected F32, F16, BF16 or F64, found {SafetensorsFormat.NameOf(tensor.Type)}");
                return null;
            }

            return tensor;
        }

        public Weight? Create(StoredTensor tensor, long offset, Shape shape, string name, WeightRole role)
        {
            if (backend is null || Problems.Count > 0)
                return null;
            if (offset == 0 && shape.ElementCount == tensor.ElementCount && Read(tensor, shape, name, role) is { } read)
                return read;
            using TensorBytes bytes = checkpoint.Borrow(tensor.Name);
            Inspect(tensor, bytes);
            return CreateFrom(new WeightData(name, shape, tensor.Type, bytes.Address + (nint)offset), role);
        }

        /// <summary>Lets the backend read the tensor where it lies: half of the time of loading is bytes that pass through memory once more.</summary>
        private Weight? Read(StoredTensor tensor, Shape shape, string name, WeightRole role)
        {
            if (backend is not IReadsTensors reader || checkpoint is not IHasTensorsInFiles files || files.Locate(tensor.Name) is not { } place
                || reader.ReadWeight(place, new WeightData(name, shape, tensor.Type, 0), role, out uint largest) is not { } weight)
                return null;
            if (!WeightFinding.IsOrdinary(tensor.Type, largest))
            {
                // Something is odd: it is looked at element by element.
                weight.Dispose();
                return null;
            }

            _inspected.Add(tensor.Name);
            Created.Add(weight);
            return weight;
        }

        public Weight? CreateFrom(in WeightData data, WeightRole role)
        {
            if (backend is null || Problems.Count > 0)
                return null;
            Weight weight = backend.CreateWeight(data, role);
            Created.Add(weight);
            return weight;
        }

        public void Inspect(StoredTensor tensor, TensorBytes bytes)
        {
            if (_inspected.Add(tensor.Name) && WeightFinding.Of(tensor, bytes) is { } finding)
                Findings.Add(finding);
        }

        public IEnumerable<Problem> AllProblems()
        {
            foreach (Problem problem in Problems)
                yield return problem;
            foreach (string key in checkpoint.Tensors.Keys.Where(key => !_used.Contains(key) && !IsAllowed(key)).Order(StringComparer.Ordinal))
                yield return new Problem(ProblemKind.Unexpected, key, $"unexpected: {BadInputException.Escape(key, 120)} {checkpoint.Tensors[key]}");
        }

        public CheckpointException Refuse()
        {
            var lines = new List<string>();
            foreach (IGrouping<ProblemKind, Problem> kind in AllProblems().GroupBy(static problem => problem.Kind))
            {
                Problem[] problems = [.. kind];
                lines.AddRange(problems.Take(ShownOfEachKind).Select(static problem => "  " + problem.Text));
                if (problems.Length > ShownOfEachKind)
                    lines.Add($"  ... and {problems.Length - ShownOfEachKind} more {Describe(kind.Key)}");
            }

            // What was done to the keys before they were compared is part of the reason.
            lines.AddRange(checkpoint.Notices.Select(static notice => $"  note: {notice}"));
            string remedy = Remedies.Count > 0 ? string.Join(' ', Remedies.Distinct()) : "Use the configuration that belongs to these weights.";
            return new CheckpointException(checkpoint.Path, CheckpointError.DoesNotFit,
                $"does not fit the model's configuration:\n{string.Join('\n', lines)}\n",
                $"{remedy} 'clipengine inspect' lists what the file holds.");
        }

        private static string Describe(ProblemKind kind) => kind switch
        {
            ProblemKind.Missing => "missing",
            ProblemKind.WrongShape => "of a wrong shape",
            ProblemKind.WrongType => "of a wrong type",
            ProblemKind.Unexpected => "unexpected",
            _ => "problems",
        };

        private static bool Matches(ImmutableArray<long> found, Shape expected)
        {
            if (found.Length != expected.Rank)
                return false;
            for (int i = 0; i < found.Length; i++)
            {
                if (found[i] != expected[i])
                    return false;
            }

            return true;
        }

        private void AddProblem(ProblemKind kind, string key, string text)
        {
            if (_faulty.Add(key))
                Problems.Add(new Problem(kind, key, text));
        }

        private bool IsAllowed(string key)
        {
            if (Allowed.Contains(key))
                return true;
            for (int dot = key.IndexOf('.'); dot >= 0; dot = key.IndexOf('.', dot + 1))
            {
                if (Allowed.Contains(key[..(dot + 1)]))
                    return true;
            }

            return false;
        }
    }

    /// <summary>Stands in for a weight that was not created; no pass ever sees it, because <see cref="Complete"/> throws or nothing runs.</summary>
    private sealed class AbsentWeight(string name, Shape shape, WeightRole role) : Weight(name, shape, role, ElementType.Float32)
    {
        public override long ByteLength => 0;

        protected override void Dispose(bool disposing)
        {
            // It owns nothing.
        }
    }
}
