namespace ClipEngine.Server.Api;

/// <summary>The memory that bodies of all requests together may take.</summary>
/// <param name="limit">In bytes.</param>
internal sealed class BodyMemory(long limit)
{
    private long _used;

    /// <summary>Takes memory, or says that there is none now.</summary>
    public bool TryTake(long bytes)
    {
        if (Interlocked.Add(ref _used, bytes) <= limit)
            return true;
        Interlocked.Add(ref _used, -bytes);
        return false;
    }

    /// <summary>Gives it back.</summary>
    public void Give(long bytes) => Interlocked.Add(ref _used, -bytes);
}

/// <summary>A request's body, whole, in memory that grows as it arrives: what a client merely announces takes none.</summary>
internal sealed class RequestBody : IDisposable
{
    /// <summary>A body that is not whole within this is given up.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private const int FirstBytes = 64 << 10;

    private readonly BodyMemory _memory;
    private readonly NativeArray<byte> _buffer;
    private int _length;

    private RequestBody(BodyMemory memory, int room)
    {
        _memory = memory;
        _buffer = new NativeArray<byte>(room);
    }

    /// <summary>The bytes.</summary>
    public Memory<byte> Bytes => _buffer.Memory[.._length];

    /// <summary>Reads it.</summary>
    /// <exception cref="ApiException">It is too large, too slow, or there is no memory for it now.</exception>
    public static async Task<RequestBody> ReadAsync(HttpContext context, BodyMemory memory, int maximum)
    {
        if (context.Request.ContentLength > maximum)
            throw TooLarge(maximum);
        int room = (int)Math.Min(context.Request.ContentLength + 1 ?? FirstBytes, FirstBytes);
        if (!memory.TryTake(room))
            throw NoMemory();
        var body = new RequestBody(memory, room);
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
            patience.CancelAfter(s_patience);
            try
            {
                while (await context.Request.Body.ReadAsync(body.Room(maximum, context.Request.ContentLength), patience.Token) is > 0 and int read)
                    body._length += read;
            }
            catch (OperationCanceledException) when (!context.RequestAborted.IsCancellationRequested)
            {
                context.Response.Headers.Connection = "close";
                throw new ApiException(StatusCodes.Status408RequestTimeout, $"The body did not arrive within {s_patience.TotalSeconds} seconds.", code: "timeout");
            }

            return body;
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _memory.Give(_buffer.Length);
        ((IDisposable)_buffer).Dispose();
    }

    private static ApiException TooLarge(int maximum) =>
        new(StatusCodes.Status413PayloadTooLarge, $"The body is larger than {maximum >> 20} MiB, which is what this server takes.", code: "body_too_large");

    private static ApiException NoMemory() =>
        new(StatusCodes.Status429TooManyRequests, "The bodies of other requests take all the memory that there is for them; try again.", code: "rate_limit_exceeded") { RetryAfter = 1 };

    /// <summary>Room for what comes next; one byte more than the body may have, so that its end shows.</summary>
    private Memory<byte> Room(int maximum, long? announced)
    {
        if (_length > maximum)
            throw TooLarge(maximum);
        if (_length == _buffer.Length)
        {
            int next = (int)Math.Min(Math.Min(4L * _length, (long)maximum + 1), announced + 1 ?? long.MaxValue);
            next = Math.Max(next, _length + 1);
            if (!_memory.TryTake(next - _buffer.Length))
                throw NoMemory();
            _buffer.Grow(next);
        }

        return _buffer.Memory[_length..];
    }
}
