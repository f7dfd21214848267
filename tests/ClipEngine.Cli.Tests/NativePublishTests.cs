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

        // Scores of prepared pixels and token ids, and what is said of what cannot be done.
        string towers = TestData.Path("towers", "vit-gelu"), picture = Path.Combine(pictures, "scene06-solid-circle.jpg");
        File.WriteAllText(folder.File("page.jpg"), "<html>");
        Directory.CreateDirectory(folder.File("cut"));
        File.Copy(Path.Combine(towers, "open_clip_config.json"), folder.File("cut", "open_clip_config.json"));
        await File.WriteAllBytesAsync(folder.File("cut", "open_clip_model.safetensors"), (await File.ReadAllBytesAsync(Path.Combine(towers, "open_clip_model.safetensors")))[..^1]);
        foreach (string[] line in new string[][]
        {
            ["embed", "raw", "--model", towers, "--input", Path.Combine(towers, "golden.safetensors"), "--out", folder.File("scores.safetensors")],
            ["--version"],
            ["--help"],
            ["embed", "image", "--help"],
            ["nothing"],
            ["embed", "image", "--modell", towers],
            ["embed", "image", "--model", towers, folder.File("none.jpg"), "--out", folder.File("none.npy")],
            ["embed", "image", "--model", towers, folder.File("page.jpg"), "--out", folder.File("none.npy")],
            ["embed", "image", "--model", folder.File("cut"), folder.File("page.jpg"), "--out", folder.File("none.npy")],
            ["embed", "image", "--model", towers, picture, "--device", "torch:cpu", "--out", folder.File("none.npy")],
            ["classify", "--model", towers, "--labels", "anchor,drum", picture, "--json"],
            ["models", "show", "ViT-B-32"],
            ["devices"],
        })
        {
            ProcessOutcome managed = await CommandLine.RunAsync(line);
            byte[]? expected = Take();
            ProcessOutcome native = await ProcessRunner.RunAsync(folder.File("native", "ClipEngine.Cli"), line);
            Assert.Equal((managed.ExitCode, managed.Output, managed.Error), (native.ExitCode, native.Output, native.Error));
            Assert.Equal(expected, Take());
        }

        byte[]? Take()
        {
            string file = folder.File("scores.safetensors");
            byte[]? bytes = File.Exists(file) ? File.ReadAllBytes(file) : null;
            File.Delete(file);
            return bytes;
        }
    }
}
