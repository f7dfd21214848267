using System.Buffers.Binary;
using System.Globalization;
using System.IO.Compression;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using ClipEngine.Testing;

namespace ClipEngine.Server.Tests;

/// <summary>Requests that are wrong in every way that is known: each ends in 4xx or a closed connection, and changes nothing for the next.</summary>
[Collection("server")]
public sealed class BadRequestTests(ServerFixture server)
{
    private const string Image = "\"data:image/png;base64,";

    private static readonly string s_url = ServerFixture.DataUrl(ServerFixture.Pictures[0]);

    /// <summary>Bodies with the field that the answer must name, or nothing where it is none's fault.</summary>
    public static TheoryData<string, string, string?> Bodies => new()
    {
        { "v1/embeddings", "", null },
        { "v1/embeddings", "null", null },
        { "v1/embeddings", "[]", null },
        { "v1/embeddings", "{", null },
        { "v1/embeddings", "{} {}", null },
        { "v1/embeddings", """{"model":"small","input":"a",}""", null },
        { "v1/embeddings", """{"model":"small","input":["a" "b"]}""", null },
        { "v1/embeddings", $$"""{"model":"small","input":{{new string('[', 10_000)}}""", "input" },
        { "v1/embeddings", """{"model":"small"}""", "input" },
        { "v1/embeddings", """{"model":"small","input":null}""", "input" },
        { "v1/embeddings", """{"model":"small","input":[]}""", "input" },
        { "v1/embeddings", """{"model":"small","input":[1,2,3]}""", "input" },
        { "v1/embeddings", """{"model":"small","input":[[1],[2]]}""", "input" },
        { "v1/embeddings", """{"model":"small","input":{"image":"x"}}""", "input" },
        { "v1/embeddings", """{"model":"small","input":["a",null]}""", "input" },
        { "v1/embeddings", """{"model":"small","input":"\ud800"}""", "input" },
        { "v1/embeddings", """{"model":"small","input":"a","input":"b"}""", "input" },
        { "v1/embeddings", """{"model":"small","input":"a","inputs":"b"}""", "inputs" },
        { "v1/embeddings", """{"model":["small"],"input":"a"}""", "model" },
        { "v1/embeddings", """{"model":7,"input":"a"}""", "model" },
        { "v1/embeddings", """{"model":"../../etc/passwd","input":"a"}""", "model" },
        { "v1/embeddings", """{"model":"small","input":"a","encoding_format":"hex"}""", "encoding_format" },
        { "v1/embeddings", """{"model":"small","input":"a","dimensions":8}""", "dimensions" },
        { "v1/embeddings", """{"model":"small","input":"a","dimensions":1e99}""", "dimensions" },
        { "v1/embeddings", """{"model":"small","input":"a","dimensions":"16"}""", "dimensions" },
        { "v1/embeddings", """{"model":"small","input":"a","modality":"audio"}""", "modality" },
        { "v1/embeddings", """{"model":"small","input":"http://127.0.0.1:1/x.png","modality":"image"}""", "input" },
        { "v1/embeddings", """{"model":"small","input":["file:///etc/passwd"],"modality":"image"}""", "input[0]" },
        { "v1/embeddings", $$"""{"model":"small","input":{{Image}}"}""", "input" },
        { "v1/embeddings", $$"""{"model":"small","input":["a",{{Image}}AAAA"]}""", "input" },
        { "v1/embeddings", $$"""{"model":"small","input":{{Image}}%%%%"}""", "input" },
        { "v1/embeddings", $$"""{"model":"small","input":{{Image}}AAA"}""", "input" },
        { "v1/embeddings", """{"model":"small","input":"data:image/png,%89PNG"}""", "input" },
        { "v1/embeddings", """{"model":"small","input":"data:image/svg+xml;base64,PHN2Zy8+"}""", "input" },
        { "classify", """{"model":"small","input":"a","labels":["x"]}""", "input" },
        { "classify", $$"""{"model":"small","input":"{{s_url}}"}""", "labels" },
        { "classify", $$"""{"model":"small","input":"{{s_url}}","labels":[]}""", "labels" },
        { "classify", $$"""{"model":"small","input":"{{s_url}}","labels":["x"],"templates":["no place"]}""", "template" },
        { "classify", $$"""{"model":"small","labels":["x"]}""", "input" },
        { "score", $$"""{"model":"small","images":"{{s_url}}"}""", "texts" },
        { "score", $$"""{"model":"small","texts":"a"}""", "images" },
        { "score", $$"""{"model":"small","images":["{{s_url}}","x"],"texts":"a"}""", "images[1]" },
    };

    [Theory]
    [MemberData(nameof(Bodies))]
    public async Task ABadBodyIsRefusedByTheFieldAtFault(string path, string body, string? field)
    {
        (HttpStatusCode status, JsonElement answer) = await server.PostAsync(path, body);
        Assert.True(status is HttpStatusCode.BadRequest || (field == "model" && status == HttpStatusCode.NotFound), $"{status} {answer}");
        JsonElement error = answer.GetProperty("error");
        Assert.Equal(field, error.GetProperty("param").GetString());
        Assert.Equal("invalid_request_error", error.GetProperty("type").GetString());
        Assert.InRange(error.GetProperty("message").GetString()!.Length, 10, 1000);
    }

    [Fact]
    public async Task LimitsAreCheckedBeforeAnythingIsComputed()
    {
        (HttpStatusCode status, JsonElement body) = await server.PostAsync("v1/embeddings", new { model = "small", input = Enumerable.Repeat("a", 65) });
        Assert.Equal((HttpStatusCode.BadRequest, "too_many_inputs"), (status, Code(body)));
        (status, body) = await server.PostAsync("classify", new { model = "small", input = s_url, labels = Enumerable.Repeat("a", 40), templates = new[] { "{}", "{}." } });
        Assert.Equal((HttpStatusCode.BadRequest, "too_many_inputs"), (status, Code(body)));
        // A client that asks first does not send what is refused.
        using var large = new HttpRequestMessage(HttpMethod.Post, new Uri(server.Address, "v1/embeddings")) { Content = new StringContent(new string(' ', 5 << 20), null, "application/json") };
        large.Headers.ExpectContinue = true;
        using HttpResponseMessage tooLarge = await server.Client.SendAsync(large);
        Assert.Equal((HttpStatusCode.RequestEntityTooLarge, "body_too_large"), (tooLarge.StatusCode, Code(JsonDocument.Parse(await tooLarge.Content.ReadAsStringAsync()).RootElement)));

        // A PNG of 2,000 x 2,001 pixels, and three that are small enough only one by one.
        (status, body) = await server.PostAsync("v1/embeddings", new { model = "small", input = $"data:image/png;base64,{Convert.ToBase64String(Png(2000, 2001))}" });
        Assert.Equal((HttpStatusCode.RequestEntityTooLarge, "too_many_pixels"), (status, Code(body)));
        (status, body) = await server.PostAsync("v1/embeddings", new { model = "small", input = Enumerable.Repeat($"data:image/png;base64,{Convert.ToBase64String(Png(1200, 1200))}", 3) });
        Assert.Equal((HttpStatusCode.RequestEntityTooLarge, "too_many_pixels"), (status, Code(body)));

        using var text = new StringContent("""{"model":"small","input":"a"}""", Encoding.UTF8, "text/plain");
        using HttpResponseMessage other = await server.Client.PostAsync(new Uri(server.Address, "v1/embeddings"), text);
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, other.StatusCode);

        static string? Code(JsonElement answer) => answer.GetProperty("error").GetProperty("code").GetString();
    }

    /// <summary>A thousand of them, twenty at a time, with good ones between that get the bits they always get.</summary>
    [Fact]
    public async Task AThousandBadRequestsEndIn4xxOrAClosedConnection()
    {
        var random = new Random(22);
        byte[] good = Request("v1/embeddings", "application/json", Encoding.UTF8.GetBytes($$"""{"model":"small","input":["a drum","{{s_url}}"]}"""));
        (string Path, string Body)[] bodies = [.. Bodies.Select(static row => ((string)row[0]!, (string)row[1]!))];
        byte[] picture = await File.ReadAllBytesAsync(ServerFixture.Pictures[0]);
        byte[][] enormous = [Png(4001, 1000), Png(20, 1_000_000), Png(300_000, 900)[..5000], Png(2100, 2100)];
        (byte[] Bytes, bool IsCut)[] attacks = [.. Enumerable.Range(0, 1000).Select(i => Attack(i % 10, random))];
        var statuses = new System.Collections.Concurrent.ConcurrentDictionary<int, int>();
        await Parallel.ForEachAsync(Enumerable.Range(0, attacks.Length), new ParallelOptions { MaxDegreeOfParallelism = 20 }, async (i, _) =>
        {
            int status = await SendAsync(attacks[i].Bytes, attacks[i].IsCut, isSlow: i % 97 == 0);
            statuses.AddOrUpdate(status, 1, static (_, count) => count + 1);
            Assert.True(status is 0 or (>= 400 and < 500), $"{i % 10}: {status}: {Encoding.Latin1.GetString(attacks[i].Bytes.AsSpan(0, Math.Min(attacks[i].Bytes.Length, 300)))}");
            if (i % 50 == 0)
            {
                (HttpStatusCode code, JsonElement body) = await server.PostAsync("v1/embeddings", $$"""{"model":"small","input":["a drum","{{s_url}}"]}""");
                Assert.True(code == HttpStatusCode.OK, body.ToString());
                Assert.Equal([server.SentenceRows[0], server.PictureRows[0]], ServerFixture.Rows(body));
            }
        });
        Assert.True(statuses.GetValueOrDefault(0) > 50 && statuses.GetValueOrDefault(400) > 300 && statuses.GetValueOrDefault(413) > 50, string.Join(", ", statuses));
        Assert.Equal(200, await SendAsync(good, isCut: false, isSlow: false));

        (byte[] Bytes, bool IsCut) Attack(int kind, Random random)
        {
            switch (kind)
            {
                case 0: // what is known to be wrong
                    (string path, string body) = bodies[random.Next(bodies.Length)];
                    return (Request(path, "application/json", Encoding.UTF8.GetBytes(body)), false);
                case 1: // good JSON with a byte changed to one that no valid text has
                    byte[] changed = [.. good];
                    changed[random.Next(changed.Length - 400, changed.Length)] = 0xFF;
                    return (changed, false);
                case 2: // cut off in the head or the body
                    return (good[..random.Next(1, good.Length - 1)], true);
                case 3: // a picture with its end missing
                    return (Request("v1/embeddings?model=small", "image/png", picture[..random.Next(0, picture.Length / 2)]), false);
                case 4: // bytes
                    byte[] noise = new byte[random.Next(1, 2000)];
                    random.NextBytes(noise);
                    return (Request("classify?model=small&labels=a", "application/octet-stream", noise), false);
                case 5: // larger than allowed, announced or not
                    return random.Next(2) == 0
                        ? (Encoding.ASCII.GetBytes("POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{"), false)
                        : (Chunked(5 << 20), false);
                case 6: // an image that claims to be enormous
                    return (Request("v1/embeddings?model=small", "image/png", enormous[random.Next(enormous.Length)]), false);
                case 7: // not HTTP
                    byte[] garbage = new byte[random.Next(16, 500)];
                    random.NextBytes(garbage);
                    return ([.. garbage, .. "\r\n\r\n"u8], false);
                case 8: // heads that contradict themselves or are too long
                    return (Encoding.ASCII.GetBytes(random.Next(3) switch
                    {
                        0 => $"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nX: {new string('y', 100_000)}\r\n\r\n",
                        1 => "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                        _ => "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
                    }), false);
                default: // paths and methods that are not there
                    return (Encoding.ASCII.GetBytes($"{(random.Next(2) == 0 ? "GET /v1/embeddings" : $"POST /{Convert.ToHexString(BitConverter.GetBytes(random.Next()))}/..%2f..%2fetc/passwd")} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), false);
            }
        }
    }

    private static byte[] Request(string path, string type, byte[] body) =>
        [.. Encoding.ASCII.GetBytes($"POST /{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {type}\r\nContent-Length: {body.Length}\r\n\r\n"), .. body];

    private static byte[] Chunked(int length) =>
        [.. Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n")), .. Enumerable.Repeat((byte)' ', length), .. "\r\n0\r\n\r\n"u8];

    /// <summary>A black PNG; without its pixels where they are too many to be made here.</summary>
    private static byte[] Png(int width, int height)
    {
        byte[] header = [0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        using var data = new MemoryStream();
        using (var zlib = new ZLibStream(data, CompressionLevel.Fastest, leaveOpen: true))
        {
            byte[] row = new byte[1 + (3 * (long)width)];
            for (int y = 0; y < Math.Min(height, 4000); y++)
                zlib.Write(row);
        }

        return [0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10, .. Chunk("IHDR", header), .. Chunk("IDAT", data.ToArray()), .. Chunk("IEND", [])];

        static byte[] Chunk(string type, byte[] data)
        {
            byte[] chunk = [0, 0, 0, 0, .. Encoding.ASCII.GetBytes(type), .. data, 0, 0, 0, 0];
            BinaryPrimitives.WriteInt32BigEndian(chunk, data.Length);
            var crc = new System.IO.Hashing.Crc32();
            crc.Append(chunk.AsSpan(4, chunk.Length - 8));
            BinaryPrimitives.WriteUInt32BigEndian(chunk.AsSpan(chunk.Length - 4), crc.GetCurrentHashAsUInt32());
            return chunk;
        }
    }

    /// <summary>Sends bytes over a connection of their own and returns the status of the answer; 0 where the connection ended without one.</summary>
    private async Task<int> SendAsync(byte[] bytes, bool isCut, bool isSlow)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, server.Address.Port);
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        byte[] buffer = new byte[1 << 16];
        try
        {
            for (int sent = 0; sent < bytes.Length;)
            {
                int part = isSlow ? Math.Min(bytes.Length - sent, 1 + (bytes.Length / 20)) : bytes.Length - sent;
                sent += await socket.SendAsync(bytes.AsMemory(sent, part), patience.Token);
                if (isSlow)
                    await Task.Delay(50);
            }

            if (isCut)
                return 0; // the connection is closed here
            int length = 0;
            while (length < 12)
            {
                int read = await socket.ReceiveAsync(buffer.AsMemory(length), patience.Token);
                if (read == 0)
                    return 0;
                length += read;
            }

            return int.Parse(buffer.AsSpan(9, 3), CultureInfo.InvariantCulture);
        }
        catch (SocketException)
        {
            // The server has closed the connection: while a body that is too large was still being sent it may be gone with its answer.
            return 0;
        }
    }
}
