using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using ClipEngine.Load;
using ClipEngine.Testing;

namespace ClipEngine.Server.Tests;

/// <summary>The server as a user starts and ends it.</summary>
public sealed class ProcessTests
{
    private static readonly LoadRequest[] s_pictures = [.. ServerFixture.Pictures.Select(static file => LoadRequest.OfImage(file, asJson: false))];

    private static bool IsLong => Environment.GetEnvironmentVariable("CLIPENGINE_LONG") == "1";

    /// <summary>Connections that ask again as soon as they are answered, six for each place in the queue.</summary>
    [Fact]
    public async Task BeyondItsQueueItAnswers200And429AndItsMemoryStaysFlat()
    {
        using ServerProcess server = await ServerProcess.StartAsync(["--queue", "8"]);
        var options = new LoadOptions { Server = server.EndPoint, Requests = s_pictures, Connections = 48, Duration = TimeSpan.FromSeconds(IsLong ? 60 : 5) };
        await LoadRun.RunAsync(options with { Duration = TimeSpan.FromSeconds(4) }); // until memory has grown to what this takes
        long before = server.Megabytes;
        LoadResult result = await LoadRun.RunAsync(options);
        long after = server.Megabytes;
        Assert.True(result.Statuses.Keys.Order().SequenceEqual([200, 429]), result.ToString());
        Assert.True(result is { Mismatches: 0, Broken: 0 }, result.ToString());
        Assert.True(after - before < 32, $"memory grew from {before} to {after} MiB: {result}");
        LoadResult normal = await LoadRun.RunAsync(options with { Connections = 4, Duration = TimeSpan.FromSeconds(1) });
        Assert.True(normal.Statuses.Keys.SequenceEqual([200]), normal.ToString());
    }

    [Theory]
    [InlineData("TERM")]
    [InlineData("INT")]
    public async Task ASignalLetsRequestsInProgressFinish(string signal)
    {
        using ServerProcess server = await ServerProcess.StartAsync(["--max-inputs", "4000", "--queue", "4000"]);
        using var client = new HttpClient();
        string[] sentences = [.. Enumerable.Range(0, 4000).Select(static i => $"sentence number {i}")];
        Task<HttpResponseMessage> running = client.PostAsync(new Uri(server.Address, "v1/embeddings"), Json(new { input = sentences, encoding_format = "base64" }));
        await WaitForWorkAsync(client, server);
        await server.SignalAsync(signal);
        using HttpResponseMessage answer = await running;
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(4000, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("data").GetArrayLength());
        Assert.Equal(0, await server.ExitCodeAsync());
        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetAsync(new Uri(server.Address, "health")));
    }

    [Fact]
    public async Task ASecondSignalEndsItAtOnce()
    {
        using ServerProcess server = await ServerProcess.StartAsync([]);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(server.EndPoint);
        await socket.SendAsync(Encoding.ASCII.GetBytes("POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"));
        await Task.Delay(500);
        await server.SignalAsync("TERM");
        for (int i = 0; i < 100 && !server.Errors.Contains("stopping", StringComparison.Ordinal); i++)
            await Task.Delay(50);
        await server.SignalAsync("TERM");
        Assert.Equal(1, await server.ExitCodeAsync());
    }

    /// <summary>Nothing is kept: after a kill it starts again and gives the bits it gave.</summary>
    [Fact]
    public async Task AKillLosesNothingButTheRequestsInProgress()
    {
        using var client = new HttpClient();
        string? first = null;
        for (int turn = 0; turn < 2; turn++)
        {
            using ServerProcess server = await ServerProcess.StartAsync([]);
            Task<LoadResult> load = LoadRun.RunAsync(new LoadOptions { Server = server.EndPoint, Requests = s_pictures, Connections = 8, Duration = TimeSpan.FromSeconds(1) });
            using HttpResponseMessage answer = await client.PostAsync(new Uri(server.Address, "v1/embeddings"), Json(new { input = "a drum" }));
            string body = await answer.Content.ReadAsStringAsync();
            Assert.Equal(first ??= body, body);
            await server.SignalAsync("KILL");
            Assert.NotEqual(0, await server.ExitCodeAsync());
            await load;
        }
    }

    [Fact]
    public async Task AnApiKeyIsAskedForWhereOneWasGiven()
    {
        using var folder = new TemporaryFolder();
        await File.WriteAllTextAsync(folder.File("key"), "secret-key\n");
        using ServerProcess server = await ServerProcess.StartAsync(["--api-key-file", folder.File("key")]);
        using var client = new HttpClient { BaseAddress = server.Address };
        foreach (string path in (string[])["", "health", "openapi.json"])
            Assert.Equal(HttpStatusCode.OK, (await client.GetAsync(path)).StatusCode);
        foreach (string? key in (string?[])[null, "wrong", "secret-ke", "secret-key2"])
        {
            client.DefaultRequestHeaders.Authorization = key is null ? null : new AuthenticationHeaderValue("Bearer", key);
            foreach (string path in (string[])["v1/models", "metrics", "nothing"])
                Assert.Equal(HttpStatusCode.Unauthorized, (await client.GetAsync(path)).StatusCode);
            HttpResponseMessage refused = await client.PostAsync("v1/embeddings", Json(new { input = "a drum" }));
            Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
            Assert.Equal("authentication_error", JsonDocument.Parse(await refused.Content.ReadAsStringAsync()).RootElement.GetProperty("error").GetProperty("type").GetString());
        }

        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "secret-key");
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("v1/models")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await client.PostAsync("v1/embeddings", Json(new { input = "a drum" }))).StatusCode);
        Assert.DoesNotContain("secret", server.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhatCannotBeServedIsRefusedInALine()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        using var folder = new TemporaryFolder();
        await File.WriteAllTextAsync(folder.File("empty"), " \n");
        string port = ((IPEndPoint)taken.LocalEndpoint).Port.ToString(System.Globalization.CultureInfo.InvariantCulture), small = TestData.DemoPath("models", "small");
        foreach ((string[] arguments, string part) in new[]
        {
            (["--port", port], "another port"),
            (["--host", "localhost"], "IP address"),
            (["--host", "203.0.113.9"], "--port"), // no address of this machine
            (["--model", small], "NAME=M"),
            (["--model", $"two words={small}"], "no name"),
            (["--model", "x=/nowhere"], "/nowhere"),
            (["--model", $"b={small}", "--config", Path.Combine(small, "open_clip_config.json")], "--config"),
            (["--api-key-file", folder.File("empty")], "API key"),
            (new[] { "--queue", "0" }, "--queue"),
        })
        {
            InvalidOperationException refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => ServerProcess.StartAsync(arguments));
            Assert.True(refusal.Message.StartsWith("clipengine: ", StringComparison.Ordinal) && refusal.Message.Contains(part, StringComparison.Ordinal) && !refusal.Message.Contains("   at ", StringComparison.Ordinal), $"{string.Join(' ', arguments)}: {refusal.Message}");
        }
    }

    /// <summary>OpenTelemetry's own variable sends the metrics to a collector.</summary>
    [Fact]
    public async Task MetricsAreShownAndSent()
    {
        var arrived = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var collector = new LoopbackServer(request =>
        {
            arrived.TrySetResult($"{request.Method} {request.Path} {request.Headers["Content-Type"]}");
            return new LoopbackAnswer(200, []);
        });
        using ServerProcess server = await ServerProcess.StartAsync([], new Dictionary<string, string>
        {
            ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Address.ToString(),
            ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
            ["OTEL_METRIC_EXPORT_INTERVAL"] = "200",
        });
        using var client = new HttpClient { BaseAddress = server.Address };
        for (int i = 0; i < 3; i++)
            Assert.Equal(HttpStatusCode.OK, (await client.PostAsync("v1/embeddings", Json(new { input = new[] { "a", ServerFixture.DataUrl(ServerFixture.Pictures[0]) } }))).StatusCode);
        Assert.Equal(HttpStatusCode.BadRequest, (await client.PostAsync("v1/embeddings", Json(new { input = 1 }))).StatusCode);
        string[] lines = (await client.GetStringAsync("metrics")).Split('\n');
        Assert.Equal(3, Value("clipengine_inputs_total{", "kind=\"text\""));
        Assert.Equal(3, Value("clipengine_inputs_total{", "kind=\"image\""));
        Assert.Equal(3, Value("clipengine_stage_duration_seconds_count{", "stage=\"prepare\"", "kind=\"image\""));
        Assert.Equal(3, Value("clipengine_stage_duration_seconds_count{", "stage=\"queue\"", "kind=\"text\""));
        Assert.Equal(3, Value("clipengine_batch_size_sum{", "kind=\"image\""));
        Assert.Equal(0, Value("clipengine_queue_length"));
        Assert.Equal(256, Value("clipengine_queue_capacity"));
        Assert.Equal(3, Value("http_server_request_duration_seconds_count{", "http_route=\"/v1/embeddings\"", "http_response_status_code=\"200\""));
        Assert.Equal(1, Value("http_server_request_duration_seconds_count{", "http_route=\"/v1/embeddings\"", "http_response_status_code=\"400\""));
        Assert.Equal("POST /v1/metrics application/x-protobuf", await arrived.Task.WaitAsync(TimeSpan.FromMinutes(1)));

        double Value(string name, params string[] labels)
        {
            string line = Assert.Single(lines, line => line.StartsWith(name, StringComparison.Ordinal) && labels.All(label => line.Contains(label, StringComparison.Ordinal)));
            return double.Parse(line.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
        }
    }

    private static StringContent Json(object value) => new(JsonSerializer.Serialize(value), Encoding.UTF8, "application/json");

    private static async Task WaitForWorkAsync(HttpClient client, ServerProcess server)
    {
        for (int i = 0; i < 200; i++)
        {
            string metrics = await client.GetStringAsync(new Uri(server.Address, "metrics"));
            if (metrics.Contains("clipengine_inputs_total{", StringComparison.Ordinal))
                return;
            await Task.Delay(10);
        }

        Assert.Fail("nothing was computed");
    }
}
