using System.Globalization;
using System.Net;
using System.Text.Json;
using ClipEngine.Testing;

namespace ClipEngine.Server.Tests;

/// <summary><c>/classify</c> and <c>/score</c> give the numbers of the verbs of the same name.</summary>
[Collection("server")]
public sealed class ClassifyAndScoreTests(ServerFixture server)
{
    private static readonly string s_model = TestData.DemoPath("models", "small");

    public static TheoryData<string[]> Templates => [[], ["a photo of a {}"], ["a photo of a {}", "a drawing of a {}", "{}"]];

    [Theory]
    [MemberData(nameof(Templates))]
    public async Task LabelsGetTheProbabilitiesOfTheCommandLine(string[] templates)
    {
        string[] pictures = ServerFixture.Pictures[..5];
        string output = await ServerFixture.RunAsync(["classify", "--model", s_model, "--labels", "anchor,drum,ladder", "--json", .. templates.SelectMany(static template => new[] { "--template", template }), .. pictures]);
        Dictionary<string, float>[] expected = [.. output.Trim().Split('\n').Select(static line => JsonDocument.Parse(line).RootElement.GetProperty("probabilities").EnumerateObject().ToDictionary(static label => label.Name, static label => label.Value.GetSingle()))];
        for (int turn = 0; turn < 2; turn++) // the second time the labels are known
        {
            (HttpStatusCode status, JsonElement body) = await server.PostAsync("classify", new { model = "small", input = pictures.Select(ServerFixture.DataUrl), labels = new[] { "anchor", "drum", "ladder" }, templates = templates.Length == 0 ? null : templates });
            Assert.True(status == HttpStatusCode.OK, body.ToString());
            JsonElement[] images = [.. body.GetProperty("data").EnumerateArray()];
            Assert.Equal(pictures.Length, images.Length);
            for (int i = 0; i < images.Length; i++)
            {
                (string Label, float Score)[] scores = [.. images[i].EnumerateArray().Select(static label => (label.GetProperty("label").GetString()!, label.GetProperty("score").GetSingle()))];
                Assert.Equal(expected[i], scores.ToDictionary(static one => one.Label, static one => one.Score));
                Assert.Equal(scores.OrderByDescending(static one => one.Score), scores);
            }
        }
    }

    [Fact]
    public async Task AnImageAsTheBodyIsClassifiedByTheQuery()
    {
        (_, JsonElement json) = await server.PostAsync("classify", new { model = "small", input = ServerFixture.DataUrl(ServerFixture.Pictures[0]), labels = new[] { "anchor", "drum" }, templates = "a photo of a {}" });
        (HttpStatusCode status, JsonElement body) = await server.PostFileAsync("classify?model=small&labels=anchor&labels=drum&templates=a+photo+of+a+%7B%7D", ServerFixture.Pictures[0]);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal(json.GetProperty("data").ToString(), body.GetProperty("data").ToString());
    }

    [Fact]
    public async Task ScoresAreThoseOfTheCommandLine()
    {
        using var folder = new TemporaryFolder();
        string[] pictures = ServerFixture.Pictures[..3], sentences = ["an anchor", "a drum", "a drum"];
        (HttpStatusCode status, JsonElement body) = await server.PostAsync("score", new { model = "small", images = pictures.Select(ServerFixture.DataUrl), texts = sentences });
        Assert.True(status == HttpStatusCode.OK, body.ToString());
        await ServerFixture.RunAsync(["embed", "image", "--model", s_model, "--out", folder.File("i.npy"), .. pictures]);
        await ServerFixture.RunAsync(["embed", "text", "--model", s_model, "--out", folder.File("t.npy"), .. sentences]);
        await ServerFixture.RunAsync("score", "--images", folder.File("i.npy"), "--texts", folder.File("t.npy"), "--scale", body.GetProperty("scale").GetDouble().ToString("R", CultureInfo.InvariantCulture), "--out", folder.File("s.npy"));
        JsonElement[] rows = [.. body.GetProperty("data").EnumerateArray()];
        Assert.Equal(ServerFixture.ReadRows(folder.File("s.npy"), 3), rows.Select(static row => Numbers(row, "probabilities")));
        float[][] images = ServerFixture.ReadRows(folder.File("i.npy"), 3), texts = ServerFixture.ReadRows(folder.File("t.npy"), 3);
        for (int i = 0; i < 3; i++)
        {
            float[] cosines = Numbers(rows[i], "cosines");
            for (int j = 0; j < 3; j++)
                Assert.Equal(images[i].Zip(texts[j], static (x, y) => (double)x * y).Sum(), cosines[j], 1e-6);
        }

        static float[] Numbers(JsonElement row, string name) => [.. row.GetProperty(name).EnumerateArray().Select(static number => number.GetSingle())];
    }
}
