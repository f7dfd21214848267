using System.Diagnostics;

namespace ClipEngine.Cli.Tests;

/// <summary>What a finished process left behind.</summary>
internal sealed record ProcessOutcome(int ExitCode, string Output, string Error)
{
    /// <summary>Both streams, for the message of a failed assertion.</summary>
    public override string ToString() => $"exit code {ExitCode}\n--- standard output\n{Output}\n--- standard error\n{Error}";
}

/// <summary>Starts programs the way a shell does: arguments as a list, no terminal, both streams read.</summary>
internal static class ProcessRunner
{
    /// <summary>Long enough for the slowest machine under load; a process that is still running then is a hang.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    /// <summary>Starts a process with closed standard input and piped streams.</summary>
    public static Process Start(string program, IEnumerable<string> arguments, string? folder = null, IReadOnlyDictionary<string, string?>? environment = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder ?? "",
        };
        foreach ((string name, string? value) in environment ?? new Dictionary<string, string?>())
            start.Environment[name] = value;
        Process process = Process.Start(start)!;
        process.StandardInput.Close();
        return process;
    }

    /// <summary>Reads a started process to its end.</summary>
    public static async Task<ProcessOutcome> FinishAsync(Process process)
    {
        using (process)
        {
            using var patience = new CancellationTokenSource(Patience);
            try
            {
                Task<string> output = process.StandardOutput.ReadToEndAsync(patience.Token);
                Task<string> error = process.StandardError.ReadToEndAsync(patience.Token);
                await process.WaitForExitAsync(patience.Token);
                return new ProcessOutcome(process.ExitCode, await output, await error);
            }
            catch (OperationCanceledException exception)
            {
                process.Kill(entireProcessTree: true);
                throw new TimeoutException($"{process.StartInfo.FileName} {string.Join(' ', process.StartInfo.ArgumentList)} had not ended after {Patience}", exception);
            }
        }
    }

    /// <summary>Starts a process and reads it to its end.</summary>
    public static Task<ProcessOutcome> RunAsync(string program, IEnumerable<string> arguments, string? folder = null, IReadOnlyDictionary<string, string?>? environment = null) =>
        FinishAsync(Start(program, arguments, folder, environment));
}
