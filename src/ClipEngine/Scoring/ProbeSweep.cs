using System.Collections.Immutable;
using System.Runtime.InteropServices;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Scoring;

/// <summary>
/// Scores many images against many prompts in one fused pass that never holds <c>[images, prompts]</c>:
/// <c>score = scale * I T^T + bias</c>, then softmax within each segment of columns, or a sigmoid.
/// </summary>
/// <remarks>
/// <para>Rows are taken as they come: nothing is normalised here, and a score is a scaled cosine only where the caller made image
/// and prompt rows unit vectors. Products and exponentials are fp32: a probability's relative error is about
/// <c>scale * sqrt(width) * 1e-7</c>, and one below 2^-126 may come out as 0. The best of equal scores is the lowest column.
/// A row that is not finite, or all zeros, is refused by number.</para>
/// <para>Totals are reduced in double precision within chunks of <see cref="ChunkRows"/> rows and added up exactly: the same bits
/// for any number of threads, batches or shards whose borders are multiples of <see cref="ChunkRows"/>. Instruction sets differ
/// in the last bits, and so do GPUs; <see cref="InstructionSet"/> names what is in use.</para>
/// <para>With <see cref="ProbeSweepOptions.Precision"/> below fp32 every score carries a bound, from the norms of what rounding took
/// from its two rows (Cauchy and Schwarz). A score that the bound leaves open is multiplied again in fp32, so that top columns, argmax
/// counts and ties are those of fp32; probabilities, margins and sums lie within bounds that <see cref="SweepTotals"/> and
/// <see cref="SweepRows.Bounds"/> report. Bounds hold against the same sweep in fp32 on the same processor.</para>
/// <para>On GPUs 16-bit rows multiply on tensor cores with fp32 sums; prompts keep 24 bits beside BFloat16 rows and at least 22
/// beside Float16 rows. Float32 and Float64 rows multiply in true fp32.</para>
/// <para>Memory beyond inputs and outputs, for each thread: 256 rows of packed features and 256 scores for each column of the
/// longest segment. Runs on the native library's thread pool (<see cref="NativeThreads"/>); a steady state allocates nothing.
/// Thread-safe: concurrent runs take turns.</para>
/// </remarks>
public sealed class ProbeSweep : IDisposable
{
    /// <summary>Rows whose totals are reduced together; shards must begin at multiples of it.</summary>
    public const int ChunkRows = NativeMethods.SweepChunkRows;

    private readonly SweepEngine _engine;
    private readonly Lock _turn = new();
    private volatile bool _isDisposed;

    /// <summary>Packs the prompts.</summary>
    /// <param name="prompts">Prompt features <c>[prompts, width]</c>; not read after the constructor returns.</param>
    /// <param name="options">What to compute.</param>
    /// <exception cref="BadInputException">A prompt is not finite or all zeros, or there are more than 2^24.</exception>
    /// <exception cref="ArgumentException">The options contradict each other or the prompts.</exception>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public ProbeSweep(FeatureSource prompts, ProbeSweepOptions options)
        : this(prompts, options, devices: null)
    {
    }

    /// <summary>Packs the prompts, for GPUs.</summary>
    /// <param name="prompts">Prompt features <c>[prompts, width]</c>; not read after the constructor returns.</param>
    /// <param name="options">What to compute.</param>
    /// <param name="devices">The GPUs, which share the rows; null for the processor.</param>
    /// <exception cref="BadInputException">A prompt is not finite or all zeros, or there are more than 2^24.</exception>
    /// <exception cref="ArgumentException">The options contradict each other or the prompts.</exception>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    /// <exception cref="InsufficientMemoryException">A GPU's memory is too small.</exception>
    public unsafe ProbeSweep(FeatureSource prompts, ProbeSweepOptions options, CudaDevices? devices)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(options);
        if (prompts.Rows is < 1 or > NativeMethods.SweepMaximumPrompts)
            throw new BadInputException(prompts.Name, $"expected 1 to {NativeMethods.SweepMaximumPrompts} prompts, found {prompts.Rows}.");
        PromptCount = checked((int)prompts.Rows);
        Width = prompts.Width;
        SegmentLengths = options.SegmentLengths.IsDefault ? [PromptCount] : options.SegmentLengths;
        Options = options;
        CheckOptions(options, SegmentLengths, PromptCount);
        if (devices is not null && options.Precision != SweepPrecision.Float32)
            throw new ArgumentException($"A sweep in {options.Precision} runs on the processor; on a GPU 16-bit rows use tensor cores as they are.", nameof(options));

        long bytes = prompts.Rows * prompts.Width * sizeof(float);
        float* values = (float*)NativeMemory.Alloc((nuint)bytes);
        try
        {
            for (long row = 0; row < prompts.Rows; row++)
                prompts.ReadRows(row, new Span<float>(values + (row * Width), checked((int)Width)));
            fixed (int* segments = SegmentLengths.AsSpan())
            {
                var plan = new NativeSweepPlan
                {
                    Prompts = values,
                    PromptCount = PromptCount,
                    Width = Width,
                    SegmentLengths = segments,
                    SegmentCount = SegmentLengths.Length,
                    GroupCount = options.GroupCount,
                    ReplicateCount = options.ReplicateCount,
                    Scale = options.Scale,
                    Bias = options.Bias,
                    PromptType = SweepEngine.NativeType(ElementType.Float32),
                    Activation = (int)options.Activation,
                    TopCount = options.TopCount,
                    Entropy = options.Entropy ? 1 : 0,
                    Precision = (int)options.Precision,
                };
                _engine = devices is null ? CpuSweepEngine.Create(&plan, prompts.Name) : CudaSweepEngine.Create(devices, &plan, prompts.Name);
            }
        }
        finally
        {
            NativeMemory.Free(values);
        }
    }

    /// <summary>What is computed.</summary>
    public ProbeSweepOptions Options { get; }

    /// <summary>Columns.</summary>
    public int PromptCount { get; }

    /// <summary>Features of a row.</summary>
    public long Width { get; }

    /// <summary>Columns of each segment.</summary>
    public ImmutableArray<int> SegmentLengths { get; }

    /// <summary>What this sweep runs on: <c>avx512</c>, <c>avx2</c> or <c>portable</c>, or the names of GPUs as in <c>cuda:0,cuda:1</c>.</summary>
    public string InstructionSet => _engine.Name;

    /// <summary>
    /// What scores are multiplied in: <see cref="ProbeSweepOptions.Precision"/>, or Float32 where that would not be faster (up to 16 prompts,
    /// a processor without the instruction or with a slow one) or has no bound (rows wider than 65,536, a scale or prompts of extreme size).
    /// </summary>
    public SweepPrecision Precision => _engine.Precision;

    /// <summary>Scores images.</summary>
    /// <param name="input">The images and what belongs to them.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <returns>Totals by group and replicate; without any of either, only the number of rows.</returns>
    /// <exception cref="BadInputException">Another width than the prompts', a row that is not finite, all zeros or too large, or a file that ends early; names the row.</exception>
    /// <exception cref="ArgumentException">The input lacks what the options need, or a group is out of range.</exception>
    /// <exception cref="ObjectDisposedException">The sweep or its input is disposed, before the run or during it.</exception>
    public SweepTotals Run(ProbeSweepInput input, CancellationToken cancellationToken = default)
    {
        var totals = new SweepTotals(Options.GroupCount, PromptCount, Options.ReplicateCount);
        Run(input, totals, cancellationToken);
        return totals;
    }

    /// <summary>Scores images and adds to totals that exist; a steady state of equal runs allocates nothing that grows with them.</summary>
    /// <param name="input">The images and what belongs to them.</param>
    /// <param name="totals">As many groups, prompts and replicates as this sweep's; unspecified where an exception is thrown.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <exception cref="BadInputException">As the other overload.</exception>
    /// <exception cref="ArgumentException">As the other overload; or totals of another shape.</exception>
    public void Run(ProbeSweepInput input, SweepTotals totals, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(totals);
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        long count = CheckInput(input);
        if (totals.GroupCount != Options.GroupCount || totals.PromptCount != PromptCount || totals.ReplicateCount != Options.ReplicateCount)
            throw new ArgumentException("The totals belong to another sweep: their numbers of groups, prompts and replicates differ.", nameof(totals));
        lock (_turn)
            RunBatches(input, count, totals, cancellationToken);
    }

    /// <summary>Releases the prompts. Waits for nothing: a run that is in progress throws <see cref="ObjectDisposedException"/> at its next batch.</summary>
    public void Dispose()
    {
        _isDisposed = true;
        _engine.Dispose(); // the batch that is being scored keeps what it uses
    }

    private static void CheckOptions(ProbeSweepOptions options, ImmutableArray<int> segmentLengths, int promptCount)
    {
        if (segmentLengths.Any(static length => length < 1) || segmentLengths.Sum(static length => (long)length) != promptCount)
            throw new ArgumentException($"{segmentLengths.Length} segments hold {segmentLengths.Sum(static length => (long)length)} columns; there are {promptCount} prompts, and every segment holds at least one.", nameof(options));
        if (options.TopCount < 0 || options.TopCount > segmentLengths.Min())
            throw new ArgumentException($"The shortest segment has {segmentLengths.Min()} columns; found a top count of {options.TopCount}.", nameof(options));
        if (options.Entropy && options.Activation != SweepActivation.Softmax)
            throw new ArgumentException("Entropy needs probabilities that sum to one; a sigmoid's do not.", nameof(options));
        if (!double.IsFinite(options.Scale) || !double.IsFinite(options.Bias))
            throw new ArgumentException($"Scale and bias must be finite; found {options.Scale} and {options.Bias}.", nameof(options));
        if (!Enum.IsDefined(options.Activation))
            throw new ArgumentException($"Unknown activation {options.Activation}.", nameof(options));
        if (!Enum.IsDefined(options.Precision))
            throw new ArgumentException($"Unknown precision {options.Precision}.", nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(options.GroupCount, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(options.ReplicateCount, nameof(options));
    }

    private long CheckInput(ProbeSweepInput input)
    {
        FeatureSource images = input.Images;
        if (images.Width != Width)
            throw new BadInputException(images.Name, $"expected features {Width} wide, as the prompts are; found {images.Width}.", "Images and texts must come from the same model.");
        long count = input.RowCount ?? images.Rows - input.FirstRow;
        if (input.FirstRow < 0 || count < 0 || input.FirstRow + count > images.Rows)
            throw new ArgumentException($"Rows {input.FirstRow} to {input.FirstRow + count} are not all in the {images.Rows} of {images.Name}.", nameof(input));
        if (input.FirstRow % ChunkRows != 0 || (count % ChunkRows != 0 && input.FirstRow + count != images.Rows))
            throw new ArgumentException($"A run begins and ends at multiples of {ChunkRows} rows, so that totals do not depend on how rows are shared out.", nameof(input));
        if (Options.ReplicateCount > 0 && input.Weights is null)
            throw new ArgumentException("The options ask for weighted sums and there are no weights.", nameof(input));
        if (input.Rows is null && (Options.Probabilities || Options.Entropy || Options.Margin || Options.TopCount > 0))
            throw new ArgumentException("The options ask for outputs of each row and nobody takes them.", nameof(input));
        if (images.Resident is not null)
            images.Resident.Check(_engine, input, count, Options.GroupCount);
        if (!input.Groups.IsEmpty && input.Groups.Length != images.Rows)
            throw new ArgumentException($"{input.Groups.Length} groups for {images.Rows} images.", nameof(input));
        if (Options.GroupCount > 0)
        {
            foreach (int group in input.Groups.Span)
            {
                if (group < -1 || group >= Options.GroupCount)
                    throw new ArgumentException($"Groups are -1 to {Options.GroupCount - 1}; found {group}.", nameof(input));
            }
        }

        return count;
    }

    private long BatchRows(FeatureSource images, long count)
    {
        var (chunks, fewest, outputBytes) = _engine.BatchSize(PromptCount, Width);
        long cells = SegmentLengths.Length;
        long rowBytes = ((Options.Probabilities ? PromptCount : 0) + (cells * 2 * Options.TopCount) + (Options.Entropy ? cells : 0) + (Options.Margin ? cells : 0) + Options.ReplicateCount) * sizeof(float);
        if (rowBytes > 0)
            chunks = Math.Max(Math.Min(chunks, outputBytes / (rowBytes * ChunkRows)), fewest);
        // Rows on GPUs are cut where their tables are.
        if (images.Resident is not null)
            chunks = (chunks + CudaFeatures.ChunksOfABatch - 1) / CudaFeatures.ChunksOfABatch * CudaFeatures.ChunksOfABatch;
        return Math.Min(chunks * ChunkRows, Math.Max(count, 1));
    }

    private unsafe void RunBatches(ProbeSweepInput input, long count, SweepTotals totals, CancellationToken cancellationToken)
    {
        FeatureSource images = input.Images;
        int batchRows = checked((int)BatchRows(images, count));
        long cells = SegmentLengths.Length;
        using var probabilities = new NativeBuffer<float>(Options.Probabilities ? batchRows * (long)PromptCount : 0);
        using var topColumns = new NativeBuffer<int>(batchRows * cells * Options.TopCount);
        using var topProbabilities = new NativeBuffer<float>(batchRows * cells * Options.TopCount);
        using var entropy = new NativeBuffer<float>(Options.Entropy ? batchRows * cells : 0);
        using var margin = new NativeBuffer<float>(Options.Margin ? batchRows * cells : 0);
        bool hasRowOutputs = Options.Probabilities || Options.Margin || Options.TopCount > 0;
        using var bounds = new NativeBuffer<float>(hasRowOutputs && Precision != SweepPrecision.Float32 ? batchRows : 0);
        using var weights = new NativeBuffer<float>(batchRows * (long)Options.ReplicateCount);
        using FeatureSource.Access access = images.Pin();
        using System.Buffers.MemoryHandle groups = input.Groups.Pin();
        long rowBytes = Width * images.Type.SizeInBytes();

        fixed (long* groupRows = totals.GroupRowsArray)
        fixed (long* argmaxCounts = totals.ArgmaxCountsArray)
        fixed (Int128* sums = totals.SumsArray)
        fixed (Int128* weightedSums = totals.WeightedSumsArray)
        fixed (Int128* sumBounds = totals.SumBoundsArray)
        fixed (Int128* weightedBounds = totals.WeightedBoundsArray)
        {
            for (long done = 0; done < count;)
            {
                cancellationToken.ThrowIfCancellationRequested();
                ObjectDisposedException.ThrowIf(_isDisposed, this);
                int rows = (int)Math.Min(batchRows, count - done);
                long first = input.FirstRow + done;
                input.Weights?.Invoke(first, rows, weights.Span(rows * (long)Options.ReplicateCount));
                var batch = new NativeSweepBatch
                {
                    Rows = access.Address == 0 ? null : (byte*)access.Address + (first * rowBytes),
                    RowCount = rows,
                    File = access.File,
                    FileOffset = access.FileOffset + (first * rowBytes),
                    RowType = SweepEngine.NativeType(images.Type),
                    Groups = input.Groups.IsEmpty ? null : (int*)groups.Pointer + first,
                    Weights = weights.Pointer,
                    WeightStride = rows,
                    Probabilities = probabilities.Pointer,
                    TopIndices = topColumns.Pointer,
                    TopProbabilities = topProbabilities.Pointer,
                    Entropy = entropy.Pointer,
                    Margin = margin.Pointer,
                    GroupRows = groupRows,
                    ArgmaxCounts = argmaxCounts,
                    Sums = sums,
                    WeightedSums = weightedSums,
                    Bounds = bounds.Pointer,
                    SumBounds = sumBounds,
                    WeightedBounds = weightedBounds,
                };
                _engine.Run(&batch, images, first);
                totals.AddRows(rows);
                totals.AddBounds(batch.OpenScores, batch.Bound, batch.EntropyBound);
                input.Rows?.Invoke(new SweepRows
                {
                    FirstRow = first,
                    RowCount = rows,
                    Probabilities = probabilities.Span(rows * (long)PromptCount),
                    TopColumns = topColumns.Span(rows * cells * Options.TopCount),
                    TopProbabilities = topProbabilities.Span(rows * cells * Options.TopCount),
                    Entropy = entropy.Span(rows * cells),
                    Margin = margin.Span(rows * cells),
                    Bounds = bounds.Span(rows),
                });
                done += rows;
                input.Progress?.Report(done);
            }
        }
    }

    /// <summary>Memory outside the managed heap; nothing at all for a length of 0.</summary>
    private readonly unsafe struct NativeBuffer<T>(long length) : IDisposable
        where T : unmanaged
    {
        public T* Pointer { get; } = length == 0 ? null : (T*)NativeMemory.Alloc(checked((nuint)length), (nuint)sizeof(T));

        public Span<T> Span(long count) => Pointer is null ? [] : new Span<T>(Pointer, checked((int)count));

        public void Dispose() => NativeMemory.Free(Pointer);
    }
}
