using System.Diagnostics;
using BenchmarkDotNet.Attributes;
using ClipEngine.Models;

namespace ClipEngine.Benchmarks;

/// <summary>
/// The command line as a process, from its start to its end with the features of one image written, and the same work inside a process
/// that is warm already. CLIPENGINE_MODEL names the model's folder, CLIPENGINE_PHOTOS the folder of benchmarks/peers/make_photos.py;
/// CLIPENGINE_PROGRAM another program than the one that was built (a NativeAOT publication).
/// </summary>
[WarmupCount(1)]
[IterationCount(9)]
[InvocationCount(1)]
public class StartBenchmarks
{
    private string _model = "", _photo = "", _output = "";
    private string[] _program = [];

    /// <summary>Finds the program and what it works on.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _model = Variable("CLIPENGINE_MODEL", "a model's folder");
        _photo = Path.Combine(Variable("CLIPENGINE_PHOTOS", "the photographs' folder"), "photo_640x480.jpg");
        _output = Path.Combine(Directory.CreateTempSubdirectory("clipengine-start-").FullName, "features.npy");
        _program = Environment.GetEnvironmentVariable("CLIPENGINE_PROGRAM") is { Length: > 0 } program ? [program] : ["dotnet", BuiltProgram()];
    }

    /// <summary>A process that only says its version.</summary>
    [Benchmark]
    public void Version() => Run("--version");

    /// <summary>A process that embeds one image.</summary>
    [Benchmark]
    public void FirstEmbedding() => Run("embed", "image", "--model", _model, _photo, "--out", _output);

    /// <summary>Loading and one image without a process.</summary>
    [Benchmark]
    public void LoadAndEmbed()
    {
        using ClipModel model = ClipModel.Load(_model, new ClipModelOptions { Towers = ModelTowers.Image });
        model.EncodeImages([_photo]);
    }

    /// <summary>Removes what was written.</summary>
    [GlobalCleanup]
    public void Cleanup() => Directory.Delete(Path.GetDirectoryName(_output)!, recursive: true);

    private static string Variable(string name, string what) =>
        Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($"{name} must name {what}.");

    private static string BuiltProgram()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "ClipEngine.sln")))
            folder = folder.Parent;
        string program = Path.Combine(folder?.FullName ?? "", "src", "ClipEngine.Cli", "bin", "Release", "net10.0", "ClipEngine.Cli.dll");
        return File.Exists(program) ? program : throw new InvalidOperationException($"{program} is not built; name another one with CLIPENGINE_PROGRAM.");
    }

    private void Run(params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(_program[0], [.. _program[1..], .. arguments]) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true })!;
        string said = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException(said);
    }
}
