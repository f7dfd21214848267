using System.Diagnostics;
using System.Text.Json;
using ClipEngine.Cli.Commands;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Commands;

/// <summary>What every verb owes its callers: exit codes, messages that name the culprit, JSON that parses, whole files or none.</summary>
public sealed class VerbTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<string, string> _names;

    public VerbTests()
    {
        string picture = Directory.EnumerateFiles(Path.Combine(DemoCommand.Data, "probe", "images"), "*.png").Order().First();
        _names = new Dictionary<string, string>
        {
            ["{model}"] = Path.Combine(DemoCommand.Data, "models", "small"),
            ["{picture}"] = picture,
            ["{out}"] = _folder.File("out.npy"),
            ["{outdir}"] = _folder.File("outdir"),
            ["{missing}"] = _folder.File("missing.png"),
            ["{empty}"] = _folder.File("empty.png"),
            ["{page}"] = _folder.File("page.png"),
            ["{cut}"] = _folder.File("cut.png"),
            ["{folder}"] = _folder.File("folder"),
            ["{noweights}"] = _folder.File("noweights"),
            ["{badweights}"] = _folder.File("badweights"),
            ["{csv}"] = _folder.File("table.csv"),
            ["{npy}"] = _folder.File("scores.npy"),
            ["{table}"] = _folder.File("numbers.csv"),
            ["{features}"] = _folder.File("features.npy"),
            ["{none}"] = _folder.File("none"),
            ["{header}"] = _folder.File("header.csv"),
            ["{array}"] = _folder.File("array.json"),
        };
        File.WriteAllBytes(_names["{empty}"], []);
        File.WriteAllText(_names["{page}"], "<html>not found</html>");
        File.WriteAllBytes(_names["{cut}"], File.ReadAllBytes(picture)[..200]);
        Directory.CreateDirectory(_names["{folder}"]);
        foreach (string model in (string[])["{noweights}", "{badweights}"])
        {
            Directory.CreateDirectory(_names[model]);
            File.Copy(Path.Combine(_names["{model}"], "open_clip_config.json"), Path.Combine(_names[model], "open_clip_config.json"));
        }

        File.WriteAllText(Path.Combine(_names["{badweights}"], "open_clip_model.safetensors"), "version https://git-lfs.github.com/spec/v1\n");
        File.WriteAllText(_names["{csv}"], "id,group\na,x\n");
        File.WriteAllText(_names["{npy}"], "not an array");
    }

    /// <summary>The words behind the last column are what the message must name.</summary>
    [Theory]
    [InlineData("", "")]
    [InlineData("no-such-verb", "no-such-verb")]
    [InlineData("embed image {picture} --model {model} --out {out} --no-such-option", "--no-such-option")]
    [InlineData("embed image {picture} --model {model}", "--out")]
    [InlineData("embed image {missing} --model {model} --out {out}", "{missing}")]
    [InlineData("embed image {empty} --model {model} --out {out}", "{empty}")]
    [InlineData("embed image {page} --model {model} --out {out}", "{page}")]
    [InlineData("embed image {cut} --model {model} --out {out}", "{cut}")]
    [InlineData("embed image {picture} {cut} --model {model} --out {out}", "{cut}")]
    [InlineData("embed image {folder} --model {model} --out {out}", "{folder}")]
    [InlineData("embed image {picture} --model {missing} --out {out}", "{missing}")]
    [InlineData("embed image {picture} --model {folder} --out {out}", "{folder}")]
    [InlineData("embed image --file {csv} --model {model} --out {out}", "--column")]
    [InlineData("embed image --file {csv} --column id --model {model} --out {out}", "line 2 of {csv}")]
    [InlineData("embed image --file {csv} --column nobody --model {model} --out {out}", "'group'")]
    [InlineData("embed image --file {missing}.csv --model {model} --out {out}", "{missing}.csv")]
    [InlineData("embed image {picture} --column id --model {model} --out {out}", "--column")]
    [InlineData("embed image {picture} --model {model} --dtype fp8 --out {out}", "fp8 is computed by GPUs only")]
    [InlineData("embed image {picture} --model {model} --dtype fp9 --out {out}", "fp9")]
    [InlineData("embed image {picture} --model {noweights} --out {out}", "{noweights}")]
    [InlineData("embed image {picture} --model {badweights} --out {out}", "open_clip_model.safetensors")]
    [InlineData("embed text --model {model} --out {out}", "sentence")]
    [InlineData("tokenize", "sentence")]
    [InlineData("tokenize --file {missing}", "{missing}")]
    [InlineData("tokenize --file {folder}", "{folder}")]
    [InlineData("preprocess {page} --size 32 --mode shortest --interpolation bicubic --out {outdir}", "{page}")]
    [InlineData("preprocess {missing} --size 32 --mode shortest --interpolation bicubic --out {outdir}", "{missing}")]
    [InlineData("classify {picture} --model {model}", "--labels")]
    [InlineData("classify {cut} --model {model} --labels anchor,drum", "{cut}")]
    [InlineData("score --images {missing} --texts {missing} --out {out}", "{missing}")]
    [InlineData("score --images {npy} --texts {npy} --out {out}", "{npy}")]
    [InlineData("audit scores --softmax {npy} --metadata {csv} --group group --labels a,b --out {outdir}", "{npy}")]
    [InlineData("audit scores --softmax {npy} --metadata {csv} --group nobody --labels a,b --out {outdir}", "nobody")]
    public async Task BadInputIsExitCodeTwoAndNamed(string line, string named)
    {
        ProcessOutcome outcome = await CommandLine.RunAsync(Arguments(line));
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains(Fill(named), outcome.Error);
        Assert.DoesNotContain("   at ", outcome.Error); // no stack trace
        Assert.DoesNotContain("Exception", outcome.Error);
        Assert.False(File.Exists(_names["{out}"]), "something was written");
        Assert.False(Directory.Exists(_names["{outdir}"]) && Directory.EnumerateFileSystemEntries(_names["{outdir}"]).Any(), "something was written");
    }

    /// <summary>A refusal names its file and ends with a sentence that says what to do.</summary>
    [Theory]
    [InlineData("embed image {missing} --model {model} --out {out}", "{missing}", "Check the path.")]
    [InlineData("classify {folder} --model {model} --labels anchor,drum", "{folder}", "Name a folder that holds some, or the files themselves.")]
    [InlineData("preprocess --file {none}.txt --size 32 --out {outdir}", "{none}.txt", "Write one a line, or name files and folders behind the verb.")]
    [InlineData("preprocess --file {header} --size 32 --out {outdir}", "{header}", "Write a row for each image.")]
    [InlineData("preprocess {picture} --model {array} --out {outdir}", "{array}", "Give the open_clip_config.json or config.json of the model's repository.")]
    [InlineData("embed text --file {none}.txt --model {model} --out {out}", "{none}.txt", "Write one a line, or sentences behind the verb.")]
    [InlineData("classify {picture} --model {model} --labels {none}.txt", "{none}.txt", "Write one a line, or all with commas between them.")]
    [InlineData("tokenize --file {none}.csv", "{none}.csv", "Give a table whose first row names its columns.")]
    [InlineData("audit spec --from {header}", "{header}", "Write a row for each image.")]
    [InlineData("balance {none}.csv --sensitive a --labels b --target 0.5 --out {outdir}", "{none}.csv", "Give a table whose first row names its columns.")]
    [InlineData("balance {header} --sensitive id --labels group --target 0.5 --out {outdir}", "{header}", "Write a row for each example.")]
    [InlineData("models show {missing}", "{missing}", "'clipengine models list' shows them all.")]
    public async Task ARefusalSaysWhatToDo(string line, string named, string remedy)
    {
        foreach (string none in new[] { ".txt", ".csv" })
            File.WriteAllBytes(_names["{none}"] + none, []);
        File.WriteAllText(_names["{header}"], "id,group,image\n");
        File.WriteAllText(_names["{array}"], "[]");
        ProcessOutcome outcome = await CommandLine.RunAsync(Arguments(line));
        Assert.True(outcome.ExitCode == 2, outcome.ToString());
        Assert.Contains(Fill(named), outcome.Error, StringComparison.Ordinal);
        Assert.EndsWith(remedy, outcome.Error.TrimEnd(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("embed image {picture} --model {model} --out {out} --json")]
    [InlineData("embed text a~photo --model {model} --out {out} --json")]
    [InlineData("classify {picture} --model {model} --labels anchor,drum --json")]
    [InlineData("tokenize a~photo b")]
    public async Task JsonOnStandardOutputParses(string line)
    {
        ProcessOutcome outcome = await CommandLine.RunAsync(Arguments(line));
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        Assert.All(outcome.Output.TrimEnd('\n').Split('\n'), text => JsonDocument.Parse(text).Dispose());
    }

    [Fact]
    public async Task AFolderWithoutPermissionIsAFailureNotBadInput()
    {
        // Root may write anywhere, but nobody may create files in /proc.
        ProcessOutcome outcome = await CommandLine.RunAsync(Arguments("embed text a~photo --model {model} --out /proc/clipengine/out.npy"));
        Assert.True(outcome.ExitCode == 1, outcome.ToString());
        Assert.Contains("/proc/clipengine/out.npy", outcome.Error);
        Assert.DoesNotContain("   at ", outcome.Error);
    }

    /// <summary>What the system says of a file is followed by what to do about it. Which rights root lacks differs; a denied access is made here.</summary>
    [Fact]
    public void WhatTheSystemRefusesIsFollowedByAWayOn()
    {
        using var errors = new StringWriter();
        TextWriter before = Console.Error;
        Console.SetError(errors);
        try
        {
            Assert.Equal(1, CommandRunner.Report(new UnauthorizedAccessException("Access to the path '/x/y.csv' is denied."), wasCancelled: false));
            Assert.Equal(1, CommandRunner.Report(new IOException("/x/y.npy: could not be written: No space left on device : '/x/y.npy'", new IOException("", 28)), wasCancelled: false));
            Assert.Equal(1, CommandRunner.Report(new IOException("/x/y.npy: could not be written: something else."), wasCancelled: false));
        }
        finally
        {
            Console.SetError(before);
        }

        string[] lines = errors.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("clipengine: Access to the path '/x/y.csv' is denied. Name a place that this user may read and write, or change its permissions.", lines[0]);
        Assert.EndsWith("'/x/y.npy'. Make room there, or name another place.", lines[1], StringComparison.Ordinal);
        Assert.EndsWith("something else.", lines[2], StringComparison.Ordinal);
    }

    /// <summary>A folder of results has one writer: two that mixed their files there would look like one run. The second is told before it does any work.</summary>
    [Theory]
    [InlineData("balance {table} --sensitive a --labels b --target 0.5 --out {outdir}")]
    [InlineData("audit accuracy --images {features} --texts {features} --metadata {table} --group a --classes {table} --class-column id --truth id --out {outdir}")]
    [InlineData("audit curation --images {features} --texts {features} --metadata {table} --group a --out {outdir}")]
    [InlineData("audit retrieval --images {features} --texts {features} --metadata {table} --group a --captions {table} --image-column id --out {outdir}")]
    [InlineData("audit scores --softmax {features} --metadata {table} --group a --labels w,x,y,z --out {outdir}")]
    public async Task AFolderThatAnotherProcessWritesIntoIsRefused(string line)
    {
        File.WriteAllText(_names["{table}"], "id,a,b\n" + string.Concat(Enumerable.Range(0, 20).Select(static row => $"{row},{row % 2},{row / 2 % 2}\n")));
        File.WriteAllText(_names["{features}"], "not an array"); // nobody comes to read it
        Directory.CreateDirectory(_names["{outdir}"]);
        using (new FileStream(Path.Combine(_names["{outdir}"], ".lock"), FileMode.Create, FileAccess.ReadWrite, FileShare.None))
        {
            ProcessOutcome refused = await CommandLine.RunAsync(Arguments(line));
            Assert.True(refused.ExitCode == 2, refused.ToString());
            Assert.Contains(_names["{outdir}"], refused.Error, StringComparison.Ordinal);
            Assert.EndsWith("Wait for it, or give another --out.", refused.Error.TrimEnd(), StringComparison.Ordinal);
            Assert.Equal([".lock"], Directory.EnumerateFileSystemEntries(_names["{outdir}"]).Select(Path.GetFileName));
        }

        // As a process that was killed leaves it.
        Assert.True(File.Exists(Path.Combine(_names["{outdir}"], ".lock")));
        NpyFile.Write<float>(_names["{features}"], [.. Enumerable.Repeat<float[]>([0.1f, 0.2f, 0.3f, 0.4f], 20).SelectMany(static row => row)], 20, 4);
        ProcessOutcome outcome = await CommandLine.RunAsync(Arguments(line));
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        Assert.False(File.Exists(Path.Combine(_names["{outdir}"], ".lock")));
    }

    [Fact]
    public async Task AFailedWriteLeavesTheOldFile()
    {
        File.WriteAllText(_names["{out}"], "yesterday's");
        string[] sentences = [.. Enumerable.Range(0, 200).Select(number => $"sentence~{number}")];
        ProcessOutcome outcome = await CommandLine.RunWithFileLimitAsync(kibibytes: 4, Arguments($"embed text {string.Join(' ', sentences)} --model {{model}} --out {{out}}"));
        Assert.True(outcome.ExitCode == 1, outcome.ToString());
        Assert.Contains("could not be written", outcome.Error);
        Assert.Equal("yesterday's", File.ReadAllText(_names["{out}"]));
        Assert.Single(Directory.EnumerateFiles(_folder.Root, "out*"));
    }

    [Fact]
    public async Task TwoAtOnceLeaveOneWholeFile()
    {
        string[] arguments = Arguments("embed image {picture} --model {model} --out {out}");
        ProcessOutcome alone = await CommandLine.RunAsync(arguments);
        Assert.True(alone.ExitCode == 0, alone.ToString());
        byte[] expected = File.ReadAllBytes(_names["{out}"]);
        ProcessOutcome[] outcomes = await Task.WhenAll(CommandLine.RunAsync(arguments), CommandLine.RunAsync(arguments));
        Assert.All(outcomes, outcome => Assert.Equal(0, outcome.ExitCode));
        Assert.Equal(expected, File.ReadAllBytes(_names["{out}"]));
        Assert.Single(Directory.EnumerateFiles(_folder.Root, "out*"));
    }

    [Fact]
    public async Task KilledWhileEmbeddingNothingIsThereUnderTheFinalName()
    {
        string images = Path.Combine(DemoCommand.Data, "probe", "images");
        using Process process = CommandLine.Start(Arguments($"embed image {images} {images} {images} {images} --model {{model}} --out {{out}}"));
        await Task.Delay(400);
        bool finished = process.HasExited;
        process.Kill();
        await process.WaitForExitAsync();
        Assert.True(finished || !File.Exists(_names["{out}"]));
    }

    [Fact]
    public async Task HelpNamesTheProgramAsUsersStartIt()
    {
        ProcessOutcome help = await CommandLine.RunAsync("--help");
        Assert.Equal(0, help.ExitCode);
        Assert.Contains("clipengine", help.Output);
        Assert.DoesNotContain("ClipEngine.Cli", help.Output);
    }

    public void Dispose() => _folder.Dispose();

    private string Fill(string text) => _names.Aggregate(text, (filled, name) => filled.Replace(name.Key, name.Value));

    /// <summary>Splits at spaces; a tilde stands for a space inside an argument.</summary>
    private string[] Arguments(string line) => [.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(part => Fill(part).Replace('~', ' '))];
}
