using System.Text.Json;
using Microsoft.OpenApi;
using Microsoft.OpenApi.Reader;
using Microsoft.Playwright;

namespace ClipEngine.Server.Tests;

/// <summary>What the server says of itself: the page in a real browser, and the OpenAPI document.</summary>
[Collection("server")]
public sealed class PageAndDocumentTests(ServerFixture server)
{
    private static readonly string[] s_browsers = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

    /// <summary>A user drops a picture, types labels and sees bars, in the order of their lengths.</summary>
    [SkippableFact]
    public async Task ADroppedPictureShowsABarForEachLabel()
    {
        string? browserPath = s_browsers.FirstOrDefault(File.Exists);
        Skip.If(browserPath is null, "Chromium is not installed (apt-get install chromium)");
        using IPlaywright playwright = await Playwright.CreateAsync();
        await using IBrowser browser = await playwright.Chromium.LaunchAsync(new BrowserTypeLaunchOptions { ExecutablePath = browserPath, Args = ["--no-sandbox"] });
        IPage page = await browser.NewPageAsync();
        var problems = new List<string>();
        var asked = new List<string>();
        page.Console += (_, message) =>
        {
            if (message.Type == "error")
                problems.Add(message.Text);
        };
        page.PageError += (_, error) => problems.Add(error);
        page.Request += (_, request) => asked.Add(request.Url);

        await page.GotoAsync(server.Address.ToString());
        Assert.Equal("ClipEngine", await page.TitleAsync());
        await page.Locator("#labels").FillAsync("anchor, drum, <b>ladder</b>");
        await page.Locator("#template").FillAsync("a photo of a {}");
        // Dropping is an event with the file in it.
        string picture = Directory.GetFiles(ClipEngine.Testing.TestData.DemoPath("probe", "images"), "scene06-solid-circle.*").Single();
        await page.EvaluateAsync("""
            base64 => {
              const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0)), data = new DataTransfer();
              data.items.add(new File([bytes], "drum.jpg", { type: "image/jpeg" }));
              document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
            }
            """, Convert.ToBase64String(await File.ReadAllBytesAsync(picture)));
        await page.Locator("#answer .row").Nth(2).WaitForAsync();
        Assert.Equal("drum", await page.Locator("#answer .row").First.Locator("span").First.TextContentAsync());
        double[] bars = [.. (await page.EvaluateAsync<double[]>("[...document.querySelectorAll('#answer progress')].map(bar => bar.value)"))];
        Assert.Equal(3, bars.Length);
        Assert.Equal(bars.OrderDescending(), bars);
        Assert.Equal(1, bars.Sum(), 1e-5);
        Assert.Equal("drum.jpg", await page.Locator("#hint img").GetAttributeAsync("alt"));
        Assert.Contains("<b>ladder</b>", await page.Locator("#answer .row span").AllTextContentsAsync()); // shown, not interpreted

        // Other labels, typed: other bars. A file that is chosen, not dropped, and is no image: the reason.
        await page.Locator("#labels").FillAsync("drum, anchor");
        await Assertions.Expect(page.Locator("#answer .row")).ToHaveCountAsync(2);
        await page.Locator("#model").SelectOptionAsync("other/large");
        await page.Locator("#file").SetInputFilesAsync(new FilePayload { Name = "no.png", MimeType = "image/png", Buffer = "hello"u8.ToArray() });
        await page.Locator("#answer .error").WaitForAsync();
        Assert.Contains("it looks like text", await page.Locator("#answer .error").TextContentAsync());
        Assert.All(asked, url => Assert.True(url.StartsWith(server.Address.ToString(), StringComparison.Ordinal) || url.StartsWith("data:", StringComparison.Ordinal), url));
        Assert.All(problems, static problem => Assert.Contains("400", problem)); // the refusal, which Chromium reports
    }

    [Fact]
    public async Task TheOpenApiDocumentIsValidAndNamesEveryEndpoint()
    {
        string text = await server.Client.GetStringAsync(new Uri(server.Address, "openapi.json"));
        ReadResult read = OpenApiDocument.Parse(text, "json");
        Assert.Empty(read.Diagnostic!.Errors);
        Assert.Empty(read.Diagnostic.Warnings);
        IEnumerable<string> described = read.Document!.Paths.SelectMany(static path => path.Value.Operations!.Keys.Select(method => $"{method.Method} {path.Key}"));
        Assert.Equal(server.Endpoints.Order(StringComparer.Ordinal), described.Order(StringComparer.Ordinal));
    }

    /// <summary>What the server answers has the members that the document promises, and no others.</summary>
    [Fact]
    public async Task AnswersHaveTheMembersOfTheDocument()
    {
        OpenApiDocument document = OpenApiDocument.Parse(await server.Client.GetStringAsync(new Uri(server.Address, "openapi.json")), "json").Document!;
        string url = ServerFixture.DataUrl(ServerFixture.Pictures[0]);
        string longText = ServerFixture.Sentences[3];
        Check("EmbeddingResponse", (await server.PostAsync("v1/embeddings", new { model = "small", input = new[] { longText, url } })).Body);
        Check("ClassifyResponse", (await server.PostAsync("classify", new { model = "small", input = url, labels = new[] { longText, "b" } })).Body);
        Check("ScoreResponse", (await server.PostAsync("score", new { model = "small", images = url, texts = longText })).Body);
        Check("Error", (await server.PostAsync("v1/embeddings", new { model = "small" })).Body);
        Check("Model", JsonDocument.Parse(await server.Client.GetStringAsync(new Uri(server.Address, "v1/models/small"))).RootElement);
        Check("Health", JsonDocument.Parse(await server.Client.GetStringAsync(new Uri(server.Address, "health"))).RootElement);

        void Check(string name, JsonElement answer) => CheckSchema(name, document.Components!.Schemas![name], answer);

        static void CheckSchema(string name, IOpenApiSchema schema, JsonElement answer)
        {
            if (answer.ValueKind == JsonValueKind.Object)
            {
                foreach (string required in schema.Required ?? new HashSet<string>())
                    Assert.True(answer.TryGetProperty(required, out _), $"{name} lacks {required}: {answer}");
                foreach (JsonProperty member in answer.EnumerateObject())
                {
                    Assert.True(schema.Properties!.TryGetValue(member.Name, out IOpenApiSchema? own), $"{name} has {member.Name}, which the document does not name");
                    CheckSchema($"{name}.{member.Name}", own!, member.Value);
                }
            }
            else if (answer.ValueKind == JsonValueKind.Array && schema.Items is { } items)
            {
                foreach (JsonElement element in answer.EnumerateArray())
                    CheckSchema($"{name}[]", items, element);
            }
        }
    }
}
