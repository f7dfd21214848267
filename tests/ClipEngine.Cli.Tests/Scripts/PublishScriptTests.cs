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
