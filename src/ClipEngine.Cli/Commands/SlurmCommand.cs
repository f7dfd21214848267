using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using ClipEngine.Cli.Arguments;
using ClipEngine.Cli.Cluster;
using ClipEngine.Files;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine slurm</c>: a verb in parts on a cluster that Slurm runs, and how far it is.</summary>
internal static class SlurmCommand
{
    public static Command Create()
    {
        Argument<string?> spec = new Argument<string?>("SPEC.json") { Description = "The job: the command and what each task needs; docs/scale.md.", Arity = ArgumentArity.ZeroOrOne }.ReadsFile();
        Option<int?> array = new Option<int?>("--array") { Description = "How many parts, each a task of an array job." }.Between(1, PartNumber.MostParts);
        var submit = new Option<bool>("--submit") { Description = "Hand the job to Slurm (sbatch) and the merge behind it." };
        var command = new Command("slurm", "Write an array job for Slurm that makes a verb's parts, and the job that merges them.") { spec, array, submit };
        command.Subcommands.Add(CreateStatus());
        command.SetAction((parsed, cancellation) => Task.Run(() =>
        {
            string path = parsed.GetValue(spec) ?? throw new BadInputException("SPEC.json", "is missing.", "Name the job's file.");
            int parts = parsed.GetValue(array) ?? throw new BadInputException("--array", "is missing.", "Say into how many parts the work is divided.");
            return Write(path, parts, parsed.GetValue(submit), cancellation);
        }, cancellation));
        return command;
    }

    private static Command CreateStatus()
    {
        Argument<string> spec = new Argument<string>("SPEC.json") { Description = "The job." }.ReadsFile();
        var json = new Option<bool>("--json") { Description = "Say it as JSON on standard output." };
        var command = new Command("status", "How far a job is, read from its parts.") { spec, json };
        command.SetAction((parsed, cancellation) => Task.Run(() => Status(parsed.GetValue(spec)!, parsed.GetValue(json), cancellation), cancellation));
        return command;
    }

    private static int Write(string path, int parts, bool submits, CancellationToken cancellation)
    {
        var job = JobFolder.Create(path, parts);
        List<int> missing = job.Missing();
        job.Write(missing.Count > 0 ? missing : [.. Enumerable.Range(1, parts)]);
        Console.Error.WriteLine($"clipengine: {missing.Count} of {parts} parts are to be made; the scripts are in {job.Folder}");
        if (!submits)
            return CommandRunner.Done;
        string? first = missing.Count > 0 ? Submit(job.ArrayScript, [], cancellation) : null;
        if (first is not null)
            Console.Error.WriteLine($"clipengine: submitted job {first}: parts {JobFolder.Ranges(missing)}");
        if (job.MergeScript is { } merge)
            Console.Error.WriteLine($"clipengine: submitted job {Submit(merge, first is null ? [] : [$"--dependency=afterok:{first}", "--kill-on-invalid-dep=yes"], cancellation)}: the merge");
        return CommandRunner.Done;
    }

    /// <summary>Hands a script to Slurm.</summary>
    /// <returns>The job's number.</returns>
    private static string Submit(string script, string[] options, CancellationToken cancellation)
    {
        var start = new ProcessStartInfo("sbatch", ["--parsable", .. options, script]) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        try
        {
            using Process process = Process.Start(start)!;
            using CancellationTokenRegistration kill = cancellation.Register(process.Kill);
            Task<string> errors = process.StandardError.ReadToEndAsync(cancellation);
            string output = process.StandardOutput.ReadToEnd().Trim();
            process.WaitForExit();
            if (process.ExitCode != 0)
                throw new BadInputException(script, $"sbatch refused it: {BadInputException.Escape(errors.GetAwaiter().GetResult().Trim(), 500)}", "The script is written; mend the spec, or submit it by hand.");
            return output.Split(';')[0];
        }
        catch (System.ComponentModel.Win32Exception exception)
        {
            throw new BadInputException("--submit", "there is no sbatch here.", $"Run it on a machine of the cluster, or submit {script} there.", exception);
        }
    }

    private static int Status(string path, bool isJson, CancellationToken cancellation)
    {
        var job = JobFolder.Open(path);
        List<int> missing = job.Missing();
        long? images = 0;
        HashSet<int> gone = [.. missing];
        foreach (int index in Enumerable.Range(1, job.PartCount).Where(index => !gone.Contains(index)))
        {
            cancellation.ThrowIfCancellationRequested();
            images += job.ImagesOf(new PartNumber(index, job.PartCount));
        }

        int done = job.PartCount - missing.Count;
        if (!isJson)
        {
            Console.Out.WriteLine($"{done} of {job.PartCount} parts{(images is { } count and > 0 ? $", {count} images" : "")}"
                + (missing.Count == 0 ? "" : $"; missing: {JobFolder.Ranges(missing)}")
                + job.IsMerged switch { true => "; merged", false => "; not merged", null => "" });
            return CommandRunner.Done;
        }

        using Stream output = Console.OpenStandardOutput();
        using (var writer = new Utf8JsonWriter(output))
        {
            writer.WriteStartObject();
            writer.WriteNumber("parts", job.PartCount);
            writer.WriteNumber("done", done);
            writer.WriteStartArray("missing");
            foreach (int index in missing)
                writer.WriteNumberValue(index);
            writer.WriteEndArray();
            if (images is { } count)
                writer.WriteNumber("images", count);
            if (job.IsMerged is { } merged)
                writer.WriteBoolean("merged", merged);
            writer.WriteEndObject();
        }

        output.WriteByte((byte)'\n');
        return CommandRunner.Done;
    }
}
