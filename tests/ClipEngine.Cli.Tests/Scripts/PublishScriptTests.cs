using System.Diagnostics;

namespace ClipEngine.Cli.Tests.Scripts;

/// <summary>tools/publish-native.sh, and which program ./clipengine starts behind it.</summary>
public class PublishScriptTests
{
    private const string Managed = "src/ClipEngine.Cli/bin/Release/net10.0/ClipEngine.Cli.dll";

    [Fact]
    public async Task TheNativeProgramRunsUntilASourceChanges()
    {
        using var tree = new ScriptTree();
        ProcessOutcome published = await tree.RunAsync("tools/publish-native.sh", []);
        Assert.True(published.ExitCode == 0, published.ToString());
        ProcessOutcome native = await tree.RunAsync("clipengine", ["embed", "two words", ""]);
        Assert.Equal("native", tree.Started);
        Assert.Equal((7, "[embed][two words][]", "", 0), (native.ExitCode, native.Output, native.Error, tree.Builds));

        tree.Put("src/a.cs", "other text");
        ProcessOutcome changed = await tree.RunAsync("clipengine", ["embed"]);
        Assert.Equal(Managed, tree.Started);
        Assert.Contains("publish-native.sh makes it anew", changed.Error);
        Assert.Equal("", (await tree.RunAsync("clipengine", ["embed"])).Error); // said once, by the build
        Assert.Equal(Managed, tree.Started);

        await tree.RunAsync("tools/publish-native.sh", []);
        await tree.RunAsync("clipengine", ["embed"]);
        Assert.Equal("native", tree.Started);
        Assert.Contains("already", (await tree.RunAsync("tools/publish-native.sh", [])).Error);
        Assert.Equal(2, tree.Publications);
    }

    /// <summary>After `git pull &amp;&amp; ./test.sh` no start of ./clipengine builds anything: the tests' build is the one that says it.</summary>
    [Fact]
    public async Task TheBuildForTheTestsSaysOnceThatTheNativeProgramIsOfOtherSources()
    {
        using var tree = new ScriptTree();
        tree.Put("build-tests", """
            #!/usr/bin/env bash
            set -u
            root=${0%/*} me=test.sh
            . "$root/tools/build.sh"
            lock_build
            found_cli=$(fingerprint src native)
            dotnet_build tests ClipEngine.sln || exit 1
            echo "$found_cli" >"$root/artifacts/cli.built"
            """);
        Assert.DoesNotContain("publish-native.sh", (await tree.RunAsync("build-tests", [])).Error); // there is none
        await tree.RunAsync("tools/publish-native.sh", []);
        Assert.DoesNotContain("publish-native.sh", (await tree.RunAsync("build-tests", [])).Error); // it is of these sources
        tree.Put("src/a.cs", "other text");
        Assert.Contains("publish-native.sh makes it anew", (await tree.RunAsync("build-tests", [])).Error);
        Assert.Equal("", (await tree.RunAsync("clipengine", ["embed"])).Error);
        Assert.Equal(Managed, tree.Started);
        Assert.DoesNotContain("publish-native.sh", (await tree.RunAsync("build-tests", [])).Error);
    }

    [Fact]
    public async Task ANativeProgramThatCannotBeStartedLeavesTheOrdinaryOne()
    {
        using var tree = new ScriptTree();
        await tree.RunAsync("tools/publish-native.sh", []);
        tree.Put("artifacts/native-program/ClipEngine.Cli", "#!/nowhere/interpreter\n");
        ProcessOutcome outcome = await tree.RunAsync("clipengine", ["embed", "two words", ""]);
        Assert.Equal(Managed, tree.Started);
        Assert.Equal((7, "[embed][two words][]"), (outcome.ExitCode, outcome.Output));
        Assert.Contains("the native program cannot be started", outcome.Error);
    }

    /// <summary>Sources that cannot be listed are not the ones that a record of nothing is of.</summary>
    [Theory]
    [InlineData(null)]
    [InlineData("#!/usr/bin/env bash\necho 'find: unrecognized: -printf' >&2\nexit 1\n")]
    public async Task WithoutAListOfSourcesNothingIsTakenForUpToDateOrPublished(string? find)
    {
        using var tree = new ScriptTree();
        await tree.RunAsync("tools/publish-native.sh", []);
        tree.Put("artifacts/native-program/sources", "\n");
        tree.RemoveTool("find");
        if (find is not null)
            tree.Put("path/find", find);
        for (int time = 1; time <= 2; time++)
        {
            ProcessOutcome outcome = await tree.RunAsync("clipengine", ["embed"]);
            Assert.True(outcome.ExitCode == 7, outcome.ToString());
            Assert.Equal((Managed, time), (tree.Started, tree.Builds));
        }

        ProcessOutcome published = await tree.RunAsync("tools/publish-native.sh", []);
        Assert.True(published.ExitCode == 2, published.ToString());
        Assert.Contains("the sources cannot be listed", published.Error);
        Assert.Equal(1, tree.Publications);
    }

    /// <summary>Wherever a publication ends while it puts its program in the place of another: what then lies under the name is whole, or nothing does.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task AProgramIsReplacedByRenamingAndLeftoversGo(int renames)
    {
        using var tree = new ScriptTree();
        await tree.RunAsync("tools/publish-native.sh", []);
        tree.Put("artifacts/native-program/old", "of the first program");
        tree.Put("src/a.cs", "other text");
        string move = Path.Combine(tree.Locate("path"), "mv");
        string real = new FileInfo(move).ResolveLinkTarget(returnFinalTarget: true)!.FullName;
        tree.RemoveTool("mv");
        // Ends the script, with no chance to tidy up, behind so many of its renames.
        tree.Put("path/mv", $"#!/usr/bin/env bash\necho >>\"$FAKE_TREE/renames\"\n{real} \"$@\" || exit\nmapfile -t done <\"$FAKE_TREE/renames\"\n[ ${{#done[@]}} -lt {renames} ] || kill -KILL $PPID\n");
        ProcessOutcome ended = await tree.RunAsync("tools/publish-native.sh", []);
        Assert.NotEqual(0, ended.ExitCode);
        Assert.True(File.Exists(tree.Locate("artifacts/native-program.old/old")));
        Assert.Equal(renames == 2, File.Exists(tree.Locate("artifacts/native-program/ClipEngine.Cli")));
        Assert.False(File.Exists(tree.Locate("artifacts/native-program/old")));
        await tree.RunAsync("clipengine", ["embed"]);
        Assert.Equal(renames == 2 ? "native" : Managed, tree.Started);

        tree.RemoveTool("mv");
        File.CreateSymbolicLink(move, real);
        ProcessOutcome again = await tree.RunAsync("tools/publish-native.sh", []);
        Assert.True(again.ExitCode == 0, again.ToString());
        Assert.False(Directory.Exists(tree.Locate("artifacts/native-program.old")));
        await tree.RunAsync("clipengine", ["embed"]);
        Assert.Equal("native", tree.Started);
    }

    [Fact]
    public async Task ServerAndTorchKeepTheirPrograms()
    {
        using var tree = new ScriptTree();
        await tree.RunAsync("tools/publish-native.sh", []);
        await tree.RunAsync("clipengine", ["serve", "--model", "m"]);
        Assert.Equal("src/ClipEngine.Server/bin/Release/net10.0/ClipEngine.Server.dll", tree.Started);
        tree.Put("artifacts/cli-torch.built", "");
        await tree.RunAsync("clipengine", ["devices"]);
        Assert.Equal("src/ClipEngine.Cli.TorchSharp/bin/Release/net10.0/ClipEngine.Cli.TorchSharp.dll", tree.Started);
    }

    [Fact]
    public async Task WhatWasEndedHalfWayIsNotRunAndNotBuiltUpon()
    {
        using var tree = new ScriptTree();
        const string Object = "src/ClipEngine.Cli/obj/Release/net10.0/linux-x64/native/ClipEngine.Cli.o";
        tree.Put("hold", "");
        Process publishing = tree.Start("tools/publish-native.sh", []);
        while (tree.Publications == 0)
            await Task.Delay(10);
        tree.Put(Object, "half an object");
        tree.Put("artifacts/native-program.new/ClipEngine.Cli", "half a program");
        publishing.Kill(entireProcessTree: true);
        await publishing.WaitForExitAsync();
        File.Delete(tree.Locate("hold"));

        await tree.RunAsync("clipengine", ["embed"]);
        Assert.Equal(Managed, tree.Started);
        ProcessOutcome again = await tree.RunAsync("tools/publish-native.sh", []);
        Assert.True(again.ExitCode == 0, again.ToString());
        Assert.False(File.Exists(tree.Locate(Object)));
        await tree.RunAsync("clipengine", ["embed"]);
        Assert.Equal("native", tree.Started);
    }

    [Fact]
    public async Task AFailedPublicationSaysWhyAndLeavesWhatWasThere()
    {
        using var tree = new ScriptTree();
        await tree.RunAsync("tools/publish-native.sh", []);
        byte[] before = await File.ReadAllBytesAsync(tree.Locate("artifacts/native-program/sources"));
        tree.Put("native/new.cpp", "new");
        ProcessOutcome failed = await tree.RunAsync("tools/publish-native.sh", [], ("FAKE_ERROR", "no linker"));
        Assert.Equal(1, failed.ExitCode);
        Assert.Contains("no linker", failed.Error);
        Assert.Contains("artifacts/native-program.log", failed.Error);
        Assert.Equal(before, await File.ReadAllBytesAsync(tree.Locate("artifacts/native-program/sources")));
        File.Delete(tree.Locate("native/new.cpp"));
        await tree.RunAsync("clipengine", ["embed"]);
        Assert.Equal("native", tree.Started);
    }

    [Fact]
    public async Task TwoAtOncePublishOnce()
    {
        using var tree = new ScriptTree();
        tree.Put("hold", "");
        Process first = tree.Start("tools/publish-native.sh", []);
        while (tree.Publications == 0)
            await Task.Delay(10);
        Process second = tree.Start("tools/publish-native.sh", []);
        Assert.Contains("waiting", await second.StandardError.ReadLineAsync());
        File.Delete(tree.Locate("hold"));
        ProcessOutcome[] outcomes = await Task.WhenAll(ProcessRunner.FinishAsync(first), ProcessRunner.FinishAsync(second));
        Assert.All(outcomes, outcome => Assert.Equal(0, outcome.ExitCode));
        Assert.Equal(1, tree.Publications);
    }
}
