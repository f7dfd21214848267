using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace ClipEngine.Load;

/// <summary>A request as it goes over the wire, made once.</summary>
/// <param name="Bytes">Head and body.</param>
public sealed record LoadRequest(byte[] Bytes)
{
    /// <summary>An image file, as the body or as a data URL in JSON.</summary>
    public static LoadRequest OfImage(string file, bool asJson)
    {
        byte[] image = File.ReadAllBytes(file);
        return asJson
            ? Of("application/json", Encoding.ASCII.GetBytes($$"""{"input":"data:image/jpeg;base64,{{Convert.ToBase64String(image)}}","encoding_format":"base64"}"""))
            : Of("image/jpeg", image, "?encoding_format=base64");
    }

    /// <summary>A sentence of plain characters.</summary>
    public static LoadRequest OfText(string text) => Of("application/json", Encoding.ASCII.GetBytes($$"""{"input":"{{text}}","encoding_format":"base64"}"""));

    private static LoadRequest Of(string type, byte[] body, string query = "") =>
        new([.. Encoding.ASCII.GetBytes($"POST /v1/embeddings{query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {type}\r\nContent-Length: {body.Length}\r\n\r\n"), .. body]);
}

/// <summary>What to ask for, and how hard.</summary>
public sealed record LoadOptions
{
    /// <summary>Where the server listens: this machine, nowhere else.</summary>
    public required IPEndPoint Server { get; init; }

    /// <summary>Sent in turn.</summary>
    public required IReadOnlyList<LoadRequest> Requests { get; init; }

    /// <summary>Connections, each with one request at a time.</summary>
    public int Connections { get; init; } = 64;

    /// <summary>How long requests are sent; those under way are then waited for.</summary>
    public TimeSpan Duration { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>Requests a second, sent on time whatever the answers do; null: the next one follows the answer.</summary>
    public double? Rate { get; init; }
}

/// <summary>What came back.</summary>
/// <param name="Elapsed">From the first request to the last answer.</param>
/// <param name="Statuses">Answers by status.</param>
/// <param name="Good">Seconds of the answers with 200, sorted.</param>
/// <param name="Refused">Seconds of the answers with 429, sorted.</param>
/// <param name="Mismatches">Answers with 200 that are not, byte for byte, the first one to the same request.</param>
/// <param name="Broken">Connections that ended without an answer.</param>
public sealed record LoadResult(TimeSpan Elapsed, IReadOnlyDictionary<int, int> Statuses, double[] Good, double[] Refused, int Mismatches, int Broken)
{
    /// <summary>Answers with 200 a second.</summary>
    public double GoodPerSecond => Good.Length / Elapsed.TotalSeconds;

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{GoodPerSecond:F1} answers/s with 200 over {Elapsed.TotalSeconds:F1} s; {Times("200", Good)}; {Times("429", Refused)}; statuses {string.Join(", ", Statuses.OrderBy(static pair => pair.Key).Select(static pair => $"{pair.Key}: {pair.Value}"))}; {Mismatches} with other bytes, {Broken} broken");

    private static string Times(string name, double[] seconds) => seconds.Length == 0 ? $"no {name}"
        : string.Create(CultureInfo.InvariantCulture, $"{name}: median {1000 * seconds[seconds.Length / 2]:F1} ms, p99 {1000 * seconds[(int)(0.99 * (seconds.Length - 1))]:F1} ms, most {1000 * seconds[^1]:F1} ms");
}

/// <summary>Sends requests over sockets with as little work of its own as can be: it shares the processors with the server.</summary>
public static class LoadRun
{
    /// <summary>Runs to the end.</summary>
    /// <exception cref="ArgumentException">The server is on another machine.</exception>
    public static async Task<LoadResult> RunAsync(LoadOptions options)
    {
        if (!IPAddress.IsLoopback(options.Server.Address))
            throw new ArgumentException($"{options.Server} is not on this machine; others are not loaded.", nameof(options));
        var state = new State(options);
        await Task.WhenAll(Enumerable.Range(0, options.Connections).Select(_ => Task.Run(state.ConnectionAsync)));
        return state.Result();
    }

    private sealed class State(LoadOptions options)
    {
        private readonly long _start = Stopwatch.GetTimestamp();
        private readonly Dictionary<int, int> _statuses = [];
        private readonly List<double> _good = [], _refused = [];
        private readonly byte[]?[] _first = new byte[]?[options.Requests.Count];
        private int _next = -1, _mismatches, _broken;

        public async Task ConnectionAsync()
        {
            byte[] buffer = new byte[1 << 20];
            Socket? socket = null;
            while (true)
            {
                int number = Interlocked.Increment(ref _next);
                TimeSpan due = options.Rate is { } rate ? TimeSpan.FromSeconds(number / rate) : Stopwatch.GetElapsedTime(_start);
                if (due >= options.Duration || Stopwatch.GetElapsedTime(_start) >= options.Duration)
                    break;
                TimeSpan early = due - Stopwatch.GetElapsedTime(_start);
                if (early > TimeSpan.Zero)
                    await Task.Delay(early);
                long sent = Stopwatch.GetTimestamp();
                try
                {
                    if (socket is null)
                    {
                        socket = new Socket(options.Server.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                        await socket.ConnectAsync(options.Server);
                    }

                    int request = number % options.Requests.Count;
                    ReadOnlyMemory<byte> rest = options.Requests[request].Bytes;
                    while (!rest.IsEmpty)
                        rest = rest[await socket.SendAsync(rest)..];
                    (int status, int head, int length) = await ReceiveAsync(socket, buffer);
                    Count(request, status, buffer.AsSpan(head, length - head), Stopwatch.GetElapsedTime(sent).TotalSeconds);
                    // A server that refuses a body without reading it closes the connection.
                    if (status == 200 && buffer.AsSpan(0, head).IndexOf("Connection: close"u8) < 0)
                        continue;
                }
                catch (SocketException)
                {
                    Interlocked.Increment(ref _broken);
                }

                socket?.Dispose();
                socket = null;
            }

            socket?.Dispose();
        }

        public LoadResult Result()
        {
            _good.Sort();
            _refused.Sort();
            return new LoadResult(Stopwatch.GetElapsedTime(_start), _statuses, [.. _good], [.. _refused], _mismatches, _broken);
        }

        /// <summary>Reads a whole answer: its status, where its body begins and ends.</summary>
        private static async Task<(int Status, int Head, int Length)> ReceiveAsync(Socket socket, byte[] buffer)
        {
            int length = 0, head = -1, end = -1;
            bool isChunked = false;
            while (end < 0 || length < end)
            {
                int read = length < buffer.Length ? await socket.ReceiveAsync(buffer.AsMemory(length)) : 0;
                if (read == 0)
                    throw new SocketException((int)SocketError.ConnectionReset);
                length += read;
                if (head < 0)
                {
                    head = buffer.AsSpan(0, length).IndexOf("\r\n\r\n"u8) + 4;
                    if (head < 4)
                    {
                        head = -1;
                        continue;
                    }

                    string text = Encoding.ASCII.GetString(buffer, 0, head);
                    int announced = text.IndexOf("Content-Length: ", StringComparison.OrdinalIgnoreCase);
                    isChunked = announced < 0;
                    if (!isChunked)
                        end = head + int.Parse(text.AsSpan(announced + 16, text.IndexOf('\r', announced) - announced - 16), CultureInfo.InvariantCulture);
                }

                // One request at a time: what ends like the last chunk is the last chunk.
                if (isChunked && buffer.AsSpan(head, length - head).EndsWith("0\r\n\r\n"u8))
                    end = length;
            }

            return (int.Parse(buffer.AsSpan(9, 3), CultureInfo.InvariantCulture), head, length);
        }

        private void Count(int request, int status, ReadOnlySpan<byte> body, double seconds)
        {
            lock (_statuses)
            {
                _statuses[status] = _statuses.GetValueOrDefault(status) + 1;
                if (status is 200 or 429)
                    (status == 200 ? _good : _refused).Add(seconds);
                if (status != 200)
                    return;
                _first[request] ??= body.ToArray();
                if (!body.SequenceEqual(_first[request]))
                    _mismatches++;
            }
        }
    }
}
