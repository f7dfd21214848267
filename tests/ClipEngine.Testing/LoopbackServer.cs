using System.Net;
using System.Net.Sockets;
using System.Text;

namespace ClipEngine.Testing;

/// <summary>A request as it came over the wire.</summary>
/// <param name="Method">HEAD or GET.</param>
/// <param name="Path">With its leading slash.</param>
/// <param name="Headers">By name, whatever the case.</param>
public sealed record LoopbackRequest(string Method, string Path, IReadOnlyDictionary<string, string> Headers)
{
    /// <summary>The first byte that a Range header asks for; 0 without one.</summary>
    public int RangeStart => Headers.TryGetValue("Range", out string? range) ? int.Parse(range["bytes=".Length..].TrimEnd('-')) : 0;
}

/// <summary>An answer, honest or not: status and headers are sent as written, and the body may end early or stop.</summary>
public sealed record LoopbackAnswer(int Status, byte[] Body)
{
    /// <summary>Sent as they are; Content-Length is the body's unless it is among them.</summary>
    public Dictionary<string, string> Headers { get; init; } = [];

    /// <summary>Bytes of the body after which the connection is cut.</summary>
    public int? CutAfter { get; init; }

    /// <summary>Whether the server falls silent in place of cutting, until it is disposed.</summary>
    public bool Stalls { get; init; }
}

/// <summary>An http server on loopback that misbehaves exactly as told: one request a connection, raw bytes.</summary>
public sealed class LoopbackServer : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Func<LoopbackRequest, LoopbackAnswer> _answer;
    private readonly List<LoopbackRequest> _requests = [];
    private readonly Task _loop;

    /// <summary>Starts.</summary>
    /// <param name="answer">Called for each request, possibly from several threads.</param>
    public LoopbackServer(Func<LoopbackRequest, LoopbackAnswer> answer)
    {
        _answer = answer;
        _listener.Start();
        _loop = AcceptAsync();
    }

    /// <summary><c>http://127.0.0.1:port/</c>.</summary>
    public Uri Address => new($"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}/");

    /// <summary>What was asked so far.</summary>
    public IReadOnlyList<LoopbackRequest> Requests
    {
        get
        {
            lock (_requests)
                return [.. _requests];
        }
    }

    /// <summary>Stops, ending stalled connections.</summary>
    public void Dispose()
    {
        if (_stop.IsCancellationRequested)
            return;
        _stop.Cancel();
        _listener.Stop();
        try
        {
            _loop.Wait();
        }
        catch (AggregateException)
        {
            // Accepting ends by exception when the listener stops.
        }

        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            TcpClient client = await _listener.AcceptTcpClientAsync(_stop.Token);
            _ = Task.Run(() => ServeAsync(client));
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        try
        {
            using (client)
            {
                await using NetworkStream stream = client.GetStream();
                if (await ReadRequestAsync(stream) is not { } request)
                    return;
                lock (_requests)
                    _requests.Add(request);
                LoopbackAnswer answer = _answer(request);
                var head = new StringBuilder($"HTTP/1.1 {answer.Status} Answer\r\nConnection: close\r\n");
                if (!answer.Headers.ContainsKey("Content-Length"))
                    head.Append($"Content-Length: {answer.Body.Length}\r\n");
                foreach ((string name, string value) in answer.Headers)
                    head.Append($"{name}: {value}\r\n");
                await stream.WriteAsync(Encoding.ASCII.GetBytes(head.Append("\r\n").ToString()), _stop.Token);
                if (request.Method == "HEAD")
                    return;
                await stream.WriteAsync(answer.Body.AsMemory(0, Math.Min(answer.CutAfter ?? answer.Body.Length, answer.Body.Length)), _stop.Token);
                if (answer.Stalls)
                    await Task.Delay(Timeout.Infinite, _stop.Token);
            }
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The client went away, or the test is over.
        }
    }

    private static async Task<LoopbackRequest?> ReadRequestAsync(NetworkStream stream)
    {
        using var reader = new StreamReader(stream, Encoding.ASCII, leaveOpen: true);
        string? first = await reader.ReadLineAsync();
        if (first is null)
            return null;
        var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        while (await reader.ReadLineAsync() is { Length: > 0 } line)
            headers[line[..line.IndexOf(':')]] = line[(line.IndexOf(':') + 1)..].Trim();
        string[] parts = first.Split(' ');
        return new LoopbackRequest(parts[0], parts[1], headers);
    }
}
