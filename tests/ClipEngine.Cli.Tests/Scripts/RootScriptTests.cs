using System.Diagnostics;

namespace ClipEngine.Cli.Tests.Scripts;

public class RootScriptTests
{
    private static readonly string[] s_arguments = ["embed", "two words", "", "--out", "a'b\"c"];

    [Fact]
    public async Task FirstUseBuildsAndLaterUsesDoNot()
    {
        using var tree = new ScriptTree();
        ProcessOutcome first = await tree.RunAsync("clipengine", s_arguments);
        ProcessOutcome second = await tree.RunAsync("clipengine", s_arguments);

        Assert.True(tree.Builds == 1, first.ToString());
        Assert.Contains("building", first.Error);
        Assert.Equal("", second.Error);
        Assert.All([first, second], outcome =>
        {
            Assert.Equal(7, outcome.ExitCode); // the program's own
            Assert.Equal("[embed][two words][][--out][a'b\"c]", outcome.Output);
        });
    }

    [Fact]
    public async Task TheProgramCompiledAheadOfTimeRunsWhereThereIsOneAndIsMissedVisibly()
    {
        using var tree = new ScriptTree();
        ProcessOutcome with = await tree.RunAsync("clipengine", s_arguments, ("FAKE_AHEAD_OF_TIME", "1"));
        Assert.Equal("artifacts/program/ClipEngine.Cli.dll", tree.Started);
        Assert.DoesNotContain("ahead of time", with.Error);
        await tree.RunAsync("clipengine", s_arguments);
        Assert.Equal("artifacts/program/ClipEngine.Cli.dll", tree.Started);

        using var without = new ScriptTree();
        ProcessOutcome outcome = await without.RunAsync("clipengine", s_arguments);
        Assert.Equal("src/ClipEngine.Cli/bin/Release/net10.0/ClipEngine.Cli.dll", without.Started);
        Assert.Contains("not compiled ahead of time", outcome.Error);
        Assert.Contains("artifacts/cli.log", outcome.Error);
    }

    [Theory]
    [InlineData("src/a.cs", 2)] // changed
    [InlineData("native/new.cpp", 2)] // added
    [InlineData("src/ClipEngine.Cli/obj/generated.cs", 1)] // an output, not a source
    [InlineData("artifacts/anything", 1)]
    public async Task AChangedSourceMeansOneMoreBuild(string changed, int builds)
    {
        using var tree = new ScriptTree();
        await tree.RunAsync("clipengine", []);
        tree.Put(changed, "other text");
        await tree.RunAsync("clipengine", []);
        await tree.RunAsync("clipengine", []);
        Assert.Equal(builds, tree.Builds);
    }

    [Fact]
    public async Task ASourceRemovedOrOlderThanTheBuildMeansOneMoreBuild()
    {
        using var tree = new ScriptTree();
        await tree.RunAsync("clipengine", []);
        File.Delete(tree.Locate("src/a.cs"));
        await tree.RunAsync("clipengine", []);
        Assert.Equal(2, tree.Builds);

        File.SetLastWriteTimeUtc(tree.Locate("native/c.cpp"), new DateTime(2001, 1, 1, 0, 0, 0, DateTimeKind.Utc));
        await tree.RunAsync("clipengine", []);
        Assert.Equal(3, tree.Builds);
    }

    [Fact]
    public async Task TwoFirstUsesAtOnceBuildOnce()
    {
        using var tree = new ScriptTree();
        tree.Put("hold", "");
        Process first = tree.Start("clipengine", ["a"]);
        while (tree.Builds == 0)
            await Task.Delay(10);
        Process second = tree.Start("clipengine", ["b"]);
        string? said = await second.StandardError.ReadLineAsync();
        Assert.Contains("waiting", said);
        File.Delete(tree.Locate("hold"));

        ProcessOutcome[] outcomes = await Task.WhenAll(ProcessRunner.FinishAsync(first), ProcessRunner.FinishAsync(second));
        Assert.Equal(1, tree.Builds);
        Assert.Equal(["[a]", "[b]"], outcomes.Select(outcome => outcome.Output));
        Assert.All(outcomes, outcome => Assert.Equal(7, outcome.ExitCode));
    }

    [Fact]
    public async Task AFailedBuildSaysWhyAndIsTriedAgain()
    {
        using var tree = new ScriptTree();
        ProcessOutcome failed = await tree.RunAsync("clipengine", ["a"], ("FAKE_ERROR", "; expected"));
        Assert.Equal(1, failed.ExitCode);
        Assert.Contains("error CS1002: ; expected", failed.Error);
        Assert.Contains("artifacts/cli.log", failed.Error);
        Assert.Equal("", failed.Output);

        Assert.Equal(7, (await tree.RunAsync("clipengine", ["a"])).ExitCode);
        Assert.Equal(2, tree.Builds);
    }

    [Fact]
    public async Task AMissingPackageIsNamedWithItsCommandAndNothingIsBuilt()
    {
        using var tree = new ScriptTree();
        tree.RemoveTool("cmake");
        ProcessOutcome outcome = await tree.RunAsync("clipengine", ["demo"]);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("missing: cmake", outcome.Error);
        Assert.Contains("apt-get install -y --no-install-recommends cmake", outcome.Error);
        Assert.Empty(tree.Installs);
        Assert.Equal(0, tree.Builds);
    }

    [Fact]
    public async Task WithoutACompilerTheHeadersAreTakenFromThePackageList()
    {
        using var tree = new ScriptTree();
        tree.RemoveTool("g++");
        tree.RemoveTool("make");
        ProcessOutcome outcome = await tree.RunAsync("tools/setup.sh", []);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("g++ make libjpeg-dev libpng-dev libwebp-dev", outcome.Error);
    }

    [Fact]
    public async Task RootInstallsWithoutATerminalAndSaysSo()
    {
        using var tree = new ScriptTree();
        tree.RemoveTool("cmake");
        ProcessOutcome outcome = await tree.RunAsync("clipengine", ["demo"], ("FAKE_USER", "0"));
        Assert.Equal(7, outcome.ExitCode);
        Assert.Contains("running as root, so installing now: apt-get install -y --no-install-recommends cmake", outcome.Error);
        Assert.Equal(["apt-get update -qq", "apt-get install -y --no-install-recommends cmake"], tree.Installs);
        Assert.Equal("[demo]", outcome.Output); // what was installed is not mixed into the program's output
    }

    [Fact]
    public async Task AnOlderSdkIsNotEnough()
    {
        using var tree = new ScriptTree();
        ProcessOutcome outcome = await tree.RunAsync("clipengine", ["demo"], ("FAKE_SDK", "8.0.404"));
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains(".NET 10 SDK is missing", outcome.Error);
        Assert.Equal(0, tree.Builds);
    }
}
