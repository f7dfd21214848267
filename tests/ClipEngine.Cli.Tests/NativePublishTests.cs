using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests;

/// <summary>The program compiled ahead of time (ReadyToRun, NativeAOT) does what the managed one does.</summary>
public sealed class NativePublishTests
{
    [SkippableFact]
    public async Task WhatTheScriptRunsEmbedsTheDemosPicturesToTheSameBytes()
    {
        string program = Path.Combine(TestData.RepositoryRoot, "artifacts", "program", "ClipEngine.Cli.dll");
        Skip.IfNot(File.Exists(program), "compiled ahead of time by ./clipengine and ./test.sh alone, where the package Microsoft.NETCore.App.Crossgen2.linux-x64 can be had");
        using var folder = new TemporaryFolder();
        string demo = Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "Demo", "Data");
        string[] arguments = ["embed", "image", "--model", Path.Combine(demo, "models", "small"), Path.Combine(demo, "probe", "images"), "--out"];
        ProcessOutcome managed = await CommandLine.RunAsync([.. arguments, folder.File("managed.safetensors")]);
        Assert.True(managed.ExitCode == 0, managed.ToString());
        ProcessOutcome ahead = await ProcessRunner.RunAsync("dotnet", [program, .. arguments, folder.File("ahead.safetensors")]);
        Assert.True(ahead.ExitCode == 0, ahead.ToString());
        Assert.Equal(await File.ReadAllBytesAsync(folder.File("managed.safetensors")), await File.ReadAllBytesAsync(folder.File("ahead.safetensors")));
    }

    [SkippableFact]
    public async Task TheNativeProgramEmbedsPicturesAndWritesTablesToTheSameBytes()
    {
        // Two minutes of a compiler's time.
        Skip.If(Environment.GetEnvironmentVariable("CLIPENGINE_LONG") != "1", "a long test: set CLIPENGINE_LONG=1");
        using var folder = new TemporaryFolder();
        string project = Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "ClipEngine.Cli.csproj");
        ProcessOutcome published = await ProcessRunner.RunAsync("dotnet",
            ["publish", project, "-c", "Release", "-r", "linux-x64", "-p:PublishAot=true", "-o", folder.File("native"), "-nologo", "-v", "quiet", "--disable-build-servers"]);
        Skip.If(published.ExitCode != 0 && published.ToString().Contains("NU110", StringComparison.Ordinal), "ILCompiler cannot be restored: " + published.Output.Split('\n')[0]);
        Assert.True(published.ExitCode == 0, published.ToString());
        Assert.DoesNotContain("warning IL", published.Output); // what the trimmer warns of may be missing at run time

        // Tables are written, and pictures read out of one, by libraries that the compiler warns of as a whole: what is used of them must be there.
        string demo = Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "Demo", "Data"), pictures = Path.Combine(demo, "probe", "images");
        foreach ((string input, string output) in new[] { (pictures, "f.safetensors"), (pictures, "f.parquet"), (pictures, "f.arrow"), (TestData.Path("interop", "img2dataset-parquet"), "of-parquet.npy") })
        {
            string[] arguments = ["embed", "image", "--model", Path.Combine(demo, "models", "small"), input, "--out"];
            ProcessOutcome managed = await CommandLine.RunAsync([.. arguments, folder.File("managed-" + output)]);
            Assert.True(managed.ExitCode == 0, managed.ToString());
            ProcessOutcome native = await ProcessRunner.RunAsync(folder.File("native", "ClipEngine.Cli"), [.. arguments, folder.File("native-" + output)]);
            Assert.True(native.ExitCode == 0, native.ToString());
            byte[] expected = await File.ReadAllBytesAsync(folder.File("managed-" + output));
            Assert.True(expected.Length > 7 * sizeof(float));
            Assert.Equal(expected, await File.ReadAllBytesAsync(folder.File("native-" + output)));
        }
    }
}
