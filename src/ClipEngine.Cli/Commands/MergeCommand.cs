using System.CommandLine;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Runs;
using ClipEngine.Cli.Arguments;
using ClipEngine.Cli.Parts;
using ClipEngine.Files;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine merge</c>: the parts that <c>--shard</c> made, put together.</summary>
internal static class MergeCommand
{
    public static Command Create()
    {
        var parts = new Argument<string[]>("part") { Description = "The parts that 'embed image --shard' made, or folders of them, in any order; or the one folder of 'audit run --shard', which is completed.", Arity = ArgumentArity.OneOrMore }.ReadsFiles();
        var output = new Option<string?>("--out") { Description = "The file of features: .npy, .parquet or .arrow (normalised), or .safetensors (both forms). Not for audits." }.WritesFile();
        var command = new Command("merge", "Put the parts of a run together, to the same bytes as the run without parts.") { parts, output };
        command.SetAction((parsed, cancellation) => Task.Run(() =>
        {
            string[] named = parsed.GetValue(parts)!;
            string? path = parsed.GetValue(output);
            if (named is [var folder] && FilePlace.IsFolder(folder) && AuditPart.AreIn(folder))
            {
                return path is null ? MergeAudit(folder, cancellation)
                    : throw new BadInputException("--out", "an audit is completed in the folder that its parts share.", "Leave --out out.");
            }

            if (path is null)
                throw new BadInputException("--out", "is missing.", "Name the file that the features are written to.");
            FeatureFile.RequireKnownExtension(path);
            IReadOnlyList<string> files = Find(named, path);
            ValueRules.RefuseAsOutput(output.Name, path, files);
            FeatureMerge merge = FeatureMerge.Open(files, cancellation);
            merge.Write(path);
            Console.Error.WriteLine($"clipengine: wrote {merge.Shape} to {path}, of {merge.Count} part{(merge.Count == 1 ? "" : "s")}");
            return CommandRunner.Done;
        }, cancellation));
        return command;
    }

    /// <summary>Runs the spec that the parts were made of; all that costs is there.</summary>
    private static int MergeAudit(string directory, CancellationToken cancellation)
    {
        AuditPart part = AuditPart.ReadAll(directory)[0];
        var run = new AuditRun(part.Spec, directory, new ClipProbeModels(part.Device), new ReportWriter(), static line => Console.Error.WriteLine(line));
        return AuditRunCommand.Report(run.ExecuteMerge(cancellation), directory);
    }

    /// <summary>Files stand for themselves, a folder for what is called a part in it; where parts of several runs lie there, for those that are called like the output.</summary>
    private static List<string> Find(IEnumerable<string> named, string output)
    {
        var files = new List<string>();
        foreach (string name in named)
        {
            if (!FilePlace.IsFolder(name))
            {
                files.Add(name);
                continue;
            }

            ILookup<string, string> runs = Directory.EnumerateFiles(name)
                .Where(static file => PartNumber.OfFile(file) is not null && file.EndsWith(FeaturePart.Extension, StringComparison.Ordinal))
                .Order(StringComparer.Ordinal)
                .ToLookup(static file => Path.GetFileName(file)[..Path.GetFileName(file).LastIndexOf(".part-", StringComparison.Ordinal)]);
            string wanted = Path.GetFileNameWithoutExtension(output);
            if (runs.Count == 0)
                throw new BadInputException(name, "the folder holds no parts (NAME.part-00001-of-00010.safetensors).", "Name the folder that --out of 'embed image --shard' lies in.");
            if (runs.Count > 1 && !runs.Contains(wanted))
            {
                throw new BadInputException(name, $"the folder holds parts of {runs.Count} runs ({string.Join(", ", runs.Take(5).Select(static run => BadInputException.Escape(run.Key, 60)))}), none of them called '{BadInputException.Escape(wanted, 60)}' like --out.",
                    "Name --out as it was named to 'embed image --shard', or name the parts themselves.");
            }

            files.AddRange(runs.Count == 1 ? runs.First() : runs[wanted]);
        }

        return files;
    }
}
