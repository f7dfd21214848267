using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Cluster;

/// <summary>Array jobs on a real Slurm, a node of which goes down while its task runs: the bytes are those of a run without parts.</summary>
[System.Runtime.Versioning.SupportedOSPlatform("linux")]
public sealed class SlurmTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SkippableFact]
    public async Task JobsSurviveANodeAndGiveTheBytesOfOneRun()
    {
        string? why = SlurmCluster.WhyNot();
        Skip.If(why is not null, why);
        string model = Path.Combine(DemoCommand.Data, "models", "small"), pictures = Path.Combine(DemoCommand.Data, "probe", "images");
        await using SlurmCluster cluster = await SlurmCluster.StartAsync();

        // The demo's pictures again and again, so that a task takes a few seconds: long enough to lose its node.
        string features = _folder.File("features", "f.npy"), list = _folder.File("list.txt");
        string[] files = [.. Directory.GetFiles(pictures).Order(StringComparer.Ordinal)];
        await File.WriteAllLinesAsync(list, Enumerable.Repeat(files, 12).SelectMany(static file => file));
        bool wasRestarted = await RunJobAsync(cluster, "embed", ["embed", "image", "--file", list, "--model", model, "--out", features], parts: 3);
        string whole = _folder.File("whole.npy");
        await SucceedAsync(await CommandLine.RunAsync("embed", "image", "--file", list, "--model", model, "--out", whole));
        Assert.Equal(File.ReadAllBytes(whole), File.ReadAllBytes(features));

        // The demo's audit with the fewest resamples, so that the test is about parts.
        string spec = Spec(), run = _folder.File("run");
        wasRestarted |= await RunJobAsync(cluster, "audit", ["audit", "run", spec, "--out", run], parts: 3);
        Assert.True(wasRestarted, "no task was running on the node when it went down");
        await SucceedAsync(await CommandLine.RunAsync("audit", "run", spec, "--out", _folder.File("whole")));
        Assert.Equal(Contents(_folder.File("whole")), Contents(run));
    }

    /// <summary>Submits a job, takes the node of one of its running tasks away, and waits for the merge.</summary>
    /// <returns>Whether that task was started again: it may have ended just before.</returns>
    private async Task<bool> RunJobAsync(SlurmCluster cluster, string name, string[] command, int parts)
    {
        string job = _folder.File($"{name}.json");
        await File.WriteAllTextAsync(job, JsonSerializer.Serialize(new { name, command }, new JsonSerializerOptions(JsonSerializerDefaults.Web)));
        await SucceedAsync(await RunAsync("slurm", job, "--array", $"{parts}", "--submit"));
        JsonElement before = await StatusAsync(job);
        Assert.Equal(parts, before.GetProperty("parts").GetInt32());

        // On a busy machine short tasks may all be over before one is seen on the node.
        string task = "";
        bool isOver = false;
        await SlurmCluster.WaitAsync(async () =>
        {
            ProcessOutcome running = await cluster.RunAsync("squeue", "--noheader", "--states=RUNNING", "--nodelist=n2", "--format=%A");
            task = running.Output.Split('\n')[0].Trim();
            isOver = task.Length == 0 && (await cluster.RunAsync("squeue", "--noheader")).Output.Trim().Length == 0;
            return task.Length > 0 || isOver;
        }, "a task on the second node");
        if (!isOver)
            await SucceedAsync(await cluster.RunAsync("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test"));
        await SlurmCluster.WaitAsync(async () => (await cluster.RunAsync("squeue", "--noheader")).Output.Trim().Length == 0, "an empty queue");
        string logs = string.Join('\n', Directory.GetFiles(Path.ChangeExtension(job, ".slurm") + "/logs").Select(File.ReadAllText));
        JsonElement after = await StatusAsync(job);
        Assert.True(after.GetProperty("done").GetInt32() == parts && after.GetProperty("merged").GetBoolean(), $"{after}\n{logs}");
        Assert.Empty(after.GetProperty("missing").EnumerateArray());

        ProcessOutcome? about = isOver ? null : await cluster.RunAsync("scontrol", "show", "job", task);
        // It may have come back by itself meanwhile.
        await cluster.RunAsync("scontrol", "update", "NodeName=n2", "State=RESUME");
        await cluster.WaitForNodesAsync();

        // Nothing is left to do: submitting again makes no part again.
        ProcessOutcome again = await RunAsync("slurm", job, "--array", $"{parts}");
        Assert.Contains("0 of", again.Error, StringComparison.Ordinal);
        return about?.Output.Contains("Restarts=1", StringComparison.Ordinal) == true;

        Task<ProcessOutcome> RunAsync(params string[] arguments) =>
            ProcessRunner.RunAsync("dotnet", [Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll"), .. arguments], environment: cluster.Environment);
    }

    private static async Task<JsonElement> StatusAsync(string job)
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("slurm", "status", job, "--json");
        await SucceedAsync(outcome);
        using var document = JsonDocument.Parse(outcome.Output);
        return document.RootElement.Clone();
    }

    private string Spec()
    {
        JsonNode spec = JsonNode.Parse(File.ReadAllText(Path.Combine(DemoCommand.Data, "spec.json")))!;
        foreach (string key in new[] { "metadata", "images" })
            spec["probe"]![key] = Path.Combine(DemoCommand.Data, spec["probe"]![key]!.GetValue<string>());
        foreach (JsonNode? model in spec["models"]!.AsArray())
            model!["model"] = Path.Combine(DemoCommand.Data, model["model"]!.GetValue<string>());
        spec["intervals"] = new JsonObject { ["resamples"] = 99 };
        string path = _folder.File("spec.json");
        File.WriteAllText(path, spec.ToJsonString());
        return path;
    }

    /// <summary>A run's files but for its clock times and the records of parts.</summary>
    private static SortedDictionary<string, string> Contents(string directory) => new(Directory.GetFiles(directory, "*", SearchOption.AllDirectories)
        .Select(file => (Name: Path.GetRelativePath(directory, file), File: file))
        .Where(static entry => entry.Name != "timings.json" && !entry.Name.StartsWith("parts", StringComparison.Ordinal))
        .ToDictionary(static entry => entry.Name, static entry => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(entry.File)))));

    private static Task SucceedAsync(ProcessOutcome outcome)
    {
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        return Task.CompletedTask;
    }
}
