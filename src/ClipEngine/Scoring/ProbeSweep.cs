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
/// in the last bits; <see cref="InstructionSet"/> names the one in use.</para>
/// <para>Memory beyond inputs and outputs, for each thread: 256 rows of packed features and 256 scores for each column of the
/// longest segment. Runs on the native library's thread pool (<see cref="NativeThreads"/>); a steady state allocates nothing.
/// Thread-safe: concurrent runs take turns.</para>
/// </remarks>
public sealed class ProbeSweep : IDisposable
{
    /// <summary>Rows whose totals are reduced together; shards must begin at multiples of it.</summary>
    public const int ChunkRows = NativeMethods.SweepChunkRows;

    // Row outputs of a batch stay below this, or at one chunk for each thread.
    private const long OutputBytes = 64L << 20;

    // About a tenth of a second of one core: small enough to stop soon, large enough that threads rarely wait for each other.
    private const double BatchOperations = 8e9;

    private readonly SweepHandle _handle;
    private readonly Lock _turn = new();

    /// <summary>Packs the prompts.</summary>
    /// <param name="prompts">Prompt features <c>[prompts, width]</c>; not read after the constructor returns.</param>
    /// <param name="options">What to compute.</param>
    /// <exception cref="BadInputException">A prompt is not finite or all zeros, or there are more than 2^24.</exception>
    /// <exception cref="ArgumentException">The options contradict each other or the prompts.</exception>
    /// <exception cref="NativeLibraryException">The native library is missing or another version.</exception>
    public unsafe ProbeSweep(FeatureSource prompts, ProbeSweepOptions options)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(options);
        _ = CpuInformation.DefaultInstructionSet; // what is wrong with the variable is not said of the prompts
        if (prompts.Rows is < 1 or > NativeMethods.SweepMaximumPrompts)
            throw new BadInputException(prompts.Name, $"expected 1 to {NativeMethods.SweepMaximumPrompts} prompts, found {prompts.Rows}.");
        PromptCount = checked((int)prompts.Rows);
        Width = prompts.Width;
        SegmentLengths = options.SegmentLengths.IsDefault ? [PromptCount] : options.SegmentLengths;
        Options = options;
        CheckOptions(options, SegmentLengths, PromptCount);

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
                    PromptType = NativeType(ElementType.Float32),
                    Activation = (int)options.Activation,
                    TopCount = options.TopCount,
                    Entropy = options.Entropy ? 1 : 0,
                };
                NativeStatus status = NativeMethods.SweepCreate(&plan, out _handle, out long failedPrompt);
                ThrowIfFailed(status, prompts.Name, failedPrompt);
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

    /// <summary>What this sweep runs on: <c>avx512</c>, <c>avx2</c> or <c>portable</c>.</summary>
    public unsafe string InstructionSet => Marshal.PtrToStringUTF8((nint)NativeMethods.SweepInstructionSet(_handle))!;

    /// <summary>Scores images.</summary>
    /// <param name="input">The images and what belongs to them.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <returns>Totals by group and replicate; without any of either, only the number of rows.</returns>
    /// <exception cref="BadInputException">Another width than the prompts', a row that is not finite, all zeros or too large, or a file that ends early; names the row.</exception>
    /// <exception cref="ArgumentException">The input lacks what the options need, or a group is out of range.</exception>
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
        long count = CheckInput(input);
        if (totals.GroupCount != Options.GroupCount || totals.PromptCount != PromptCount || totals.ReplicateCount != Options.ReplicateCount)
            throw new ArgumentException("The totals belong to another sweep: their numbers of groups, prompts and replicates differ.", nameof(totals));
        lock (_turn)
            RunBatches(input, count, totals, cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_turn)
            _handle.Dispose();
    }

    private static int NativeType(ElementType type) => type switch
    {
        ElementType.Float16 => 0,
        ElementType.BFloat16 => 1,
        ElementType.Float32 => 2,
        ElementType.Float64 => 3,
        _ => throw new ArgumentException($"Features are floating-point; found {type}.", nameof(type)),
    };

    private static void ThrowIfFailed(NativeStatus status, string source, long row)
    {
        try
        {
            status.ThrowIfFailed(source);
        }
        catch (BadInputException exception) when (row >= 0)
        {
            throw new BadInputException(source, $"row {row} {exception.Problem}.");
        }
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
        long threads = NativeThreads.Count;
        long chunks = (long)(BatchOperations * threads / (2.0 * PromptCount * Width * ChunkRows));
        // At least eight chunks a thread, so that the last ones to finish are not waited for long; at most a million rows.
        chunks = Math.Clamp(chunks, 8 * threads, Math.Max(8 * threads, (1 << 20) / ChunkRows));
        long cells = SegmentLengths.Length;
        long rowBytes = ((Options.Probabilities ? PromptCount : 0) + (cells * 2 * Options.TopCount) + (Options.Entropy ? cells : 0) + (Options.Margin ? cells : 0) + Options.ReplicateCount) * sizeof(float);
        if (rowBytes > 0)
            chunks = Math.Max(Math.Min(chunks, OutputBytes / (rowBytes * ChunkRows)), threads);
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
        using var weights = new NativeBuffer<float>(batchRows * (long)Options.ReplicateCount);
        using FeatureSource.Access access = images.Pin();
        using System.Buffers.MemoryHandle groups = input.Groups.Pin();
        long rowBytes = Width * images.Type.SizeInBytes();

        fixed (long* groupRows = totals.GroupRowsArray)
        fixed (long* argmaxCounts = totals.ArgmaxCountsArray)
        fixed (Int128* sums = totals.SumsArray)
        fixed (Int128* weightedSums = totals.WeightedSumsArray)
        {
            for (long done = 0; done < count;)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int rows = (int)Math.Min(batchRows, count - done);
                long first = input.FirstRow + done;
                input.Weights?.Invoke(first, rows, weights.Span(rows * (long)Options.ReplicateCount));
                var batch = new NativeSweepBatch
                {
                    Rows = access.Address == 0 ? null : (byte*)access.Address + (first * rowBytes),
                    RowCount = rows,
                    File = access.File,
                    FileOffset = access.FileOffset + (first * rowBytes),
                    RowType = NativeType(images.Type),
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
                };
                NativeStatus status = NativeMethods.SweepRun(_handle, &batch);
                ThrowIfFailed(status, images.Name, batch.FailedRow < 0 ? -1 : first + batch.FailedRow);
                totals.AddRows(rows);
                input.Rows?.Invoke(new SweepRows
                {
                    FirstRow = first,
                    RowCount = rows,
                    Probabilities = probabilities.Span(rows * (long)PromptCount),
                    TopColumns = topColumns.Span(rows * cells * Options.TopCount),
                    TopProbabilities = topProbabilities.Span(rows * cells * Options.TopCount),
                    Entropy = entropy.Span(rows * cells),
                    Margin = margin.Span(rows * cells),
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
