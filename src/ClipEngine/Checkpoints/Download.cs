namespace ClipEngine.Checkpoints;

/// <summary>Why a download failed.</summary>
public enum DownloadError
{
    /// <summary>The network is switched off (<c>HF_HUB_OFFLINE</c>) and the file is not in the cache.</summary>
    Offline,

    /// <summary>No connection, a connection that broke or stalled, or a server that kept failing, after every try.</summary>
    Network,

    /// <summary>There is no such file (404, 410).</summary>
    NotFound,

    /// <summary>The server wants a token, or the account has not accepted a licence (401, 403).</summary>
    Forbidden,

    /// <summary>An answer that no honest server gives: a web page in place of a file, a compressed body, a redirect without end or to plain http.</summary>
    UnexpectedAnswer,

    /// <summary>The bytes do not have the hash that was published for them.</summary>
    HashMismatch,

    /// <summary>No hash is known for the file, and unverified files were not asked for.</summary>
    NoHash,

    /// <summary>The address is plain http beyond this machine, and no hash is known that did not come over it.</summary>
    Insecure,
}

/// <summary>A file could not be downloaded, or what came is not what was published. Nothing is kept under a final name.</summary>
public sealed class DownloadException : BadInputException
{
    /// <summary>Names the address, the reason and what to do.</summary>
    /// <param name="source">The address or the weights' name.</param>
    /// <param name="error">The kind of failure.</param>
    /// <param name="problem">What happened.</param>
    /// <param name="remedy">What to do about it.</param>
    /// <param name="innerException">The cause.</param>
    public DownloadException(string source, DownloadError error, string problem, string? remedy = null, Exception? innerException = null)
        : base(source, problem, remedy, innerException) => Error = error;

    /// <summary>The kind of failure.</summary>
    public DownloadError Error { get; }
}

/// <summary>How far a download is.</summary>
/// <param name="File">The file's name.</param>
/// <param name="ReceivedBytes">Bytes on the disk so far, those of earlier tries included.</param>
/// <param name="TotalBytes">Bytes of the whole file, where the server said so.</param>
public readonly record struct DownloadProgress(string File, long ReceivedBytes, long? TotalBytes);

/// <summary>What is known about a file before it is downloaded; null where it is not.</summary>
/// <param name="Sha256">SHA-256, 64 lower-case hexadecimal digits.</param>
/// <param name="Sha256Prefix">The first digits of it.</param>
/// <param name="GitSha1">Hash of a git blob, as hubs state it for small files.</param>
/// <param name="Bytes">The length.</param>
internal sealed record ExpectedFile(string? Sha256 = null, string? Sha256Prefix = null, string? GitSha1 = null, long? Bytes = null)
{
    public bool HasHash => Sha256 is not null || Sha256Prefix is not null || GitSha1 is not null;
}

/// <summary>How downloads behave; the defaults are for people, tests shorten the waits.</summary>
internal sealed record DownloadSettings
{
    /// <summary>Connections made for one file at most.</summary>
    public int Tries { get; init; } = 5;

    /// <summary>A connection without a byte for this long is given up.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long to wait before try number n (2, 3, ...): exponential, and by chance, so that many clients do not come back at once.</summary>
    public Func<int, TimeSpan> Delay { get; init; } = attempt => TimeSpan.FromSeconds(Math.Pow(2, attempt - 2) * (0.5 + Random.Shared.NextDouble()));

    /// <summary>The longest that a server's Retry-After is obeyed.</summary>
    public TimeSpan LongestRetryAfter { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Makes the connection; proxies from the environment (<c>HTTPS_PROXY</c>, <c>NO_PROXY</c>) are the runtime's default. Redirects are followed here, not there.</summary>
    public Func<HttpMessageHandler> Handler { get; init; } = () => new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        AutomaticDecompression = System.Net.DecompressionMethods.None,
        UseCookies = false,
        ConnectTimeout = TimeSpan.FromSeconds(15),
    };
}
