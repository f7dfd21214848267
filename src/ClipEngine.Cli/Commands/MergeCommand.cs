using System.CommandLine;
using ClipEngine.Cli.Arguments;
using ClipEngine.Cli.Parts;
using ClipEngine.Files;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine merge</c>: the parts that <c>--shard</c> made, put together.</summary>
internal static class MergeCommand
{
    public static Command Create()
    {
        var parts = new Argument<string[]>("part") { Description = "The parts that 'embed image --shard' made, or folders of them, in any order.", Arity = ArgumentArity.OneOrMore }.ReadsFiles();
        var output = new Option<string>("--out") { Description = "The file of features: .npy or .parquet (normalised), or .safetensors (both forms).", Required = true }.WritesFile();
        var command = new Command("merge", "Put the parts of a run together, to the same bytes as the run without parts.") { parts, output };
        command.SetAction((parsed, cancellation) => Task.Run(() =>
        {
            string path = parsed.GetValue(output)!;
            FeatureFile.RequireKnownExtension(path);
            IReadOnlyList<string> files = Find(parsed.GetValue(parts)!);
            ValueRules.RefuseAsOutput(output.Name, path, files);
            FeatureMerge merge = FeatureMerge.Open(files, cancellation);
            merge.Write(path);
            Console.Error.WriteLine($"clipengine: wrote {merge.Shape} to {path}, of {merge.Count} part{(merge.Count == 1 ? "" : "s")}");
            return CommandRunner.Done;
        }, cancellation));
        return command;
    }

    /// <summary>Files stand for themselves, a folder for what is called a part in it.</summary>
    private static List<string> Find(IEnumerable<string> named)
    {
        var files = new List<string>();
        foreach (string name in named)
        {
            if (!FilePlace.IsFolder(name))
            {
                files.Add(name);
                continue;
            }

            int before = files.Count;
            files.AddRange(Directory.EnumerateFiles(name).Where(static file => PartNumber.OfFile(file) is not null && file.EndsWith(FeaturePart.Extension, StringComparison.Ordinal)).Order(StringComparer.Ordinal));
            if (files.Count == before)
                throw new BadInputException(name, "the folder holds no parts (NAME.part-00001-of-00010.safetensors).", "Name the folder that --out of 'embed image --shard' lies in.");
        }

        return files;
    }
}
