using System.Text.Json;
using System.Text.Json.Nodes;
using ClipEngine.Cli.Cluster;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;
using k8s;
using k8s.Models;

namespace ClipEngine.Cli.Tests.Cluster;

/// <summary>Jobs as they are written: scripts, manifests, and specs that are refused.</summary>
public sealed class JobTests : IDisposable
{
    private static readonly string Model = Path.Combine(DemoCommand.Data, "models", "small");
    private static readonly string Pictures = Path.Combine(DemoCommand.Data, "probe", "images");
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ManifestsFollowTheSchemaOfKubernetes()
    {
        var job = JobFolder.Create(Spec("""
            "kubernetes": {"image": "registry.example/clipengine:1", "claim": "data", "parallelism": 20}, "resources": {"cpus": 8, "gpus": 1, "memory": "16G"}
            """), 100);
        job.Write([1]);
        V1Job array = Validated("array.k8s.json");
        Assert.Equal(("Indexed", 100, 20), (array.Spec.CompletionMode, array.Spec.Completions, array.Spec.Parallelism));
        V1Container container = Assert.Single(array.Spec.Template.Spec.Containers);
        Assert.Equal(("8", "16Gi"), (container.Resources.Requests["cpu"].ToString(), container.Resources.Requests["memory"].ToString()));
        Assert.Equal("1", container.Resources.Limits["nvidia.com/gpu"].ToString());
        Assert.EndsWith("--shard $((JOB_COMPLETION_INDEX + 1))/100", container.Command[2], StringComparison.Ordinal);
        // What the API server refuses otherwise: indices are retried, and failures told apart, only where pods are not restarted in place.
        Assert.Equal("Never", array.Spec.Template.Spec.RestartPolicy);
        Assert.Equal(container.VolumeMounts[0].Name, Assert.Single(array.Spec.Template.Spec.Volumes).Name);
        V1Job merge = Validated("merge.k8s.json");
        Assert.Null(merge.Spec.Completions);
        Assert.Contains(" merge ", Assert.Single(merge.Spec.Template.Spec.Containers).Command[2], StringComparison.Ordinal);

        V1Job Validated(string name)
        {
            string text = File.ReadAllText(Path.Combine(job.Folder, name));
            V1Job known = KubernetesJson.Deserialize<V1Job>(text);
            // What the schema does not know is lost on the way; what it needs and lacks is refused.
            Assert.True(JsonNode.DeepEquals(JsonNode.Parse(text), JsonNode.Parse(KubernetesJson.Serialize(known))), KubernetesJson.Serialize(known));
            Assert.Equal(("batch/v1", "Job"), (known.ApiVersion, known.Kind));
            Assert.Matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", known.Metadata.Name);
            Assert.NotNull(known.Spec.Template.Spec);
            return known;
        }
    }

    [Fact]
    public async Task ScriptsAreShellThatStartsThePartsThatAreMissing()
    {
        var job = JobFolder.Create(Spec("\"resources\": {\"cpus\": 2, \"time\": \"1:00:00\", \"partition\": \"gpu\", \"options\": [\"--qos=low\"]}", "it's here/f.npy"), 5);
        job.Write([1, 2, 4]);
        string script = File.ReadAllText(job.ArrayScript);
        foreach (string line in new[] { "#SBATCH --array=1-2,4", "#SBATCH --requeue", "#SBATCH --time=1:00:00", "#SBATCH --partition=gpu", "#SBATCH --qos=low", "#SBATCH --cpus-per-task=2" })
            Assert.Contains(line + "\n", script, StringComparison.Ordinal);
        Assert.Contains(" --threads 2 --shard \"$SLURM_ARRAY_TASK_ID/5\"", script, StringComparison.Ordinal);
        foreach (string path in new[] { job.ArrayScript, job.MergeScript! })
        {
            ProcessOutcome checkedScript = await ProcessRunner.RunAsync("bash", ["-n", path]);
            Assert.True(checkedScript.ExitCode == 0, checkedScript.ToString());
        }

        // What the script runs, word by word.
        string command = script.Split('\n').Single(static line => line.StartsWith("exec ", StringComparison.Ordinal))[5..];
        ProcessOutcome words = await ProcessRunner.RunAsync("bash", ["-c", $"SLURM_ARRAY_TASK_ID=4; printf '%s\\n' {command}"]);
        Assert.Contains(_folder.File("it's here", "f.npy"), words.Output.Split('\n'));
        Assert.Contains("4/5", words.Output.Split('\n'));
    }

    [Fact]
    public void RangesAreWrittenAsSlurmReadsThem()
    {
        Assert.Equal("1-3,5,7-8", JobFolder.Ranges([1, 2, 3, 5, 7, 8]));
        Assert.Equal("9", JobFolder.Ranges([9]));
    }

    [Theory]
    [InlineData("{", "is no job")]
    [InlineData("""{"command": ["embed", "image"], "colour": 1}""", "colour")]
    [InlineData("""{"command": ["classify", "a.jpg"]}""", "embed image and audit run")]
    [InlineData("""{"command": ["embed", "image", "--shard", "1/2"]}""", "--shard")]
    [InlineData("""{"command": ["embed", "image", "--no-such-option", "--model", "m", "--out", "f.npy"]}""", "--no-such-option")]
    [InlineData("""{"command": ["audit", "run", "missing.json", "--out", "run"]}""", "missing.json")]
    [InlineData("""{"command": [], "name": "A B"}""", "name")]
    [InlineData("""{"command": [], "resources": {"memory": "16 GB"}}""", "resources.memory")]
    [InlineData("""{"command": [], "resources": {"options": ["--wrap=x; rm -rf /"]}}""", "resources.options")]
    [InlineData("""{"command": [], "kubernetes": {}}""", "kubernetes.image")]
    public void ASpecThatCannotBeIsRefusedByKey(string text, string expected)
    {
        string path = _folder.File("job.json");
        File.WriteAllText(path, text);
        Assert.Contains(expected, Assert.ThrowsAny<BadInputException>(() => JobFolder.Create(path, 2)).Message, StringComparison.Ordinal);
    }

    private string Spec(string members, string output = "f.npy")
    {
        string path = _folder.File("job.json");
        File.WriteAllText(path, $$"""{"name": "features", "command": {{JsonSerializer.Serialize(new[] { "embed", "image", Pictures, "--model", Model, "--out", _folder.File(output.Split('/')) })}}, {{members}} }""");
        return path;
    }
}
