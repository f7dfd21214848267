using System.Net;
using System.Net.Http.Headers;
using Microsoft.Extensions.Logging;

namespace ClipEngine.Checkpoints;

/// <summary>
/// Brings one file over http, resuming and trying again, and hands over bytes whose hash is right or nothing.
/// </summary>
/// <param name="settings">How often and how long it tries.</param>
/// <param name="client">Makes the connections and stays the caller's; null for one of its own.</param>
/// <param name="logger">Told of downloads; or null.</param>
internal sealed class Downloader(DownloadSettings settings, HttpClient? client = null, ILogger? logger = null) : IDisposable
{
    private const int LongestRedirectChain = 10;

    private readonly HttpClient _client = client ?? new HttpClient(settings.Handler()) { Timeout = Timeout.InfiniteTimeSpan };

    public void Dispose()
    {
        if (client is null)
            _client.Dispose();
    }

    /// <summary>Downloads to a part beside <paramref name="target"/>; the caller moves it there.</summary>
    /// <param name="address">Where the file is.</param>
    /// <param name="token">Sent to the host of <paramref name="address"/> and to no other; or null.</param>
    /// <param name="expected">What must come.</param>
    /// <param name="target">The final name.</param>
    /// <param name="progress">Told how far it is; or null.</param>
    /// <param name="cancellation">Stops, leaving the part for later.</param>
    public async Task<DownloadPart> FetchAsync(Uri address, string? token, ExpectedFile expected, string target,
        IProgress<DownloadProgress>? progress, CancellationToken cancellation)
    {
        DownloadPart part = DownloadPart.Open(target);
        try
        {
            for (int attempt = 1; ; attempt++)
            {
                try
                {
                    if (logger is not null)
                        ClipEngineLog.Fetching(logger, Path.GetFileName(target), address.AbsoluteUri, part.Length);
                    await ReceiveAsync(address, token, expected, part, Path.GetFileName(target), progress, cancellation);
                    Verify(address, expected, part);
                    if (logger is not null)
                        ClipEngineLog.Fetched(logger, Path.GetFileName(target), part.Length);
                    return part;
                }
                catch (Exception exception) when (!cancellation.IsCancellationRequested && exception is TryAgainException or HttpRequestException or OperationCanceledException)
                {
                    TimeSpan? wanted = (exception as TryAgainException)?.RetryAfter;
                    bool isPointless = wanted > settings.LongestRetryAfter;
                    if (attempt >= settings.Tries || isPointless)
                        throw GiveUp(address, exception, attempt, isPointless ? wanted : null);
                    if (logger is not null)
                        ClipEngineLog.FetchingAgain(logger, address.AbsoluteUri, attempt, exception.Message);
                    await Task.Delay(wanted ?? settings.Delay(attempt + 1), cancellation);
                }
            }
        }
        catch (Exception exception)
        {
            // A broken connection leaves good bytes behind; what is known to be wrong does not stay.
            if (exception is DownloadException { Error: DownloadError.Network } or OperationCanceledException)
                part.KeepForLater();
            part.Dispose();
            throw;
        }
    }

    /// <summary>Asks for a file's headers, following only redirects inside the same host: those to a storage host carry what is asked for themselves.</summary>
    public async Task<HttpResponseMessage> HeadAsync(Uri address, string? token, CancellationToken cancellation)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await WithStallTimeoutAsync(stalled => HeadOnceAsync(address, token, stalled), cancellation);
            }
            catch (Exception exception) when (!cancellation.IsCancellationRequested && exception is TryAgainException or HttpRequestException or OperationCanceledException)
            {
                TimeSpan? wanted = (exception as TryAgainException)?.RetryAfter;
                bool isPointless = wanted > settings.LongestRetryAfter;
                if (attempt >= settings.Tries || isPointless)
                    throw GiveUp(address, exception, attempt, isPointless ? wanted : null);
                if (logger is not null)
                    ClipEngineLog.FetchingAgain(logger, address.AbsoluteUri, attempt, exception.Message);
                await Task.Delay(wanted ?? settings.Delay(attempt + 1), cancellation);
            }
        }
    }

    private async Task<HttpResponseMessage> HeadOnceAsync(Uri address, string? token, CancellationToken cancellation)
    {
        Uri current = address;
        for (int hop = 0; hop <= LongestRedirectChain; hop++)
        {
            HttpResponseMessage response = await _client.SendAsync(Request(HttpMethod.Head, current, address, token), HttpCompletionOption.ResponseHeadersRead, cancellation);
            RefuseFollowedRedirect(current, response);
            bool isRedirect = IsRedirect(response.StatusCode) && response.Headers.Location is not null;
            if (!isRedirect || response.Headers.Contains("X-Linked-Etag"))
            {
                if (!isRedirect)
                    ThrowForStatus(current, response);
                return response;
            }

            Uri next = Follow(current, response);
            response.Dispose();
            current = next;
        }

        throw TooManyRedirects(address);
    }

    private async Task ReceiveAsync(Uri address, string? token, ExpectedFile expected, DownloadPart part, string name,
        IProgress<DownloadProgress>? progress, CancellationToken cancellation)
    {
        // A part that was finished before the process was killed needs no connection.
        if (part.Length > 0 && part.Length == expected.Bytes)
            return;

        using HttpResponseMessage response = await OpenAsync(address, token, part, cancellation);
        RefuseForeignBody(address, response);
        long total = Continue(response, expected, part);
        await using Stream body = await response.Content.ReadAsStreamAsync(cancellation);
        byte[] buffer = new byte[1 << 17];
        while (true)
        {
            int read;
            try
            {
                read = await WithStallTimeoutAsync(stalled => body.ReadAsync(buffer, stalled).AsTask(), cancellation);
            }
            catch (IOException exception)
            {
                throw new TryAgainException($"the connection broke at byte {part.Length}: {exception.Message}");
            }

            if (read == 0)
                break;
            if (total >= 0 && part.Length + read > total)
            {
                part.Restart();
                throw new TryAgainException($"the server sent more than the {total} bytes it announced");
            }

            await part.AppendAsync(buffer.AsMemory(0, read), cancellation);
            progress?.Report(new DownloadProgress(name, part.Length, total < 0 ? null : total));
        }

        if (part.Length < total)
            throw new TryAgainException($"the connection ended at byte {part.Length} of {total}");
    }

    private async Task<HttpResponseMessage> OpenAsync(Uri address, string? token, DownloadPart part, CancellationToken cancellation)
    {
        Uri current = address;
        for (int hop = 0; hop <= LongestRedirectChain; hop++)
        {
            HttpRequestMessage request = Request(HttpMethod.Get, current, address, token);
            if (part.Length > 0)
            {
                request.Headers.Range = new RangeHeaderValue(part.Length, to: null);
                if (part.EntityTag is { } tag && !tag.StartsWith("W/", StringComparison.Ordinal) && EntityTagHeaderValue.TryParse(tag, out EntityTagHeaderValue? strong))
                    request.Headers.IfRange = new RangeConditionHeaderValue(strong);
            }

            HttpResponseMessage response = await WithStallTimeoutAsync(
                stalled => _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stalled), cancellation);
            RefuseFollowedRedirect(current, response);
            if (!IsRedirect(response.StatusCode) || response.Headers.Location is null)
            {
                if (response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable)
                {
                    part.Restart();
                    response.Dispose();
                    throw new TryAgainException("the server has less than was already received");
                }

                ThrowForStatus(current, response);
                return response;
            }

            Uri next = Follow(current, response);
            response.Dispose();
            current = next;
        }

        throw TooManyRedirects(address);
    }

    /// <summary>A client of the caller's that follows redirects hides the hub's hashes and would carry the token elsewhere.</summary>
    private static void RefuseFollowedRedirect(Uri asked, HttpResponseMessage response)
    {
        if (response.RequestMessage?.RequestUri is not { } answered || answered == asked)
            return;
        response.Dispose();
        throw new InvalidOperationException("The HttpClient of the ModelStoreOptions follows redirects by itself; give its handler AllowAutoRedirect = false.");
    }

    /// <summary>Decides whether the answer continues the part or starts again, and returns the whole file's length, or -1.</summary>
    private static long Continue(HttpResponseMessage response, ExpectedFile expected, DownloadPart part)
    {
        string? tag = response.Headers.ETag?.ToString();
        long total;
        if (response.StatusCode == HttpStatusCode.PartialContent)
        {
            ContentRangeHeaderValue? range = response.Content.Headers.ContentRange;
            bool isChanged = part.EntityTag is not null && tag is not null && tag != part.EntityTag;
            if (range is null || range.From != part.Length || isChanged)
            {
                part.Restart();
                throw new TryAgainException(isChanged ? "the file changed on the server between two parts" : "the server answered with another part than the one asked for");
            }

            total = range.Length ?? expected.Bytes ?? -1;
        }
        else
        {
            if (part.Length > 0)
                part.Restart();
            total = response.Content.Headers.ContentLength ?? expected.Bytes ?? -1;
        }

        part.EntityTag = tag;
        if (expected.Bytes is long bytes && total != bytes)
        {
            part.Restart();
            throw new TryAgainException($"the server announces {total} bytes; the file has {bytes}");
        }

        return total;
    }

    private static void Verify(Uri address, ExpectedFile expected, DownloadPart part)
    {
        string found = part.Sha256();
        (string wanted, bool isRight) = expected switch
        {
            { Sha256: string sha } => (sha, found == sha),
            { Sha256Prefix: string prefix } => (prefix + "...", found.StartsWith(prefix, StringComparison.Ordinal)),
            { GitSha1: string git } => ("git " + git, part.GitSha1() == git),
            _ => ("", true),
        };
        if (isRight)
            return;
        long length = part.Length;
        part.Restart();
        throw new TryAgainException($"the {length} bytes received from {address.Host} have the SHA-256 {found}; {wanted} was expected") { IsHashMismatch = true };
    }

    private async Task<T> WithStallTimeoutAsync<T>(Func<CancellationToken, Task<T>> action, CancellationToken cancellation)
    {
        using var stalled = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        stalled.CancelAfter(settings.StallTimeout);
        return await action(stalled.Token);
    }

    private static HttpRequestMessage Request(HttpMethod method, Uri current, Uri origin, string? token)
    {
        var request = new HttpRequestMessage(method, current);
        request.Headers.UserAgent.ParseAdd("clipengine");
        request.Headers.AcceptEncoding.ParseAdd("identity");
        if (token is not null && current.Authority == origin.Authority && current.Scheme == origin.Scheme)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return request;
    }

    private static bool IsRedirect(HttpStatusCode status) => (int)status is 301 or 302 or 303 or 307 or 308;

    private static Uri Follow(Uri current, HttpResponseMessage response)
    {
        var next = new Uri(current, response.Headers.Location!);
        bool isAllowed = next.Scheme == Uri.UriSchemeHttps || (next.Scheme == Uri.UriSchemeHttp && current.Scheme == Uri.UriSchemeHttp);
        if (!isAllowed)
        {
            response.Dispose();
            throw new DownloadException(current.AbsoluteUri, DownloadError.UnexpectedAnswer, $"the server redirects to {BadInputException.Escape(next.Scheme)}, away from https.", "Check the network and its proxies.");
        }

        return next;
    }

    private static void ThrowForStatus(Uri address, HttpResponseMessage response)
    {
        if (response.IsSuccessStatusCode)
            return;
        int status = (int)response.StatusCode;
        RetryConditionHeaderValue? retry = response.Headers.RetryAfter;
        TimeSpan? wait = retry?.Delta ?? (retry?.Date is { } date ? date - DateTimeOffset.UtcNow : null);
        response.Dispose();
        throw status switch
        {
            401 or 403 => new DownloadException(address.AbsoluteUri, DownloadError.Forbidden, $"the server refuses access ({status}).", "Accept the licence on the repository's page and set HF_TOKEN."),
            404 or 410 => new DownloadException(address.AbsoluteUri, DownloadError.NotFound, $"there is no such file ({status})."),
            408 or 429 or >= 500 => new TryAgainException($"the server answers {status}") { RetryAfter = wait < TimeSpan.Zero ? TimeSpan.Zero : wait },
            _ => new DownloadException(address.AbsoluteUri, DownloadError.UnexpectedAnswer, $"the server answers {status}."),
        };
    }

    private static void RefuseForeignBody(Uri address, HttpResponseMessage response)
    {
        string? encoding = response.Content.Headers.ContentEncoding.FirstOrDefault(value => value != "identity");
        if (encoding is not null)
            throw new DownloadException(address.AbsoluteUri, DownloadError.UnexpectedAnswer, $"the body is compressed ({BadInputException.Escape(encoding)}), which was not asked for.", "Check the network's proxies.");
        if (response.Content.Headers.ContentType?.MediaType == "text/html")
        {
            throw new DownloadException(address.AbsoluteUri, DownloadError.UnexpectedAnswer, "a web page came in place of the file, as from the sign-in page of a network.",
                "Sign in to the network, or set HTTPS_PROXY.");
        }
    }

    private static DownloadException TooManyRedirects(Uri address) =>
        new(address.AbsoluteUri, DownloadError.UnexpectedAnswer, $"more than {LongestRedirectChain} redirects.", "Check the network and its proxies.");

    private static DownloadException GiveUp(Uri address, Exception cause, int tries, TimeSpan? retryAfter)
    {
        string reason = cause is OperationCanceledException ? "the connection stalled" : BadInputException.Escape(cause.Message, 400);
        if (retryAfter is { } wait)
            return new DownloadException(address.AbsoluteUri, DownloadError.Network, $"{reason} and asks to come back in {wait.TotalSeconds:0} s.", "Run the command again then; it resumes.", cause);
        return cause is TryAgainException { IsHashMismatch: true }
            ? new DownloadException(address.AbsoluteUri, DownloadError.HashMismatch, $"{reason} ({tries} tries).", "Nothing was kept. The file on the server is not the published one.", cause)
            : new DownloadException(address.AbsoluteUri, DownloadError.Network, $"{reason} ({tries} tries).", "Run the command again; it resumes where it stopped.", cause);
    }

    /// <summary>This try failed in a way that the next one may not.</summary>
    private sealed class TryAgainException(string message) : Exception(message)
    {
        public TimeSpan? RetryAfter { get; init; }

        public bool IsHashMismatch { get; init; }
    }
}
