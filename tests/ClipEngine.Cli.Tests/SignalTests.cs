using System.Diagnostics;
using ClipEngine.Cli.Commands;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests;

/// <summary>Signals and streams that are gone: every verb ends with a message and exit code 1, nothing is left over, and nobody who listens is needed.</summary>
public sealed class SignalTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>A read of a pipe cannot be interrupted from inside: the runner ends the process.</summary>
    [Theory]
    [InlineData("INT")]
    [InlineData("TERM")]
    public async Task WaitingForAPipeEndsOnASignal(string signal)
    {
        const string Script = "mkfifo p; exec 3<>p; exec dotnet \"$1\" tokenize --file /dev/fd/3";
        Process process = ProcessRunner.Start("bash", ["-c", Script, "bash", Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll")], _folder.Root);
        await Task.Delay(TimeSpan.FromSeconds(4));
        await ProcessRunner.RunAsync("kill", [$"-{signal}", process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        ProcessOutcome outcome = await ProcessRunner.FinishAsync(process);
        Assert.True(outcome.ExitCode == 1, outcome.ToString());
        Assert.Contains("cancelled", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AStandardErrorThatCannotBeWrittenEndsNothing()
    {
        foreach (string sink in (string[])["2>&-", "2>/dev/full"])
        {
            string script = $"dotnet \"$1\" embed text word --model \"$2\" --out f.npy {sink}";
            ProcessOutcome outcome = await ProcessRunner.RunAsync("bash", ["-c", script, "bash", Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll"), Path.Combine(DemoCommand.Data, "models", "small")], _folder.Root);
            Assert.True(outcome.ExitCode == 0, $"{sink}: {outcome}");
            Assert.True(File.Exists(_folder.File("f.npy")));
            File.Delete(_folder.File("f.npy"));
        }
    }

    /// <summary>What was asked for did not arrive: that is an error, and the message says what could not be written.</summary>
    [Theory]
    [InlineData(">/dev/full")]
    [InlineData(">&-")]
    public async Task AStandardOutputThatCannotBeWrittenIsAnError(string sink)
    {
        ProcessOutcome outcome = await ProcessRunner.RunAsync("bash", ["-c", $"dotnet \"$1\" models list {sink}", "bash", Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll")], _folder.Root);
        Assert.True(outcome.ExitCode == 1, outcome.ToString());
        Assert.StartsWith("clipengine: standard output", outcome.Error, StringComparison.Ordinal);
        Assert.Single(outcome.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    /// <summary>As with <c>clipengine models list | head -1</c>: whoever read has seen enough.</summary>
    [Fact]
    public async Task AReaderThatLeavesIsNoError()
    {
        ProcessOutcome outcome = await ProcessRunner.RunAsync("bash", ["-c", "{ dotnet \"$1\" models list; echo \"exit $?\" >&2; } | true", "bash", Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll")], _folder.Root);
        Assert.DoesNotContain("   at ", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("exit 0", outcome.Error, StringComparison.Ordinal);
    }

    /// <summary>The next run into a folder takes away what a killed one left there, and nothing of the user's own.</summary>
    [Fact]
    public async Task LeftoversOfKilledRunsGo()
    {
        string leftover = _folder.File($"f.npy.99999999-{Guid.NewGuid():N}.partial"), own = _folder.File("mine.partial");
        File.WriteAllText(leftover, "half");
        File.WriteAllText(own, "mine");
        ProcessOutcome outcome = await CommandLine.RunAsync("embed", "text", "word", "--model", Path.Combine(DemoCommand.Data, "models", "small"), "--out", _folder.File("g.npy"));
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        Assert.False(File.Exists(leftover));
        Assert.True(File.Exists(own));
    }
}
