using System.IO.Compression;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests;

/// <summary>
/// What a user does with the packages: <c>tools/try-packages.sh</c> adds ClipEngine to a new console project in an empty folder, classifies a
/// picture of the demo with ten lines, and installs and runs the tool.
/// </summary>
public sealed class PackageTests : IClassFixture<PackageTests.Feed>
{
    private readonly Feed _feed;

    public PackageTests(Feed feed) => _feed = feed;

    [Fact]
    public void APackageHoldsLibrariesReadmeIconAndLicence()
    {
        using ZipArchive package = ZipFile.OpenRead(_feed.Package("ClipEngine"));
        string[] names = [.. package.Entries.Select(static entry => entry.FullName)];
        Assert.Contains("lib/net10.0/ClipEngine.dll", names);
        Assert.Contains("lib/net10.0/ClipEngine.xml", names);
        Assert.Contains("README.md", names);
        Assert.Contains("CHANGELOG.md", names);
        Assert.Contains("icon.png", names);
        // Those of other systems are in it where they were built: ./test.sh does so before everything else, tools/pack.sh always.
        IEnumerable<string> libraries = from system in (string[])["linux-x64", "linux-arm64", "win-x64"]
                                        where system == "linux-x64" || HasLibrary(system)
                                        from library in (string[])["libclipengine", "libclipengine_image"]
                                        select $"runtimes/{system}/native/{library}.{(system == "win-x64" ? "dll" : "so")}";
        Assert.Equal(libraries.Order(StringComparer.Ordinal), names.Where(static name => name.StartsWith("runtimes/", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
        using var reader = new StreamReader(package.GetEntry("ClipEngine.nuspec")!.Open());
        string description = reader.ReadToEnd();
        Assert.Contains("<license type=\"expression\">MIT</license>", description, StringComparison.Ordinal);
        Assert.Contains("<repository type=\"git\"", description, StringComparison.Ordinal);
        using ZipArchive cuda = ZipFile.OpenRead(_feed.Package("ClipEngine.Cuda"));
        Assert.Contains(cuda.Entries, static entry => entry.FullName == "runtimes/linux-x64/native/libclipengine_cuda.so");
        Assert.DoesNotContain(cuda.Entries, static entry => entry.FullName.EndsWith(".dll", StringComparison.Ordinal));
        Assert.True(File.Exists(Path.ChangeExtension(_feed.Package("ClipEngine"), ".snupkg")), "symbols");
    }

    [SkippableFact]
    public void TheToolHoldsTheLibrariesOfOtherSystems()
    {
        Skip.IfNot(HasLibrary("linux-arm64") && HasLibrary("win-x64"), "linux-arm64 and win-x64 were not built here (tools/pack.sh builds them)");
        using ZipArchive package = ZipFile.OpenRead(_feed.Package("ClipEngine.Cli"));
        string[] names = [.. package.Entries.Select(static entry => entry.FullName)];
        Assert.Contains(names, static name => name.EndsWith("runtimes/linux-arm64/native/libclipengine.so", StringComparison.Ordinal));
        Assert.Contains(names, static name => name.EndsWith("runtimes/win-x64/native/libclipengine_image.dll", StringComparison.Ordinal));
    }

    /// <summary>Published for another system and started there (qemu, wine), a program gives the answer that it gives here.</summary>
    [SkippableTheory]
    [InlineData("linux-arm64")]
    [InlineData("win-x64")]
    public async Task ASelfContainedProgramRunsElsewhere(string system)
    {
        Skip.IfNot(HasLibrary(system), $"{system} was not built here (tools/pack.sh builds it)");
        string[] arguments = Arguments($"published-{system}");
        ProcessOutcome outcome = await ProcessRunner.RunAsync("bash",
            [Path.Combine(TestData.RepositoryRoot, "tools", "try-publish.sh"), arguments[1], arguments[2], arguments[3], system, arguments[4], arguments[5]]);
        Skip.If(outcome.ExitCode == 77, outcome.Error.Trim());
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        string[] lines = outcome.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(3, lines.Length);
        Assert.StartsWith("drum 0.", lines[0], StringComparison.Ordinal);
        Assert.True(float.Parse(lines[0].Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture) > 0.5f, outcome.Output);
    }

    [Fact]
    public async Task ANewProjectClassifiesAPictureAndTheToolRuns() => Check(await ProcessRunner.RunAsync("bash", Arguments("here")));

    [SkippableFact]
    public async Task SoTheyDoInABareDebian13()
    {
        ProcessOutcome outcome = await ProcessRunner.RunAsync("bash", [Path.Combine(TestData.RepositoryRoot, "tools", "in-debian13.sh"), "bash", .. Arguments("debian13")]);
        Skip.If(outcome.ExitCode == 77, outcome.Error.Trim());
        Check(outcome);
    }

    private static bool HasLibrary(string system) => Directory.Exists(Path.Combine(TestData.RepositoryRoot, "artifacts", "native", system)) &&
        Directory.EnumerateFiles(Path.Combine(TestData.RepositoryRoot, "artifacts", "native", system), "libclipengine_image.*").Any();

    private string[] Arguments(string folder)
    {
        string demo = Path.Combine(TestData.RepositoryRoot, "src", "ClipEngine.Cli", "Demo", "Data");
        return
        [
            Path.Combine(TestData.RepositoryRoot, "tools", "try-packages.sh"), _feed.Folder, _feed.Version, Path.Combine(_feed.Root, folder),
            Path.Combine(demo, "models", "large"), Path.Combine(demo, "probe", "images", "scene06-solid-circle.jpg"),
        ];
    }

    /// <summary>The tiles of scene 6 say that it is a drum.</summary>
    private void Check(ProcessOutcome outcome)
    {
        Assert.True(outcome.ExitCode == 0, outcome.ToString());
        string[] lines = outcome.Output.Trim().Split('\n');
        Assert.Equal(7, lines.Length);
        Assert.Equal("decoders loaded for text: False", lines[0]);
        Assert.StartsWith("drum ", lines[1], StringComparison.Ordinal);
        Assert.Equal("decoders loaded for images: True", lines[4]);
        Assert.Equal(_feed.Version, lines[5]);
        Assert.Equal($"{lines[1]}\t{lines[2]}\t{lines[3]}", lines[6]);
    }

    /// <summary>The packages, of what was built.</summary>
    public sealed class Feed : IAsyncLifetime
    {
        private readonly TemporaryFolder _folder = new();

        public string Root => _folder.Root;

        public string Folder => _folder.File("feed");

        public string Version { get; private set; } = "";

        public string Package(string name) => Path.Combine(Folder, $"{name}.{Version}.nupkg");

        public async Task InitializeAsync()
        {
            foreach (string project in (string[])["ClipEngine", "ClipEngine.Cuda", "ClipEngine.Cli"])
            {
                ProcessOutcome packed = await ProcessRunner.RunAsync("dotnet",
                    ["pack", Path.Combine(TestData.RepositoryRoot, "src", project), "-c", "Release", "--no-build", "-o", Folder, "-nologo", "-v", "quiet", "--disable-build-servers"]);
                Assert.True(packed.ExitCode == 0, packed.ToString());
            }

            string cuda = Path.GetFileNameWithoutExtension(Directory.GetFiles(Folder, "ClipEngine.Cuda.*.nupkg").Single());
            Version = cuda["ClipEngine.Cuda.".Length..];
        }

        public Task DisposeAsync()
        {
            _folder.Dispose();
            return Task.CompletedTask;
        }
    }
}
