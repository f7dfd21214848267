using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;
using Xunit.Abstractions;

namespace ClipEngine.Cli.Tests.Faults;

/// <summary>
/// One call of the C library at a time fails, as on a bad or full disk or beyond a quota, by the library <c>faults.c</c> that is compiled here and
/// preloaded: the verb ends with exit code 1 and what lies under the final names is right, or not there. A fault that does not matter (a hint to
/// the system, the removal of what is gone) may pass, if the result is right to the last byte.
/// </summary>
public sealed class FaultInjectionTests(ITestOutputHelper said) : IDisposable
{
    private const int InputOutput = 5, NoSpace = 28, Quota = 122;

    private readonly TemporaryFolder _folder = new();
    private Uri? _hub;

    public void Dispose() => _folder.Dispose();

    private static readonly bool s_isLong = Environment.GetEnvironmentVariable("CLIPENGINE_LONG") == "1";

    private static readonly (string Verb, string Line)[] s_verbs =
    [
        ("models pull", "models pull ViT-B-32/laion2b_e16"),
        ("embed", "embed image {in}/0.png {in}/1.png --model {in}/model --out {out}/f.safetensors"),
        ("score", "score --images {in}/images.npy --texts {in}/texts.npy --out {out}/s.npy"),
        ("convert", "convert {in}/model --to transformers --out {out}/converted"),
        ("audit run", "audit run {in}/spec.json --out {out}/run"),
    ];

    /// <summary>Each error of a verb by itself, so that a long sweep can be run in pieces: <c>--filter "DisplayName~convert&amp;DisplayName~122"</c>.</summary>
    public static TheoryData<string, int> Sweeps
    {
        get
        {
            var sweeps = new TheoryData<string, int>();
            foreach ((string verb, _) in s_verbs)
            {
                foreach (int error in s_isLong ? [InputOutput, NoSpace, Quota] : new[] { NoSpace })
                    sweeps.Add(verb, error);
            }

            return sweeps;
        }
    }

    /// <summary>The normal run tries a few of the calls; with CLIPENGINE_LONG every one with every error.</summary>
    [SkippableTheory]
    [MemberData(nameof(Sweeps))]
    public async Task ACallThatFailsLeavesNothingWrong(string verb, int error)
    {
        string line = s_verbs.Single(entry => entry.Verb == verb).Line;
        Skip.IfNot(OperatingSystem.IsLinux(), "preloading a library is Linux's way");
        string library = await CompileAsync();
        Fill();
        CatalogueEntry entry = ModelCatalogue.Find("ViT-B-32/laion2b_e16");
        using var server = new LoopbackServer(new LoopbackHub().Add(entry.HubRepository!, entry.HubFileNames[0], [.. Enumerable.Range(0, 300_000).Select(static i => (byte)(i * 7))]).Answer);
        _hub = server.Address;
        string[] words = [.. line.Split(' ').Select(word => word.Replace("{in}", _folder.File("in")).Replace("{out}", _folder.File("out")))];
        (ProcessOutcome first, string[] calls) = await RunAsync(library, words, at: 0, InputOutput);
        Assert.True(first.ExitCode == 0, first.ToString());
        Dictionary<string, byte[]> right = Results();
        await RunAsync(library, words, at: 0, InputOutput);
        // Clock times differ from run to run; everything else must not.
        string[] stable = [.. Results().Where(file => right[file.Key].AsSpan().SequenceEqual(file.Value)).Select(static file => file.Key)];
        Assert.NotEmpty(stable);

        int step = s_isLong ? 1 : Math.Max(1, calls.Length / 6), injected = 0, noticed = 0;
        var failures = new List<string>();
        for (int at = 1; at <= calls.Length; at += step)
        {
            (ProcessOutcome outcome, string[] seen) = await RunAsync(library, words, at, error);
            if (seen.Length < at)
                continue;
            injected++;
            noticed += outcome.ExitCode == 1 ? 1 : 0;
            Dictionary<string, byte[]> results = Results();
            bool isDone = outcome.ExitCode == 0;
            string? wrong = stable.FirstOrDefault(name => results.TryGetValue(name, out byte[]? bytes) && !bytes.AsSpan().SequenceEqual(right[name]) && (isDone || !IsEarlierLedger(name, bytes, right[name])));
            bool isWhole = stable.All(results.ContainsKey);
            if (outcome.ExitCode is not (0 or 1) || wrong is not null || (isDone && !isWhole) || outcome.Error.Contains("   at ", StringComparison.Ordinal))
                failures.Add($"error {error} at call {seen[at - 1]}: {(wrong is null ? "" : wrong + " is wrong; ")}{outcome}");
        }

        said.WriteLine($"{verb}, error {error}: {injected} faults injected into {calls.Length} calls, {noticed} ended it with exit code 1, the others changed nothing");
        Assert.True(failures.Count == 0, $"{failures.Count} of {injected}:\n{string.Join('\n', failures)}");
    }

    /// <summary>Whether a file is an audit's list of finished stages, of which some are not there yet: what a run that ended early leaves for the next one to continue with.</summary>
    private static bool IsEarlierLedger(string name, byte[] found, byte[] right)
    {
        if (Path.GetFileName(name) != "stages.json")
            return false;
        using JsonDocument early = JsonDocument.Parse(found), whole = JsonDocument.Parse(right);
        return early.RootElement.EnumerateObject().All(stage => whole.RootElement.TryGetProperty(stage.Name, out JsonElement entry) && JsonElement.DeepEquals(entry, stage.Value));
    }

    private async Task<string> CompileAsync()
    {
        string library = _folder.File("faults.so");
        ProcessOutcome compiler = await ProcessRunner.RunAsync("cc", ["-shared", "-fPIC", "-O1", "-o", library, TestData.Path("..", "ClipEngine.Cli.Tests", "Faults", "faults.c"), "-ldl"]);
        Assert.True(compiler.ExitCode == 0, compiler.ToString());
        return library;
    }

    private void Fill()
    {
        string inputs = Directory.CreateDirectory(_folder.File("in")).FullName, model = Directory.CreateDirectory(Path.Combine(inputs, "model")).FullName;
        foreach (string file in Directory.EnumerateFiles(Path.Combine(DemoCommand.Data, "models", "small")))
            File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        int number = 0;
        foreach (string file in Directory.EnumerateFiles(Path.Combine(DemoCommand.Data, "probe", "images"), "*.png").Order(StringComparer.Ordinal).Take(2))
            File.Copy(file, Path.Combine(inputs, $"{number++}.png"));
        ClipEngine.Files.NpyFile.Write<float>(Path.Combine(inputs, "images.npy"), [1, 0, 0, 1, 0.6f, 0.8f], 3, 2);
        ClipEngine.Files.NpyFile.Write<float>(Path.Combine(inputs, "texts.npy"), [1, 0, 0, 1], 2, 2);
        ClipEngine.Files.NpyFile.Write<float>(Path.Combine(inputs, "softmax.npy"), [0.25f, 0.75f, 0.5f, 0.5f, 1, 0, 0.75f, 0.25f], 4, 2);
        File.WriteAllText(Path.Combine(inputs, "table.csv"), "id,group\na,x\nb,y\nc,x\nd,y\n");
        File.WriteAllText(Path.Combine(inputs, "spec.json"), """
            {"title": "T", "probe": {"metadata": "table.csv", "group": ["group"]}, "intervals": {"resamples": 99},
             "models": [{"key": "m", "scores": {"e": {"softmax": "softmax.npy"}}}],
             "experiments": [{"key": "e", "title": "E", "template": "{label}", "labels": [{"text": "cat"}, {"text": "dog"}]}]}
            """);
    }

    private async Task<(ProcessOutcome Outcome, string[] Calls)> RunAsync(string library, string[] words, int at, int error)
    {
        string output = _folder.File("out"), log = _folder.File("log");
        if (Directory.Exists(output))
            Directory.Delete(output, recursive: true);
        Directory.CreateDirectory(output);
        File.Delete(log);
        ProcessOutcome outcome = await ProcessRunner.RunAsync("dotnet", [Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll"), .. words], environment: new Dictionary<string, string?>
        {
            ["LD_PRELOAD"] = library,
            ["FAULT_FOLDER"] = _folder.Root + "/",
            ["FAULT_AT"] = at.ToString(System.Globalization.CultureInfo.InvariantCulture),
            ["FAULT_ERRNO"] = error.ToString(System.Globalization.CultureInfo.InvariantCulture),
            ["FAULT_LOG"] = log,
            // The order of calls must be that of the run before.
            ["CLIPENGINE_THREADS"] = "1",
            ["HF_ENDPOINT"] = _hub?.AbsoluteUri,
            ["HF_HUB_CACHE"] = _folder.File("out", "hub"),
            ["HF_HOME"] = _folder.File("out", "home"),
            ["HF_HUB_OFFLINE"] = null,
            ["HF_TOKEN"] = null,
            ["no_proxy"] = "127.0.0.1",
        });
        return (outcome, File.Exists(log) ? File.ReadAllLines(log) : []);
    }

    /// <summary>What lies under final names.</summary>
    private Dictionary<string, byte[]> Results() => Directory.EnumerateFiles(_folder.File("out"), "*", SearchOption.AllDirectories)
        .Where(static file => !file.EndsWith(ClipEngine.Files.AtomicFile.TemporarySuffix, StringComparison.Ordinal))
        .ToDictionary(file => Path.GetRelativePath(_folder.Root, file), File.ReadAllBytes);
}
