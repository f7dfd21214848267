namespace ClipEngine;

/// <summary>The stages that images pass through, all at work at once.</summary>
public enum EncodeStage
{
    /// <summary>Reading, decoding and resizing, on the thread pool.</summary>
    Decode,

    /// <summary>The image tower.</summary>
    Encode,

    /// <summary>Whatever takes the features, normally a file, on the thread pool.</summary>
    Write,
}

/// <summary>Where the time of encoding images goes.</summary>
public readonly record struct EncodeTimes
{
    /// <summary>From the first image's decoding until now, or until the last feature was taken.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>Time in which a decoding thread was at work, summed over the threads.</summary>
    public required TimeSpan Decode { get; init; }

    /// <summary>Decoding threads.</summary>
    public required int DecodeThreads { get; init; }

    /// <summary>Time in which the tower was at work.</summary>
    public required TimeSpan Encode { get; init; }

    /// <summary>Time in which features were being taken.</summary>
    public required TimeSpan Write { get; init; }

    /// <summary>The stage with the least time to spare: a faster one would make the whole faster, any other would not.</summary>
    public EncodeStage Bottleneck
    {
        get
        {
            double decode = Busy(EncodeStage.Decode), encode = Busy(EncodeStage.Encode), write = Busy(EncodeStage.Write);
            return encode >= Math.Max(decode, write) ? EncodeStage.Encode : decode >= write ? EncodeStage.Decode : EncodeStage.Write;
        }
    }

    /// <summary>The share of the time in which a stage was at work, 0 to 1; of decoding the mean over its threads.</summary>
    public double Busy(EncodeStage stage)
    {
        (TimeSpan time, int threads) = stage switch
        {
            EncodeStage.Decode => (Decode, Math.Max(1, DecodeThreads)),
            EncodeStage.Encode => (Encode, 1),
            _ => (Write, 1),
        };
        return Elapsed > TimeSpan.Zero ? Math.Min(1, time / Elapsed / threads) : 0;
    }
}

/// <summary>How far a long call has come.</summary>
/// <param name="Done">Images or sentences that are finished.</param>
/// <param name="Total">All of them.</param>
public readonly record struct EncodeProgress(int Done, int Total)
{
    /// <summary>Where the time has gone so far; null where there is only one stage, as with sentences.</summary>
    public EncodeTimes? Times { get; init; }
}

/// <summary>Takes features as they are finished, in order and never twice at a time, on the thread pool while the next ones are being made.</summary>
/// <param name="first">The first image's index.</param>
/// <param name="rows">Whole features, row-major; valid during the call.</param>
public delegate void FeatureRowHandler(int first, ReadOnlySpan<float> rows);
