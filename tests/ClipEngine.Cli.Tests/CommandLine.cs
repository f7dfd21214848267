using System.Diagnostics;

namespace ClipEngine.Cli.Tests;

/// <summary>The built program as a process of its own, as users and scripts meet it.</summary>
internal static class CommandLine
{
    private static readonly string s_program = Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll");

    /// <summary>Runs a verb to its end.</summary>
    public static Task<ProcessOutcome> RunAsync(params string[] arguments) => ProcessRunner.RunAsync("dotnet", [s_program, .. arguments]);

    /// <summary>Runs a verb that may write no file larger than this; every write beyond it fails.</summary>
    public static Task<ProcessOutcome> RunWithFileLimitAsync(int kibibytes, params string[] arguments) =>
        // The signal is ignored, so that the write fails as on a full disk. The runtime's own memory files count too, unless it is told not to map its code twice.
        ProcessRunner.RunAsync("bash", ["-c", $"trap '' XFSZ; ulimit -f {kibibytes}; exec dotnet \"$@\"", "bash", s_program, .. arguments], environment: new Dictionary<string, string?> { ["DOTNET_EnableWriteXorExecute"] = "0" });

    /// <summary>Runs a verb on the first of the processors that this process may use.</summary>
    public static Task<ProcessOutcome> RunOnOneProcessorAsync(params string[] arguments) =>
        ProcessRunner.RunAsync("bash", ["-c", "all=$(taskset -cp $$) && all=${all##*: } && exec taskset -c ${all%%[,-]*} dotnet \"$@\"", "bash", s_program, .. arguments]);

    /// <summary>Runs a verb with an environment variable set.</summary>
    public static Task<ProcessOutcome> RunWithVariableAsync(string name, string value, params string[] arguments) =>
        ProcessRunner.RunAsync("dotnet", [s_program, .. arguments], environment: new Dictionary<string, string?> { [name] = value });

    /// <summary>Starts a verb and leaves it running.</summary>
    public static Process Start(params string[] arguments) => ProcessRunner.Start("dotnet", [s_program, .. arguments]);
}
