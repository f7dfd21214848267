using System.Diagnostics;
using ClipEngine.Files;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Demo;

/// <summary>Two at once, killed half-way, nowhere to write: whole files or none.</summary>
public sealed class DemoRobustnessTests
{
    [Fact]
    public async Task OfTwoAtOnceInOneFolderOneFinishesAndTheOtherIsToldWhy()
    {
        using var folder = new TemporaryFolder();
        ProcessOutcome[] outcomes = await Task.WhenAll(
            CommandLine.RunAsync("demo", "--out", folder.File("both")),
            CommandLine.RunAsync("demo", "--out", folder.File("both")));
        Assert.Contains(outcomes, outcome => outcome.ExitCode == 0);
        Assert.All(outcomes.Where(outcome => outcome.ExitCode != 0), outcome =>
        {
            Assert.True(outcome.ExitCode == 2, outcome.ToString());
            Assert.Contains("another process", outcome.Error);
        });
        await CommandLine.RunAsync("demo", "--out", folder.File("alone"));
        AssertSameFiles(folder.File("alone"), folder.File("both"));
    }

    [SkippableFact]
    public async Task OneProcessorGivesTheBytesOfAllOfThem()
    {
        Skip.If(Environment.ProcessorCount < 2, "there is only one processor");
        using var folder = new TemporaryFolder();
        await CommandLine.RunAsync("demo", "--out", folder.File("all"));
        ProcessOutcome one = await CommandLine.RunOnOneProcessorAsync("demo", "--out", folder.File("one"));
        Assert.True(one.ExitCode == 0, one.ToString());
        AssertSameFiles(folder.File("all"), folder.File("one"));
    }

    [Fact]
    public async Task KilledHalfWayLeavesNoHalfFileAndTheNextRunFinishes()
    {
        using var folder = new TemporaryFolder();
        await CommandLine.RunAsync("demo", "--out", folder.File("whole"));
        string killed = folder.File("killed");
        // At each file that appears a run is killed; what is there under a final name must be the finished bytes.
        for (int files = 1; files <= 5; files += 2)
        {
            using (Process process = CommandLine.Start("demo", "--out", killed))
            {
                while (!process.HasExited && Finished(killed).Count() < files)
                    await Task.Delay(5);
                process.Kill();
                await process.WaitForExitAsync();
            }

            // The ledger of finished stages grows; everything else is written once.
            Assert.All(Finished(killed).Where(file => file != "stages.json"), file => Assert.Equal(File.ReadAllBytes(Path.Combine(folder.File("whole"), file)), File.ReadAllBytes(Path.Combine(killed, file))));
        }

        ProcessOutcome again = await CommandLine.RunAsync("demo", "--out", killed);
        Assert.True(again.ExitCode == 0, again.ToString());
        AssertSameFiles(folder.File("whole"), killed);
    }

    [Fact]
    public async Task AFileInThePlaceOfTheFolderIsNamedAndLeftAlone()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("taken"), "mine");
        ProcessOutcome outcome = await CommandLine.RunAsync("demo", "--out", folder.File("taken"));
        Assert.InRange(outcome.ExitCode, 1, 2);
        Assert.Contains(folder.File("taken"), outcome.Error);
        Assert.DoesNotContain("   at ", outcome.Error); // no stack trace
        Assert.Equal("mine", File.ReadAllText(folder.File("taken")));
    }

    [Fact]
    public async Task AFolderThatCannotBeMadeIsNamed()
    {
        ProcessOutcome outcome = await CommandLine.RunAsync("demo", "--out", "/dev/null/out");
        Assert.InRange(outcome.ExitCode, 1, 2);
        Assert.Contains("/dev/null/out", outcome.Error);
        Assert.DoesNotContain("   at ", outcome.Error);
    }

    /// <summary>A limit on the size of files stands in for a full disk: the same failed write, without a disk to fill.</summary>
    [Fact]
    public async Task AWriteThatFailsIsSaidAndLeavesNothingUnderAFinalName()
    {
        using var folder = new TemporaryFolder();
        ProcessOutcome outcome = await CommandLine.RunWithFileLimitAsync(kibibytes: 4, "demo", "--out", folder.File("out"));
        Assert.True(outcome.ExitCode == 1, outcome.ToString());
        Assert.Contains("could not be written", outcome.Error);
        Assert.DoesNotContain("   at ", outcome.Error);
        string[] left = Directory.Exists(folder.File("out")) ? Directory.GetFiles(folder.File("out"), "*", SearchOption.AllDirectories) : [];
        Assert.All(left, file => Assert.InRange(new FileInfo(file).Length, 1, 4096));
        Assert.DoesNotContain(left, file => file.EndsWith(AtomicFile.TemporarySuffix, StringComparison.Ordinal));
    }

    private static IEnumerable<string> Finished(string folder) => !Directory.Exists(folder) ? [] :
        Directory.EnumerateFiles(folder, "*", new EnumerationOptions { RecurseSubdirectories = true })
            .Select(file => Path.GetRelativePath(folder, file))
            // Unfinished files, the run's own working files (they begin with a dot), and what holds clock times.
            .Where(file => !file.EndsWith(AtomicFile.TemporarySuffix, StringComparison.Ordinal) && !file.Split('/').Any(part => part.StartsWith('.')) && file != "timings.json");

    private static void AssertSameFiles(string expected, string found)
    {
        Assert.Equal(Finished(expected).Order(), Finished(found).Order());
        Assert.All(Finished(expected), file => Assert.Equal(File.ReadAllBytes(Path.Combine(expected, file)), File.ReadAllBytes(Path.Combine(found, file))));
    }
}
