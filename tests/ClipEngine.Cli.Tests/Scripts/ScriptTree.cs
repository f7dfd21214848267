using System.Diagnostics;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Scripts;

/// <summary>
/// A tree with the real scripts, a handful of sources, and a `dotnet` that only notes what it was asked to do:
/// `build` appends a line to the file builds, waits while there is a file hold, and leaves a program (with FAKE_AHEAD_OF_TIME the one compiled ahead of time
/// too); `publish` appends to the file publications, waits likewise and leaves a native program; everything else names the program in the file started, prints its arguments and exits with 7.
/// </summary>
internal sealed class ScriptTree : IDisposable
{
    private const string FakeDotnet = """
        #!/usr/bin/env bash
        case "$1" in
          --list-sdks) echo "${FAKE_SDK:-10.0.100} [/nowhere]" ;;
          build)
            echo build >>"$FAKE_TREE/builds"
            while [ -e "$FAKE_TREE/hold" ]; do sleep 0.05; done
            [ -z "${FAKE_ERROR:-}" ] || { echo "src/a.cs(1,1): error CS1002: $FAKE_ERROR"; exit 1; }
            mkdir -p "$FAKE_TREE/src/ClipEngine.Cli/bin/Release/net10.0"
            echo program >"$FAKE_TREE/src/ClipEngine.Cli/bin/Release/net10.0/ClipEngine.Cli.dll"
            [ -z "${FAKE_AHEAD_OF_TIME:-}" ] || { mkdir -p "$FAKE_TREE/artifacts/program"; echo program >"$FAKE_TREE/artifacts/program/ClipEngine.Cli.dll"; } ;;
          publish)
            echo publish >>"$FAKE_TREE/publications"
            while [ -e "$FAKE_TREE/hold" ]; do sleep 0.05; done
            [ -z "${FAKE_ERROR:-}" ] || { echo "ILC: error: $FAKE_ERROR"; exit 1; }
            while [ "$1" != -o ]; do shift; done
            mkdir -p "$2"
            cp "$FAKE_TREE/path/native" "$2/ClipEngine.Cli" ;;
          *) echo "${1#"$FAKE_TREE/"}" >"$FAKE_TREE/started"; shift; printf '[%s]' "$@"; exit 7 ;;
        esac
        """;

    private const string FakeNative = """
        #!/usr/bin/env bash
        echo native >"$FAKE_TREE/started"
        printf '[%s]' "$@"
        exit 7
        """;

    /// <summary>What the scripts call; whatever a test leaves out is missing on the machine that it imagines.</summary>
    private static readonly string[] s_tools =
    [
        "bash", "env", "dirname", "readlink", "grep", "find", "sort", "sha256sum", "cat", "mkdir", "flock", "head", "tail", "sleep", "rm", "mv", "cp", "uname",
        "cmake", "g++", "make",
    ];

    private readonly TemporaryFolder _folder = new();

    public ScriptTree()
    {
        foreach (string script in (string[])["clipengine", "tools/build.sh", "tools/setup.sh", "tools/build-native.sh", "tools/publish-native.sh"])
            Put(script, File.ReadAllText(Path.Combine(TestData.RepositoryRoot, script)));
        foreach (string source in (string[])["src/a.cs", "src/ClipEngine.Cli/b.cs", "native/c.cpp", "CMakeLists.txt", "Directory.Build.props", "Directory.Build.targets", "Directory.Packages.props", ".editorconfig"])
            Put(source, "first");
        Put("path/dotnet", FakeDotnet);
        Put("path/native", FakeNative);
        Put("path/id", "#!/usr/bin/env bash\necho \"${FAKE_USER:-1000}\"\n");
        Put("path/dpkg-query", "#!/usr/bin/env bash\nexit 1\n");
        Put("path/apt-cache", "#!/usr/bin/env bash\nexit 100\n");
        Put("path/apt-get", "#!/usr/bin/env bash\necho \"apt-get $*\" >>\"$FAKE_TREE/installs\"\n");
        foreach (string tool in s_tools)
            File.CreateSymbolicLink(_folder.File("path", tool), Find(tool));
    }

    /// <summary>How often `dotnet build` was called.</summary>
    public int Builds => Lines("builds").Length;

    /// <summary>How often `dotnet publish` was called.</summary>
    public int Publications => Lines("publications").Length;

    /// <summary>The program that was started last, relative to the tree.</summary>
    public string Started => Lines("started").Single();

    /// <summary>What apt-get was asked to do.</summary>
    public string[] Installs => Lines("installs");

    public string Locate(string relative) => _folder.File(relative.Split('/'));

    public void Put(string relative, string text)
    {
        string path = Locate(relative);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
        if (text.StartsWith("#!", StringComparison.Ordinal) && !OperatingSystem.IsWindows())
            File.SetUnixFileMode(path, (UnixFileMode)0b111_101_101);
    }

    public void RemoveTool(string name) => File.Delete(_folder.File("path", name));

    public Task<ProcessOutcome> RunAsync(string script, string[] arguments, params (string Name, string Value)[] environment) =>
        ProcessRunner.FinishAsync(Start(script, arguments, environment));

    public Process Start(string script, string[] arguments, params (string Name, string Value)[] environment)
    {
        var variables = environment.ToDictionary(pair => pair.Name, pair => (string?)pair.Value);
        variables["PATH"] = _folder.File("path");
        variables["FAKE_TREE"] = _folder.Root;
        return ProcessRunner.Start(Locate(script), arguments, environment: variables);
    }

    public void Dispose() => _folder.Dispose();

    private static string Find(string tool) =>
        Environment.GetEnvironmentVariable("PATH")!.Split(':').Append("/usr/bin").Append("/bin").Select(folder => Path.Combine(folder, tool)).First(File.Exists);

    private string[] Lines(string name) => File.Exists(_folder.File(name)) ? File.ReadAllLines(_folder.File(name)) : [];
}
