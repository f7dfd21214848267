using System.CommandLine;
using System.Text.RegularExpressions;
using ClipEngine.Cli.Tests.Arguments;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests;

/// <summary>
/// README and docs: their links lead somewhere, their command lines are understood by the command line's definition, every verb and option is
/// on a page, and commands that need neither network nor libtorch are run: those of docs/getting-started.md with the files that the page shows.
/// </summary>
public sealed partial class DocumentTests
{
    private static readonly string s_root = TestData.RepositoryRoot;
    private static readonly string s_program = Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll");

    /// <summary>All pages, by their paths below the repository.</summary>
    private static string[] Pages { get; } =
        [.. new[] { "README.md", "CHANGELOG.md", "samples/README.md" }
            .Concat(Directory.GetFiles(Path.Combine(s_root, "docs"), "*.md", SearchOption.AllDirectories).Select(static file => Path.GetRelativePath(s_root, file)))
            .Order(StringComparer.Ordinal)];

    [Fact]
    public void ReadmeHas120LinesAtMost() => Assert.InRange(File.ReadLines(Path.Combine(s_root, "README.md")).Count(), 1, 120);

    [Fact]
    public void TheIndexNamesEveryPage()
    {
        string index = Text("docs/README.md");
        Assert.All(Directory.GetFiles(Path.Combine(s_root, "docs"), "*.md"), page =>
            Assert.True(Path.GetFileName(page) == "README.md" || index.Contains($"]({Path.GetFileName(page)})", StringComparison.Ordinal), $"docs/README.md does not name {Path.GetFileName(page)}"));
    }

    [Fact]
    public void LinksLeadSomewhere()
    {
        var broken = new List<string>();
        foreach (string page in Pages)
        {
            foreach (string target in Link().Matches(Text(page)).Select(static match => match.Groups["text"].Value).Where(static target => !target.Contains("://", StringComparison.Ordinal)))
            {
                string[] parts = target.Split('#', 2);
                string file = parts[0].Length == 0 ? page : Path.GetRelativePath(s_root, Path.GetFullPath(Path.Combine(s_root, Path.GetDirectoryName(page)!, parts[0])));
                bool isThere = Path.Exists(Path.Combine(s_root, file));
                if (!isThere || (parts.Length == 2 && !Anchors(file).Contains(parts[1])))
                    broken.Add($"{page}: {target}");
            }
        }

        Assert.Empty(broken);
    }

    [Fact]
    public void CommandLinesAreUnderstood()
    {
        var lines = Pages.SelectMany(static page => CommandLines(page).Select(line => (page, line))).ToList();
        Assert.True(lines.Count > 20, "command lines were not found in the pages");
        var problems = new List<string>();
        foreach ((string page, string line) in lines)
        {
            string[] words = Words(line);
            if (words is ["VERB", "--help"]) // any verb
                continue;
            ParseResult result = Program.Definition().Parse(words);
            bool isSynopsis = line.Contains('[', StringComparison.Ordinal) || line.Contains('|', StringComparison.Ordinal);
            HashSet<string> options = [.. Options(result.CommandResult.Command)];
            problems.AddRange(words.Where(static word => word.StartsWith("--", StringComparison.Ordinal)).Select(static word => word.Split('=')[0])
                .Where(word => !options.Contains(word)).Select(word => $"{page}: {line}: {word} is no option"));
            if (!isSynopsis)
                problems.AddRange(result.Errors.Select(error => $"{page}: {line}: {error.Message}"));
        }

        // Inline mentions name a verb and its options, not always all that it needs.
        foreach ((string page, string line) in Pages.SelectMany(static page => Mention().Matches(Text(page)).Select(match => (page, match.Groups["text"].Value))))
        {
            string[] words = Words(line);
            Command command = Program.Definition().Parse(words).CommandResult.Command;
            if (words[0] != "VERB" && (command.Name == "clipengine" && !words[0].StartsWith('-') || words.Any(word => word.StartsWith("--", StringComparison.Ordinal) && !Options(command).Contains(word))))
                problems.Add($"{page}: `clipengine {line}` names no verb or option");
        }

        Assert.Empty(problems);
    }

    [Fact]
    public void EveryVerbAndOptionIsOnAPage()
    {
        string pages = string.Concat(Pages.Where(static page => page != "CHANGELOG.md").Select(Text));
        string[] verbs = Table(Text("README.md"));
        Assert.All(VerbLines.Verbs(), verb => Assert.True(verb.Name.Split(' ').All(verbs.Contains), $"README's table lacks {verb.Name}"));
        Assert.All(VerbLines.Verbs().SelectMany(static verb => Options(verb.Command).Select(option => (verb.Name, option))), pair =>
            Assert.True(Regex.IsMatch(pages, Regex.Escape(pair.option) + @"(?![\w-])", RegexOptions.None, TimeSpan.FromSeconds(10)), $"no page mentions {pair.option} of {pair.Name}"));
    }

    [Fact]
    public async Task GettingStartedWorksAsItIsWritten()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateSymbolicLink(folder.File("src"), Path.Combine(s_root, "src"));
        string page = Text("docs/getting-started.md");
        await File.WriteAllTextAsync(folder.File("people.csv"), Fence(page, "csv"));
        await File.WriteAllTextAsync(folder.File("spec.json"), Fence(page, "json"));
        var outputs = new List<string>();
        foreach (string line in CommandLines("docs/getting-started.md").Where(static line => !line.Contains("ViT-B-32/", StringComparison.Ordinal))) // weights to download
        {
            ProcessOutcome outcome = await ProcessRunner.RunAsync("dotnet", [s_program, .. Words(line)], folder.Root);
            Assert.True(outcome.ExitCode == 0, $"{line}\n{outcome}");
            outputs.Add(outcome.Output);
        }

        Assert.Contains(outputs, static output => output.Contains("\tdrum ", StringComparison.Ordinal)); // the tiles of scene 6
        Assert.All(["demo/report.html", "images.npy", "texts.npy", "scores.npy", "my-audit/report.html", "my-audit/results.sqlite"], file => Assert.True(File.Exists(folder.File(file)), file));
    }

    /// <summary>The commands of docs/bias.md, with small tables under the names that the page uses; the two models stand for BEFORE and AFTER.</summary>
    [Fact]
    public async Task TheCommandsOfTheBiasPageWork()
    {
        using var folder = new TemporaryFolder();
        string[] pictures = [.. Directory.GetFiles(TestData.DemoPath("probe", "images")).Order(StringComparer.Ordinal).Take(24).Select(static file => Path.GetFileName(file))];
        string[] classes = ["anchor", "drum"];
        void Write(string name, IEnumerable<string> lines) => File.WriteAllLines(folder.File(name), lines);
        Directory.CreateSymbolicLink(folder.File("images"), TestData.DemoPath("probe", "images"));
        Write("pictures.txt", pictures.Select(static name => $"images/{name}"));
        Write("sentences.txt", pictures.Select((_, i) => $"a photo of a {classes[i % 2]}"));
        Write("table.csv", Enumerable.Range(0, 60).Select(static i => $"{i % 2},{i / 2 % 2},{(i % 5 == 0 ? 1 : 0)},{(i % 7 == 0 ? 1 : 0)}").Prepend("woman,dark,nurse,boss"));
        Write("m.csv", pictures.Select((name, i) => $"{name},{(i % 3 == 0 ? "woman" : "man")},{classes[i / 2 % 2]}").Prepend("id,gender,label"));
        Write("prompts.csv", pictures.Select((_, i) => classes[i % 2]).Prepend("class"));
        Write("captions.csv", pictures.Prepend("image"));
        Write("images.csv", pictures.Select(static (name, i) => $"{name},{i},{new[] { "men", "women", "surfboard", "car" }[i % 4]}").Prepend("file,person,set"));
        await File.WriteAllTextAsync(folder.File("drift.json"), Fence(Text("docs/bias.md"), "json"));

        string[] lines =
        [
            $"embed image --model {TestData.DemoPath("models", "large")} --file pictures.txt --out i.npy",
            $"embed text --model {TestData.DemoPath("models", "large")} --file sentences.txt --out t.npy",
            .. CommandLines("docs/bias.md").Select(static line => line
                .Replace("BEFORE", TestData.DemoPath("models", "small"), StringComparison.Ordinal).Replace("AFTER", TestData.DemoPath("models", "large"), StringComparison.Ordinal)),
        ];
        foreach (string line in lines)
        {
            ProcessOutcome outcome = await ProcessRunner.RunAsync("dotnet", [s_program, .. Words(line)], folder.Root);
            Assert.True(outcome.ExitCode == 0, $"{line}\n{outcome}");
        }

        Assert.All(["balanced", "drift", "accuracy", "retrieval", "curation"], run => Assert.True(File.Exists(folder.File(run, "report.html")), run));
    }

    /// <summary>The commands of docs/bias-examples.md that need no libtorch, with what the page says of their numbers.</summary>
    [Fact]
    public async Task TheExamplesOfBiasWorkAsTheyAreWritten()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateSymbolicLink(folder.File("src"), Path.Combine(s_root, "src"));
        await File.WriteAllTextAsync(folder.File("people.csv"), Fence(Text("docs/bias-examples.md"), "csv"));
        await File.WriteAllLinesAsync(folder.File("drum.txt"), Enumerable.Repeat("a photo of a drum", 288));
        var said = new List<string>();
        foreach (string line in CommandLines("docs/bias-examples.md").Where(static line => !line.Contains("tuning/", StringComparison.Ordinal))) // trained by TorchSharp
        {
            ProcessOutcome outcome = await ProcessRunner.RunAsync("dotnet", [s_program, .. Words(line)], folder.Root);
            Assert.True(outcome.ExitCode == 0, $"{line}\n{outcome}");
            said.Add(outcome.Error);
        }

        Assert.Contains("cannot be met", said[0], StringComparison.Ordinal);
        Assert.Contains("association bias 0.4167 to 0.0493", said[1], StringComparison.Ordinal);
        Assert.Equal(21, File.ReadAllLines(folder.File("people-balanced", "train.csv")).Length);
        Assert.Contains(said, static text => text.Contains("at 0.28: solid triangle 3", StringComparison.Ordinal));
    }

    [Fact]
    public async Task TheCatalogueCommandsWorkOffline()
    {
        using var folder = new TemporaryFolder();
        var nothingHere = new Dictionary<string, string?> { ["HF_HOME"] = folder.File("hub"), ["HF_HUB_CACHE"] = null, ["HUGGINGFACE_HUB_CACHE"] = null, ["CLIPENGINE_RELEASE_CACHE"] = folder.File("releases"), ["HF_HUB_OFFLINE"] = "1" };
        string[] lines = [.. CommandLines("docs/models.md").Where(static line => !line.StartsWith("models pull", StringComparison.Ordinal))]; // needs the network
        Assert.True(lines.Length >= 4);
        foreach (string line in lines)
        {
            ProcessOutcome outcome = await ProcessRunner.RunAsync("dotnet", [s_program, .. Words(line)], folder.Root, nothingHere);
            Assert.True(outcome.ExitCode == 0, $"{line}\n{outcome}");
        }
    }

    private static string Text(string page) => File.ReadAllText(Path.Combine(s_root, page));

    /// <summary>What comes behind <c>clipengine</c> in the lines of a page that begin with it, comments left out.</summary>
    private static IEnumerable<string> CommandLines(string page) => Line().Matches(Text(page)).Select(static match => Comment().Replace(match.Groups["text"].Value, "").Trim());

    /// <summary>The words of a line as a shell splits them; double quotes are all that the pages use.</summary>
    private static string[] Words(string line) => [.. Word().Matches(line).Select(static match => match.Value.Replace("\"", "", StringComparison.Ordinal))];

    private static IEnumerable<string> Options(Command command)
    {
        IEnumerable<Option> above = command.Parents.OfType<Command>().SelectMany(static parent => parent.Options.Where(static option => option.Recursive));
        return command.Options.Concat(above).SelectMany(static option => option.Aliases.Append(option.Name)).Where(static name => name.StartsWith("--", StringComparison.Ordinal)).Append("--help").Append("--version");
    }

    /// <summary>The words in code of the first column of README's table of verbs.</summary>
    private static string[] Table(string readme) =>
        [.. readme.Split('\n').Where(static line => line.StartsWith("| `", StringComparison.Ordinal))
            .SelectMany(static line => Code().Matches(line.Split('|')[1]).SelectMany(static match => match.Groups["text"].Value.Split(' ')))];

    private static string Fence(string page, string language) =>
        Regex.Match(page, $"```{language}\n(?<text>.*?)```", RegexOptions.Singleline, TimeSpan.FromSeconds(10)) is { Success: true } match ? match.Groups["text"].Value : throw new InvalidOperationException($"no block of {language}");

    /// <summary>The anchors of a page's headings, as GitHub makes them.</summary>
    private static HashSet<string> Anchors(string page) =>
        [.. Text(page).Split('\n').Where(static line => line.StartsWith('#'))
            .Select(static line => NoAnchor().Replace(line.TrimStart('#').Trim().ToLowerInvariant(), "").Replace(' ', '-'))];

    [GeneratedRegex(@"\]\((?<text>[^)\s]+)\)", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Link();

    [GeneratedRegex(@"^ *(?:\./)?clipengine +(?<text>\S.*)$", RegexOptions.Multiline | RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Line();

    [GeneratedRegex(@"`(?:\./)?clipengine (?<text>[^`\n]+)`", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Mention();

    // Comments, and where the shell sends the output.
    [GeneratedRegex(@"\s+(> \S+\s*)?# .*$|\s+> \S+$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Comment();

    [GeneratedRegex(@"(?:[^\s""]|""[^""]*"")+", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Word();

    [GeneratedRegex("`(?<text>[^`]+)`", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Code();

    [GeneratedRegex(@"[^\w\- ]", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex NoAnchor();
}
