using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Scripts;

/// <summary>test.sh's last line is what others believe: a runner that crashed or ran nothing must never look like success.</summary>
public class CountTestsTests
{
    private const string Results = """
        <TestRun><Results>
          <UnitTestResult testName="A.Adds(text: &quot;a&lt;b&quot;)" outcome="Passed" duration="1" />
          <UnitTestResult executionId="1" testName="A.Slow" outcome="NotExecuted"><Output><ErrorInfo>
            <Message>the folder &apos;shared&apos; is
            not here</Message></ErrorInfo></Output></UnitTestResult>
          <UnitTestResult testName="A.Subtracts" outcome="Failed"><Output><StdOut>noise</StdOut><ErrorInfo><Message>1 &lt; 2</Message></ErrorInfo></Output></UnitTestResult>
        </Results></TestRun>
        """;

    private const string Passing = """<TestRun><Results><UnitTestResult testName="A.Adds" outcome="Passed" /></Results></TestRun>""";

    [Fact]
    public async Task CountsAndNamesWhatTheRunnerWrote()
    {
        ProcessOutcome outcome = await CountAsync(Results, exitCode: 1);
        Assert.Equal("1 passed, 1 failed, 1 skipped", LastLine(outcome));
        Assert.Contains("skipped suite: A.Slow: the folder 'shared' is not here", outcome.Output);
        Assert.Contains("FAILED suite: A.Subtracts", outcome.Output);
        Assert.Equal(1, outcome.ExitCode);
    }

    [Fact]
    public async Task AllPassedIsExitCodeZero()
    {
        ProcessOutcome outcome = await CountAsync(Passing, exitCode: 0);
        Assert.Equal("1 passed, 0 failed, 0 skipped", LastLine(outcome));
        Assert.Equal(0, outcome.ExitCode);
    }

    [Fact]
    public async Task ACrashedHostIsAFailureThoughAllItsTestsPassed()
    {
        ProcessOutcome outcome = await CountAsync(Passing, exitCode: 134);
        Assert.Equal("1 passed, 1 failed, 0 skipped", LastLine(outcome));
        Assert.Contains("exit code 134", outcome.Output);
        Assert.Equal(1, outcome.ExitCode);
    }

    [Theory]
    [InlineData(null, 0)]
    [InlineData(null, 1)]
    [InlineData("<TestRun><Results></Results></TestRun>", 0)]
    public async Task NothingRanIsAFailure(string? results, int exitCode)
    {
        ProcessOutcome outcome = await CountAsync(results, exitCode);
        Assert.Equal("0 passed, 1 failed, 0 skipped", LastLine(outcome));
        Assert.Equal(1, outcome.ExitCode);
    }

    [Fact]
    public async Task AFilterThatMatchesNothingAnywhereIsAFailure()
    {
        ProcessOutcome outcome = await CountAsync("<TestRun><Results></Results></TestRun>", exitCode: 0, filter: "NoSuchTest");
        Assert.Equal("0 passed, 0 failed, 0 skipped", LastLine(outcome));
        Assert.Equal(1, outcome.ExitCode);
    }

    [Fact]
    public async Task ReadsWhatCTestWrites()
    {
        const string Junit = "<testsuite name=\"(empty)\"\n\ttests=\"3\"\n>\n"
            + "\t<testcase name=\"matmul\" classname=\"matmul\" time=\"0.1\" status=\"run\">\n\t\t<system-out></system-out>\n\t</testcase>\n"
            + "\t<testcase name=\"bf16\" classname=\"bf16\" time=\"0\" status=\"notrun\">\n\t\t<skipped message=\"SKIP_RETURN_CODE=77\"/>\n\t\t<system-out>no AVX-512 BF16 here\n</system-out>\n\t</testcase>\n"
            + "\t<testcase name=\"softmax\" classname=\"softmax\" time=\"0\" status=\"fail\">\n\t\t<failure message=\"\"/>\n\t</testcase>\n</testsuite>\n";
        ProcessOutcome outcome = await CountAsync(Junit, exitCode: 8, function: "count_ctest");
        Assert.Equal("1 passed, 1 failed, 1 skipped", LastLine(outcome));
        Assert.Contains("skipped suite: bf16: no AVX-512 BF16 here", outcome.Output);
        Assert.Contains("FAILED suite: softmax", outcome.Output);
    }

    private static async Task<ProcessOutcome> CountAsync(string? results, int exitCode, string filter = "", string function = "count_trx")
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("log"), "the runner's own words\n");
        if (results is not null)
            File.WriteAllText(folder.File("results"), results);
        string script = Path.Combine(TestData.RepositoryRoot, "tools", "count-tests.sh");
        string commands = $"set -u; filter='{filter}'; . '{script}'; {function} suite '{folder.File("results")}' '{folder.File("log")}' {exitCode}; print_total";
        return await ProcessRunner.RunAsync("bash", ["-c", commands]);
    }

    private static string LastLine(ProcessOutcome outcome) => outcome.Output.TrimEnd('\n').Split('\n')[^1];
}
