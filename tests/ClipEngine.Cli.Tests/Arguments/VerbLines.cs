using System.CommandLine;
using System.CommandLine.Help;
using ClipEngine.Cli.Arguments;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Arguments;

/// <summary>
/// A command line that works for every verb, in the words <c>name=value</c>, from which tests make others. A verb that has none here fails
/// <see cref="EveryOptionTests"/>: add a line.
/// </summary>
internal static class VerbLines
{
    private static readonly Dictionary<string, string> s_lines = new()
    {
        ["demo"] = "--out={new}/demo",
        ["models list"] = "",
        ["models show"] = "name=ViT-B-32",
        ["models pull"] = "name=ViT-B-32/laion2b_s34b_b79k",
        ["models verify"] = "",
        ["devices"] = "",
        ["inspect"] = "path={model}",
        ["tokenize"] = "text=word",
        ["preprocess"] = "image={picture} --size=32 --out={new}/crops",
        ["embed image"] = "image={picture} --model={model} --out={new}/f.npy",
        ["merge"] = "part={part} --out={new}/f.npy",
        ["embed text"] = "text=word --model={model} --out={new}/f.npy",
        ["embed raw"] = "--input={raw} --model={model} --out={new}/f.safetensors",
        ["classify"] = "image={picture} --model={model} --labels=cat,dog",
        ["score"] = "--images={images} --texts={texts} --out={new}/s.npy",
        ["audit run"] = "SPEC.json={spec} --out={new}/run",
        ["audit scores"] = "--softmax={softmax} --metadata={table} --group=group --labels=cat,dog --merge=any=cat,dog --group-name=x=X --weighting=person --resamples=99 --out={new}/scores",
        ["audit report"] = "DIR={audit}",
        ["audit verify"] = "DIR={audit} EXPECTED.json={published}",
        ["audit compare"] = "FIRST={audit} SECOND={audit}",
        ["audit frequencies"] = "TABLE.csv={frequencies}",
        ["audit spec"] = "",
        ["audit check"] = "DIR={audit} --bound=rate:cat<=1",
        ["audit export"] = "DIR={audit} --out={new}/long.csv",
        ["audit accuracy"] = "--images={images} --texts={texts} --metadata={three} --group=group --classes={classes} --truth=class --out={new}/accuracy",
        ["audit retrieval"] = "--images={images} --texts={texts} --metadata={three} --group=group --captions={captions} --out={new}/retrieval",
        ["audit curation"] = "--images={images} --texts={images} --metadata={three} --group=group --out={new}/curation",
        ["caption"] = "image={picture} --model={captioner}",
        ["caption raw"] = "--input={patches} --model={captioner} --out={new}/captions.safetensors",
        ["convert"] = "in={model} --to=openclip --out={new}/converted",
        ["slurm"] = "SPEC.json={job} --array=2",
        ["slurm status"] = "SPEC.json={job}",
        ["bench"] = "",
        ["serve"] = "--model={model}",
        ["balance"] = "TABLE={attributes} --sensitive=s --labels=l --target=0.5 --out={new}/balance",
        ["drift"] = "BEFORE={images} AFTER={images} --probe={spec} --out={new}/drift",
    };

    // In place of a server: without one this process would become it.
    static VerbLines() => ServeCommand.Host = static (_, _) => Task.CompletedTask;

    /// <summary>Verbs that take long, or need the network or what came from it: only what is refused at once is tried.</summary>
    public static IReadOnlySet<string> Slow { get; } = new HashSet<string> { "demo", "models pull", "models verify", "bench", "audit run", "serve", "drift" };

    /// <summary>Every verb of the definition, by the words that call it.</summary>
    public static IEnumerable<(string Name, Command Command)> Verbs()
    {
        static IEnumerable<(string, Command)> Below(string name, Command command) =>
            (command.Subcommands.Count == 0 || command.Action is not null ? new[] { (name, command) } : []).Concat(command.Subcommands.SelectMany(verb => Below($"{name} {verb.Name}".Trim(), verb)));
        return Below("", Program.Definition());
    }

    /// <summary>Every option and argument of a verb, those of the verbs above it that hold for it too.</summary>
    public static IEnumerable<Symbol> Symbols(Command command)
    {
        IEnumerable<Option> above = command.Parents.OfType<Command>().SelectMany(static parent => parent.Options.Where(static option => option.Recursive));
        return command.Options.Concat(above).Where(static option => option is not (HelpOption or VersionOption)).Cast<Symbol>().Concat(command.Arguments);
    }

    /// <summary>The line of a verb, or null where somebody forgot it.</summary>
    public static string? Line(string verb) => s_lines.GetValueOrDefault(verb);

    /// <summary>The words of a verb's line, with one option or argument given another value, or left as it is.</summary>
    public static string[] Words(Files files, string verb, Symbol? changed = null, string? value = null)
    {
        var words = new List<string>(verb.Split(' '));
        var options = new List<string>();
        bool isPut = changed is null;
        foreach (string pair in Line(verb)!.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            string name = pair[..pair.IndexOf('=', StringComparison.Ordinal)];
            string given = files.Fill(pair[(name.Length + 1)..]);
            if (name == changed?.Name)
            {
                given = value!;
                isPut = true;
            }

            if (name.StartsWith('-'))
                options.AddRange([name, given]);
            else
                words.Add(given);
        }

        if (!isPut && changed is Argument)
            words.Add(value!);
        else if (!isPut && ValueRules.Of(changed!).Words is ["true", "false"])
            options.Add($"{changed!.Name}={value}");
        else if (!isPut)
            options.AddRange([changed!.Name, value!]);
        return [.. words, .. options];
    }

    /// <summary>What the lines name.</summary>
    internal sealed class Files : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private readonly Dictionary<string, string> _names = [];

        public Files()
        {
            Name("new", "new");
            Directory.CreateDirectory(_folder.File("new"));
            Directory.CreateDirectory(Name("model", "model"));
            foreach (string file in Directory.EnumerateFiles(Path.Combine(DemoCommand.Data, "models", "small")))
                File.Copy(file, Path.Combine(_names["{model}"], Path.GetFileName(file)));
            File.Copy(Directory.EnumerateFiles(Path.Combine(DemoCommand.Data, "probe", "images"), "*.png").Order().First(), Name("picture", "picture.png"));
            var raw = new Checkpoints.SafetensorsWriter();
            raw.Add("pixels", new float[3 * 32 * 32], 1, 3, 32, 32);
            raw.Write(Name("raw", "raw.safetensors"));
            ClipEngine.Files.NpyFile.Write<float>(Name("images", "images.npy"), [1, 0, 0, 1, 0.6f, 0.8f], 3, 2);
            ClipEngine.Files.NpyFile.Write<float>(Name("texts", "texts.npy"), [1, 0, 0, 1], 2, 2);
            ClipEngine.Files.NpyFile.Write<float>(Name("softmax", "softmax.npy"), [0.25f, 0.75f, 0.5f, 0.5f, 1, 0, 0.75f, 0.25f], 4, 2);
            File.WriteAllText(Name("table", "table.csv"), "id,group\na,x\nb,y\nc,x\nd,y\n");
            File.WriteAllText(Name("spec", "spec.json"), """
                {"title": "T", "probe": {"metadata": "table.csv", "group": ["group"]}, "intervals": {"resamples": 99},
                 "models": [{"key": "m", "scores": {"e": {"softmax": "softmax.npy"}}}],
                 "experiments": [{"key": "e", "title": "E", "template": "{label}", "labels": [{"text": "cat"}, {"text": "dog"}]}]}
                """);
            File.WriteAllText(Name("published", "published.json"), """{"group_counts": {"x": 2, "y": 2}}""");
            File.WriteAllText(Name("frequencies", "frequencies.csv"), "model_name,dataset_name,cat,dog\nm,d,25,75\n");
            File.WriteAllText(Name("three", "three.csv"), "id,group,class\na,x,cat\nb,y,dog\nc,x,cat\n");
            File.WriteAllText(Name("classes", "classes.csv"), "class\ncat\ndog\n");
            File.WriteAllText(Name("captions", "captions.csv"), "image\na\nb\n");
            Directory.CreateDirectory(Name("captioner", "captioner"));
            foreach (string file in Directory.EnumerateFiles(TestData.Path("blip", "transformers-caption-tiny")).Where(static file => !Path.GetFileName(file).StartsWith("golden", StringComparison.Ordinal)))
                File.Copy(file, Path.Combine(_names["{captioner}"], Path.GetFileName(file)));
            File.Copy(TestData.Path("blip", "transformers-caption-tiny", "golden.safetensors"), Name("patches", "patches.safetensors"));
            File.WriteAllText(Name("attributes", "attributes.csv"), "s,l\n1,1\n1,0\n0,1\n0,0\n1,1\n0,0\n1,0\n0,1\n");
            Parts.FeaturePart.Write(Name("part", "f.part-00001-of-00001.safetensors"), new ClipEngine.Files.PartNumber(1, 1), new Parts.PartRun([]), "", new Tensors.Shape(1, 2), ["a.png"], "", null, static rows => rows(0, [0.6f, 0.8f]));
            File.WriteAllText(Name("job", "job.json"), $$"""{"command": ["embed", "image", "--model", "{{_names["{model}"]}}", "{{_names["{picture}"]}}", "--out", "f.npy"]}""");
            ClipEngine.Cli.Cluster.JobFolder.Create(_names["{job}"], 2).Write([1, 2]);
            Name("audit", "audit");
        }

        /// <summary>A name that nothing has, a folder, a pipe without a writer.</summary>
        public string Missing => _folder.File("missing");

        public string Folder => Directory.CreateDirectory(_folder.File("empty")).FullName;

        public string Pipe => _folder.File("pipe");

        public string New => _names["{new}"];

        /// <summary>Files that the lines read.</summary>
        public IEnumerable<string> Inputs => _names.Values.Where(path => path != New && !path.StartsWith(_names["{audit}"], StringComparison.Ordinal));

        public string Fill(string text) => _names.Aggregate(text, static (filled, name) => filled.Replace(name.Key, name.Value));

        /// <summary>Makes what takes a verb to make: the folder of an audit, the pipe.</summary>
        public async Task PrepareAsync()
        {
            ProcessOutcome pipe = await ProcessRunner.RunAsync("mkfifo", [Pipe]);
            Assert.True(pipe.ExitCode == 0, pipe.ToString());
            ProcessOutcome audit = await CommandLine.RunAsync("audit", "run", _names["{spec}"], "--out", _names["{audit}"]);
            Assert.True(audit.ExitCode == 0, audit.ToString());
        }

        public void Dispose() => _folder.Dispose();

        private string Name(string name, string file) => _names[$"{{{name}}}"] = _folder.File(file);
    }
}
