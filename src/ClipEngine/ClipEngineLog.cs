using Microsoft.Extensions.Logging;

namespace ClipEngine;

/// <summary>What is logged, in one place. Nothing is written unless the caller gives a logger.</summary>
internal static partial class ClipEngineLog
{
    [LoggerMessage(1, LogLevel.Information, "Loaded {Model} ({Architecture}) on {Device} in {Milliseconds} ms; its weights take {WeightBytes} bytes")]
    public static partial void Loaded(ILogger logger, string model, string architecture, string device, long milliseconds, long weightBytes);

    [LoggerMessage(2, LogLevel.Warning, "{Notice}")]
    public static partial void Notice(ILogger logger, string notice);

    [LoggerMessage(3, LogLevel.Debug, "Encoded {Count} images in {Milliseconds} ms")]
    public static partial void EncodedImages(ILogger logger, int count, double milliseconds);

    [LoggerMessage(4, LogLevel.Debug, "Encoded {Count} sentences in {Milliseconds} ms")]
    public static partial void EncodedTexts(ILogger logger, int count, double milliseconds);

    [LoggerMessage(10, LogLevel.Information, "Fetching {File} from {Address}; {ReceivedBytes} bytes are there already")]
    public static partial void Fetching(ILogger logger, string file, string address, long receivedBytes);

    [LoggerMessage(11, LogLevel.Information, "Fetched {File}, {Bytes} bytes; its hash is right")]
    public static partial void Fetched(ILogger logger, string file, long bytes);

    [LoggerMessage(12, LogLevel.Warning, "Attempt {Attempt} to fetch {Address} failed and is repeated: {Problem}")]
    public static partial void FetchingAgain(ILogger logger, string address, int attempt, string problem);
}
