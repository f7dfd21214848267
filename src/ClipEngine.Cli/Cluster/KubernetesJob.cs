using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace ClipEngine.Cli.Cluster;

/// <summary>
/// Manifests for Kubernetes: an indexed Job with a completion for each part, and the Job that merges them. Format:
/// <see href="https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/"/>.
/// </summary>
internal static class KubernetesJob
{
    /// <summary>How often a part is tried again.</summary>
    private const int Retries = 5;

    /// <summary>The indexed Job.</summary>
    /// <param name="stream">Takes JSON.</param>
    /// <param name="spec">The job.</param>
    /// <param name="options">Where it runs.</param>
    /// <param name="parts">How many parts.</param>
    /// <param name="command">What a task runs; <c>JOB_COMPLETION_INDEX</c> counts from 0.</param>
    public static void WriteArray(Stream stream, JobSpec spec, KubernetesOptions options, int parts, string command) => Write(stream, spec, options, spec.Name, command, withGpus: true, json =>
    {
        json.WriteNumber("completions", parts);
        json.WriteNumber("parallelism", Math.Min(options.Parallelism ?? parts, parts));
        json.WriteString("completionMode", "Indexed");
        json.WriteNumber("backoffLimitPerIndex", Retries);
    });

    /// <summary>The Job that comes behind it; Kubernetes knows no order between Jobs, so it is applied when the first one is complete.</summary>
    public static void WriteMerge(Stream stream, JobSpec spec, KubernetesOptions options, string command) =>
        Write(stream, spec, options, spec.Name + "-merge", command, withGpus: false, static json => json.WriteNumber("backoffLimit", Retries));

    private static void Write(Stream stream, JobSpec spec, KubernetesOptions options, string name, string command, bool withGpus, Action<Utf8JsonWriter> writeSpec)
    {
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("apiVersion", "batch/v1");
            json.WriteString("kind", "Job");
            json.WriteStartObject("metadata");
            json.WriteString("name", name);
            json.WriteEndObject();
            json.WriteStartObject("spec");
            writeSpec(json);
            WriteFailurePolicy(json);
            json.WriteStartObject("template");
            json.WriteStartObject("spec");
            json.WriteString("restartPolicy", "Never"); // what retries by index and failure policies ask for
            json.WriteStartArray("containers");
            json.WriteStartObject();
            json.WriteString("name", "clipengine");
            json.WriteString("image", options.Image);
            json.WriteString("workingDir", options.Mount);
            json.WriteStartArray("command");
            foreach (string word in new[] { "/bin/sh", "-c", "exec " + command })
                json.WriteStringValue(word);
            json.WriteEndArray();
            WriteResources(json, spec.Resources, withGpus);
            if (options.Claim is not null)
            {
                json.WriteStartArray("volumeMounts");
                json.WriteStartObject();
                json.WriteString("name", "data");
                json.WriteString("mountPath", options.Mount);
                json.WriteEndObject();
                json.WriteEndArray();
            }

            json.WriteEndObject();
            json.WriteEndArray();
            if (options.Claim is { } claim)
            {
                json.WriteStartArray("volumes");
                json.WriteStartObject();
                json.WriteString("name", "data");
                json.WriteStartObject("persistentVolumeClaim");
                json.WriteString("claimName", claim);
                json.WriteEndObject();
                json.WriteEndObject();
                json.WriteEndArray();
            }

            json.WriteEndObject();
            json.WriteEndObject();
            json.WriteEndObject();
            json.WriteEndObject();
        }

        stream.WriteByte((byte)'\n');
    }

    /// <summary>Wrong usage and bad input do not get better by trying again.</summary>
    private static void WriteFailurePolicy(Utf8JsonWriter json)
    {
        json.WriteStartObject("podFailurePolicy");
        json.WriteStartArray("rules");
        json.WriteStartObject();
        json.WriteString("action", "FailJob");
        json.WriteStartObject("onExitCodes");
        json.WriteString("operator", "In");
        json.WriteStartArray("values");
        json.WriteNumberValue(CommandRunner.BadInput);
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteResources(Utf8JsonWriter json, JobResources resources, bool withGpus)
    {
        // 16G of Slurm are powers of two: 16Gi.
        string? memory = resources.Memory is { } text ? text + "i" : null;
        json.WriteStartObject("resources");
        json.WriteStartObject("requests");
        json.WriteString("cpu", resources.Cpus.ToString(CultureInfo.InvariantCulture));
        if (memory is not null)
            json.WriteString("memory", memory);
        json.WriteEndObject();
        json.WriteStartObject("limits");
        if (memory is not null)
            json.WriteString("memory", memory);
        if (withGpus && resources.Gpus > 0)
            json.WriteString("nvidia.com/gpu", resources.Gpus.ToString(CultureInfo.InvariantCulture));
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
