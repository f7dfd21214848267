using System.Net;
using System.Text.Json;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;

namespace ClipEngine.Server.Tests;

/// <summary>More than the server can do: it answers what it can, refuses the rest at once, and is itself again afterwards.</summary>
public sealed class OverloadTests
{
    [Fact]
    public async Task ARefusalSaysWhenToTryAgainAndALargeRequestWaitsForNobody()
    {
        using var model = ClipModel.Load(TestData.DemoPath("models", "small"));
        ServeSettings settings = ServerFixture.Settings(("small", model)) with { QueueCapacity = 2 };
        await using RunningServer server = await ServerHost.StartAsync(settings);
        using var client = new HttpClient();
        string body = JsonSerializer.Serialize(new { input = Enumerable.Repeat(ServerFixture.DataUrl(ServerFixture.Pictures[0]), 60) });
        HttpResponseMessage[] answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => client.PostAsync(new Uri(server.Address, "v1/embeddings"), new StringContent(body, null, "application/json"))));
        Assert.Contains(answers, static answer => answer.StatusCode == HttpStatusCode.OK); // larger than the queue, but nothing else was there
        HttpResponseMessage refused = answers.First(static answer => answer.StatusCode == HttpStatusCode.TooManyRequests);
        Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
        Assert.Equal("rate_limit_error", JsonDocument.Parse(await refused.Content.ReadAsStringAsync()).RootElement.GetProperty("error").GetProperty("type").GetString());
    }

    /// <summary>Requests take turns: a small one that comes while a large one is computed is answered before it.</summary>
    [Fact]
    public async Task ALargeRequestDoesNotHoldUpASmallOne()
    {
        using var model = ClipModel.Load(TestData.DemoPath("models", "large"));
        await using RunningServer server = await ServerHost.StartAsync(ServerFixture.Settings(("large", model)) with { MaximumInputs = 5000, QueueCapacity = 10_000 });
        using var client = new HttpClient();
        Task<HttpResponseMessage> large = PostAsync(Enumerable.Range(0, 5000).Select(static i => $"sentence number {i}"));
        await Task.Delay(100);
        int done = 0;
        while (done < 3 || !large.IsCompleted)
        {
            HttpResponseMessage small = await PostAsync(["a drum"]);
            Assert.Equal(HttpStatusCode.OK, small.StatusCode);
            if (!large.IsCompleted)
                done++;
            else if (done < 3)
                Assert.Fail("the large request was answered before three small ones");
        }

        Assert.Equal(HttpStatusCode.OK, (await large).StatusCode);

        Task<HttpResponseMessage> PostAsync(IEnumerable<string> input) =>
            client.PostAsync(new Uri(server.Address, "v1/embeddings"), new StringContent(JsonSerializer.Serialize(new { input }), null, "application/json"));
    }

    /// <summary>What a client that went away had asked for is given up, and its place in the queue with it.</summary>
    [Fact]
    public async Task ClientsThatGoAwayLeaveRoom()
    {
        using var model = ClipModel.Load(TestData.DemoPath("models", "large"));
        await using RunningServer server = await ServerHost.StartAsync(ServerFixture.Settings(("large", model)) with { MaximumInputs = 5000, QueueCapacity = 5000 });
        using var client = new HttpClient();
        string body = JsonSerializer.Serialize(new { input = Enumerable.Range(0, 5000).Select(static i => $"sentence number {i}") });
        int left = 0;
        for (int turn = 0; turn < 200 && left < 5; turn++)
        {
            using var leaving = new CancellationTokenSource(TimeSpan.FromMilliseconds(150));
            try
            {
                // Refused while what the last one left is being cleared away.
                await client.PostAsync(new Uri(server.Address, "v1/embeddings"), new StringContent(body, null, "application/json"), leaving.Token);
                await Task.Delay(20);
            }
            catch (OperationCanceledException)
            {
                left++;
            }
        }

        Assert.Equal(5, left);

        HttpResponseMessage? answer = null;
        for (int turn = 0; turn < 100 && answer?.IsSuccessStatusCode != true; turn++, await Task.Delay(100))
            answer = await client.PostAsync(new Uri(server.Address, "v1/embeddings"), new StringContent("""{"input":"a drum"}""", null, "application/json"));
        Assert.Equal(HttpStatusCode.OK, answer!.StatusCode);
    }
}
