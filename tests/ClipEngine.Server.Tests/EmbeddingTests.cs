using System.ClientModel;
using System.Net;
using System.Text.Json;
using OpenAI;
using OpenAI.Embeddings;

namespace ClipEngine.Server.Tests;

/// <summary>The features of the service are those of the command line, bit for bit, in whatever company and shape they were asked for.</summary>
[Collection("server")]
public sealed class EmbeddingTests(ServerFixture server)
{
    /// <summary>OpenAI's own library, which asks for base64.</summary>
    [Fact]
    public async Task AnOpenAIClientGetsTheBitsOfTheCommandLine()
    {
        var client = new EmbeddingClient("small", new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(server.Address, "v1") });
        OpenAIEmbeddingCollection sentences = await client.GenerateEmbeddingsAsync(ServerFixture.Sentences);
        Assert.Equal(server.SentenceRows, sentences.Select(static one => one.ToFloats().ToArray()));
        Assert.Equal("small", sentences.Model);
        Assert.True(sentences.Usage.InputTokenCount > ServerFixture.Sentences.Length);
        OpenAIEmbeddingCollection pictures = await client.GenerateEmbeddingsAsync(ServerFixture.Pictures.Select(ServerFixture.DataUrl), new EmbeddingGenerationOptions { Dimensions = 16 });
        Assert.Equal(server.PictureRows, pictures.Select(static one => one.ToFloats().ToArray()));
        OpenAIEmbedding one = await client.GenerateEmbeddingAsync(ServerFixture.Sentences[2]);
        Assert.Equal(server.SentenceRows[2], one.ToFloats().ToArray());
    }

    [Fact]
    public async Task NumbersAreTheSameBitsAsBase64()
    {
        (HttpStatusCode status, JsonElement body) = await server.PostAsync("v1/embeddings", new { model = "small", input = ServerFixture.Sentences, encoding_format = "float" });
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal(server.SentenceRows, ServerFixture.Rows(body));
        Assert.Equal([3], body.GetProperty("truncated").EnumerateArray().Select(static index => index.GetInt32()));
    }

    [Fact]
    public async Task AnImageIsTheBodyItself()
    {
        for (int i = 0; i < 3; i++)
        {
            (HttpStatusCode status, JsonElement body) = await server.PostFileAsync("v1/embeddings?model=small", ServerFixture.Pictures[i], i == 0 ? "application/octet-stream" : "image/png");
            Assert.Equal(HttpStatusCode.OK, status);
            Assert.Equal([server.PictureRows[i]], ServerFixture.Rows(body));
        }
    }

    /// <summary>infinity's clients say what the inputs are; without it a data URL of an image is one, and all else is a sentence.</summary>
    [Fact]
    public async Task ModalitySaysWhatInputsAre()
    {
        string url = ServerFixture.DataUrl(ServerFixture.Pictures[0]);
        (_, JsonElement images) = await server.PostAsync("v1/embeddings", new { model = "small", input = new[] { url }, modality = "image" });
        Assert.Equal([server.PictureRows[0]], ServerFixture.Rows(images));
        (_, JsonElement mixed) = await server.PostAsync("v1/embeddings", new { model = "small", input = new[] { "a drum", url, "0" } });
        Assert.Equal([server.SentenceRows[0], server.PictureRows[0], server.SentenceRows[5]], ServerFixture.Rows(mixed));
        (_, JsonElement text) = await server.PostAsync("v1/embeddings", new { model = "small", input = url, modality = "text" });
        Assert.NotEqual(server.PictureRows[0], ServerFixture.Rows(text)[0]);
        (HttpStatusCode status, JsonElement audio) = await server.PostAsync("v1/embeddings", new { model = "small", input = "a", modality = "audio" });
        Assert.Equal((HttpStatusCode.BadRequest, "modality"), (status, audio.GetProperty("error").GetProperty("param").GetString()));
    }

    /// <summary>JSON as other languages write it: escaped slashes, escapes in base64, line breaks in it.</summary>
    [Fact]
    public async Task EscapesInDataUrlsAreResolved()
    {
        string url = ServerFixture.DataUrl(ServerFixture.Pictures[0]);
        string broken = url[..60] + "\\n" + url[60..];
        foreach (string text in (string[])[url.Replace("/", "\\/", StringComparison.Ordinal), "\\u0064" + url[1..], broken])
        {
            (HttpStatusCode status, JsonElement body) = await server.PostAsync("v1/embeddings", $$"""{"input":["{{text}}", "\u0061 drum"],"model":"sm\u0061ll"}""");
            Assert.True(status == HttpStatusCode.OK, body.ToString());
            Assert.Equal([server.PictureRows[0], server.SentenceRows[0]], ServerFixture.Rows(body));
        }
    }

    [Fact]
    public async Task ManyCallersAtOnceGetTheSameBits()
    {
        var random = new Random(1);
        (int Picture, int Sentence)[] requests = [.. Enumerable.Range(0, 200).Select(_ => (random.Next(ServerFixture.Pictures.Length), random.Next(ServerFixture.Sentences.Length)))];
        await Parallel.ForEachAsync(requests, new ParallelOptions { MaxDegreeOfParallelism = 32 }, async (request, _) =>
        {
            (HttpStatusCode status, JsonElement body) = await server.PostAsync("v1/embeddings", new { model = "small", input = new[] { ServerFixture.Sentences[request.Sentence], ServerFixture.DataUrl(ServerFixture.Pictures[request.Picture]) } });
            Assert.True(status == HttpStatusCode.OK, body.ToString());
            Assert.Equal([server.SentenceRows[request.Sentence], server.PictureRows[request.Picture]], ServerFixture.Rows(body));
        });
    }

    [Fact]
    public async Task SeveralModelsAreServedByName()
    {
        using HttpResponseMessage list = await server.Client.GetAsync(new Uri(server.Address, "v1/models"));
        JsonElement models = JsonDocument.Parse(await list.Content.ReadAsStringAsync()).RootElement;
        Assert.Equal(["small", "other/large"], models.GetProperty("data").EnumerateArray().Select(static model => model.GetProperty("id").GetString()));
        using HttpResponseMessage one = await server.Client.GetAsync(new Uri(server.Address, "v1/models/other/large"));
        Assert.Equal("other/large", JsonDocument.Parse(await one.Content.ReadAsStringAsync()).RootElement.GetProperty("id").GetString());

        (_, JsonElement small) = await server.PostAsync("v1/embeddings", new { model = "small", input = "a drum" });
        (_, JsonElement large) = await server.PostAsync("v1/embeddings", new { model = "other/large", input = "a drum" });
        Assert.NotEqual(ServerFixture.Rows(small)[0], ServerFixture.Rows(large)[0]);
        (HttpStatusCode unknown, JsonElement error) = await server.PostAsync("v1/embeddings", new { model = "gpt", input = "a drum" });
        Assert.Equal((HttpStatusCode.NotFound, "model_not_found"), (unknown, error.GetProperty("error").GetProperty("code").GetString()));
        (HttpStatusCode missing, _) = await server.PostAsync("v1/embeddings", new { input = "a drum" });
        Assert.Equal(HttpStatusCode.BadRequest, missing);
    }
}
