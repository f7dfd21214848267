using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;

namespace ClipEngine.Server.Tests;

/// <summary>A server in this process with the demo's two models, and what the command line, in a process of its own, makes of the same inputs.</summary>
public sealed class ServerFixture : IAsyncLifetime
{
    /// <summary>The command line itself, from where it was built: beside the tests lack the libraries that ASP.NET Core brings.</summary>
    private static readonly string s_program = Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "bin", new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name, "net10.0", "ClipEngine.Cli.dll");

    private readonly TemporaryFolder _folder = new();
    private readonly ClipModel _small = ClipModel.Load(TestData.DemoPath("models", "small")), _large = ClipModel.Load(TestData.DemoPath("models", "large"));
    private RunningServer? _server;

    /// <summary>Pictures of the demo.</summary>
    public static string[] Pictures { get; } = [.. Directory.GetFiles(TestData.DemoPath("probe", "images")).Order(StringComparer.Ordinal).Take(24)];

    /// <summary>Sentences of several lengths.</summary>
    public static string[] Sentences { get; } = ["a drum", "", "a photo of an anchor, café \U0001F600", string.Concat(Enumerable.Repeat("a long sentence that does not fit ", 30)), "A DRUM", "0"];

    /// <summary>Where it listens.</summary>
    public Uri Address => _server!.Address;

    /// <summary>Methods and paths of all endpoints.</summary>
    public IEnumerable<string> Endpoints => _server!.Endpoints;

    /// <summary>Its client.</summary>
    public HttpClient Client { get; } = new() { Timeout = TimeSpan.FromMinutes(2) };

    /// <summary>What <c>embed image</c> writes for the pictures with the small model.</summary>
    public float[][] PictureRows { get; private set; } = [];

    /// <summary>What <c>embed text</c> writes for the sentences with the small model.</summary>
    public float[][] SentenceRows { get; private set; } = [];

    /// <summary>Settings of a server for tests.</summary>
    internal static ServeSettings Settings(params (string, ClipModel)[] models) => new()
    {
        Models = models,
        Address = IPAddress.Loopback,
        Port = 0,
        QueueCapacity = 256,
        MaximumInputs = 64,
        MaximumBodyBytes = 4 << 20,
        MaximumPixels = 4_000_000,
        BatchWait = TimeSpan.FromMilliseconds(2),
        DrainTime = TimeSpan.FromSeconds(30),
    };

    /// <summary>A data URL.</summary>
    public static string DataUrl(string file) => $"data:image/{(file.EndsWith("png", StringComparison.Ordinal) ? "png" : "jpeg")};base64,{Convert.ToBase64String(File.ReadAllBytes(file))}";

    /// <summary>Runs a verb of the command line.</summary>
    public static async Task<string> RunAsync(params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", [s_program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false })!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, await error);
        return output;
    }

    /// <summary>The rows of a matrix in an .npy file.</summary>
    public static float[][] ReadRows(string file, int rows)
    {
        byte[] bytes = File.ReadAllBytes(file);
        ReadOnlySpan<float> values = MemoryMarshal.Cast<byte, float>(bytes.AsSpan(10 + BitConverter.ToUInt16(bytes, 8)));
        int width = values.Length / rows;
        float[][] result = new float[rows][];
        for (int i = 0; i < rows; i++)
            result[i] = values.Slice(i * width, width).ToArray();
        return result;
    }

    /// <inheritdoc/>
    public async Task InitializeAsync()
    {
        _server = await ServerHost.StartAsync(Settings(("small", _small), ("other/large", _large)));
        string model = TestData.DemoPath("models", "small"), texts = _folder.File("t.json");
        await RunAsync(["embed", "image", "--model", model, "--out", _folder.File("i.npy"), .. Pictures]);
        await File.WriteAllTextAsync(texts, JsonSerializer.Serialize(Sentences));
        await RunAsync("embed", "text", "--model", model, "--out", _folder.File("t.npy"), "--file", texts);
        PictureRows = ReadRows(_folder.File("i.npy"), Pictures.Length);
        SentenceRows = ReadRows(_folder.File("t.npy"), Sentences.Length);
    }

    /// <inheritdoc/>
    public async Task DisposeAsync()
    {
        Client.Dispose();
        if (_server is not null)
            await _server.DisposeAsync();
        _small.Dispose();
        _large.Dispose();
        _folder.Dispose();
    }

    /// <summary>Posts JSON.</summary>
    public async Task<(HttpStatusCode Status, JsonElement Body)> PostAsync(string path, object body)
    {
        using var content = new StringContent(body as string ?? JsonSerializer.Serialize(body), Encoding.UTF8, "application/json");
        return await PostAsync(path, content);
    }

    /// <summary>Posts a file as it is.</summary>
    public async Task<(HttpStatusCode Status, JsonElement Body)> PostFileAsync(string path, string file, string type = "image/png")
    {
        using var content = new ByteArrayContent(await File.ReadAllBytesAsync(file));
        content.Headers.ContentType = new MediaTypeHeaderValue(type);
        return await PostAsync(path, content);
    }

    /// <summary>The rows of an answer of /v1/embeddings with numbers.</summary>
    public static float[][] Rows(JsonElement body) =>
        [.. body.GetProperty("data").EnumerateArray().Select(static item => item.GetProperty("embedding").EnumerateArray().Select(static number => number.GetSingle()).ToArray())];

    private async Task<(HttpStatusCode Status, JsonElement Body)> PostAsync(string path, HttpContent content)
    {
        using HttpResponseMessage response = await Client.PostAsync(new Uri(Address, path), content);
        return (response.StatusCode, JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement);
    }
}

/// <summary>The tests that share the server.</summary>
[CollectionDefinition("server")]
public sealed class ServerTests : ICollectionFixture<ServerFixture>;
