using System.CommandLine;
using System.CommandLine.Parsing;
using System.Runtime.InteropServices;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;
using ClipEngine.Native;

namespace ClipEngine.Cli;

/// <summary>
/// Runs a verb and turns what happened into the contract's exit codes: 0 done, 1 failed, 2 wrong usage or bad input. What holds for every verb
/// is done here once: the rules of values (<see cref="ValueRules"/>), signals, and that no failure shows more than a line.
/// </summary>
internal static class CommandRunner
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int BadInput = 2;

    /// <summary>An audit does not keep a bound that was declared for it.</summary>
    public const int BoundBroken = 3;

    /// <summary>How long a verb that was asked to stop may take to do so by itself; then, or at a second signal, it is ended, and its unfinished files are removed here.</summary>
    public static TimeSpan Grace { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Reads the command line, runs the verb, and returns the exit code.</summary>
    /// <param name="root">The definition of the command line.</param>
    /// <param name="arguments">The words behind the program's name.</param>
    public static async Task<int> InvokeAsync(Command root, string[] arguments)
    {
        ValueRules.Apply(root);
        // No response files: a sentence may begin with @.
        ParseResult parsed = root.Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null, EnablePosixBundling = false });
        if (parsed.Errors.Count > 0)
        {
            try
            {
                // A misspelt option throws the parser off; what it says of the rest then is no help.
                ValueRules.RefuseUnknown(parsed, arguments);
            }
            catch (BadInputException exception)
            {
                return Report(exception, wasCancelled: false);
            }

            await Console.Error.WriteLineAsync($"clipengine: {Describe(parsed)}");
            return BadInput;
        }

        using var interruption = new Interruption();
        Task<int> verb = Task.Run(() => RunAsync(parsed, arguments, interruption.Token));
        await Task.WhenAny(verb, interruption.WaitAsync());
        if (verb.IsCompleted)
            return await verb;
        // The verb sits in something that cannot be interrupted: a read of a pipe, weights that are being mapped. It is left there.
        AtomicFile.RemoveUnfinished();
        await Console.Error.WriteLineAsync(Cancelled);
        LastWord.End(Failed);
        return Failed;
    }

    private const string Cancelled = "clipengine: cancelled; nothing half-written was kept.";

    private static async Task<int> RunAsync(ParseResult parsed, string[] arguments, CancellationToken cancellation)
    {
        try
        {
            ValueRules.Check(parsed, arguments);
            int code = await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, cancellation);
            // What could not be shown was not done: /dev/full, a full disk.
            await Console.Out.FlushAsync(CancellationToken.None);
            return code;
        }
        catch (Exception exception)
        {
            return Report(exception, cancellation.IsCancellationRequested);
        }
    }

    /// <summary>Says in a line why a verb ended, and which exit code that is.</summary>
    internal static int Report(Exception exception, bool wasCancelled)
    {
        // Several threads that failed: the first to tell speaks for all, what the user can mend before the rest.
        if (exception is AggregateException several && several.Flatten().InnerExceptions is { Count: > 0 } all)
            exception = all.FirstOrDefault(static one => one is BadInputException) ?? all[0];
        (string line, int code) = exception switch
        {
            BadInputException => ($"clipengine: {exception.Message}", IsDiskFailure(exception) ? Failed : BadInput),
            OperationCanceledException => (Cancelled, Failed),
            _ when wasCancelled => (Cancelled, Failed),
            IOException or UnauthorizedAccessException when IsStandardOutput(exception) => ($"clipengine: standard output cannot be written: {OneLine(exception.Message)}", Failed),
            IOException or UnauthorizedAccessException => ($"clipengine: {OneLine(exception.Message)}{WayOn(exception)}", Failed),
            NativeLibraryException => ($"clipengine: {OneLine(exception.Message)}", Failed),
            OutOfMemoryException => ($"clipengine: there is not enough memory: {OneLine(exception.Message)}", Failed),
            _ => ($"clipengine: a fault of this program, worth a report ({exception.GetType().Name}{Place(exception)}): {OneLine(exception.Message)}", Failed),
        };
        Console.Error.WriteLine(line);
        return code;
    }

    /// <summary>What to do where the system said no to a file, in a sentence behind its own; empty where the message says it already, or nobody knows.</summary>
    private static string WayOn(Exception exception)
    {
        for (Exception? cause = exception; cause is not null; cause = cause.InnerException)
        {
            string? way = cause switch
            {
                UnauthorizedAccessException => "Name a place that this user may read and write, or change its permissions.",
                IOException when Platform.IsDiskFull(cause.HResult) => "Make room there, or name another place.",
                _ => null,
            };
            if (way is not null)
                return exception.Message.Contains("--out", StringComparison.Ordinal) ? "" : $"{(exception.Message.EndsWith('.') ? "" : ".")} {way}";
        }

        return "";
    }

    /// <summary>Whether an input is refused because the disk failed: that is not the input's fault, and trying again may help.</summary>
    private static bool IsDiskFailure(Exception? exception)
    {
        for (; exception is not null; exception = exception.InnerException)
        {
            // .NET keeps the C library's error number as the result code.
            if (exception is IOException && Platform.IsDiskFailure(exception.HResult))
                return true;
        }

        return false;
    }

    /// <summary>Whether the system refused what was written to standard output: .NET's message names a file, never a stream.</summary>
    private static bool IsStandardOutput(Exception exception) => exception.StackTrace?.Contains("ConsoleStream", StringComparison.Ordinal) == true;

    /// <summary>Everything that the parser found, in one line.</summary>
    private static string Describe(ParseResult parsed)
    {
        string[] messages = [.. parsed.Errors.Select(error => OneLine(error.Message).TrimEnd('.')).Distinct().Take(5)];
        string verb = string.Join(' ', Path(parsed.CommandResult));
        return $"{string.Join("; ", messages)}. '{verb} --help' says what there is.";
    }

    private static IEnumerable<string> Path(SymbolResult result) =>
        result is CommandResult command ? (command.Parent is null ? [] : Path(command.Parent)).Append(command.Command.Name) : [];

    private static string OneLine(string text) => BadInputException.Escape(text.ReplaceLineEndings(" ").Trim(), 1000);

    /// <summary>Where in this program it happened, for the report; a whole trace helps nobody who only uses it.</summary>
    private static string Place(Exception exception)
    {
        string? frame = exception.StackTrace?.Split('\n').Select(static line => line.Trim()).FirstOrDefault(static line => line.Contains(nameof(ClipEngine), StringComparison.Ordinal));
        int start = frame?.IndexOf(nameof(ClipEngine), StringComparison.Ordinal) ?? -1, end = frame?.IndexOf('(', StringComparison.Ordinal) ?? -1;
        return start >= 0 && end > start ? $" in {frame![start..end]}" : "";
    }

    /// <summary>SIGINT, SIGTERM and SIGHUP as a cancellation.</summary>
    private sealed class Interruption : IDisposable
    {
        private readonly CancellationTokenSource _source = new();
        private readonly TaskCompletionSource _second = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly List<PosixSignalRegistration> _registrations = [];

        public Interruption()
        {
            // Under nohup a process outlives its terminal.
            const ulong Hangup = 1;
            bool outlives = (Linux.IgnoredSignals() & Hangup) != 0;
            foreach (PosixSignal signal in (PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP])
            {
                if (signal == PosixSignal.SIGHUP && outlives)
                    continue;
                _registrations.Add(PosixSignalRegistration.Create(signal, context =>
                {
                    context.Cancel = true;
                    if (_source.IsCancellationRequested)
                        _second.TrySetResult();
                    _source.Cancel();
                }));
            }
        }

        public CancellationToken Token => _source.Token;

        /// <summary>Ends when the verb has had its time since the signal, or when a second one comes.</summary>
        public async Task WaitAsync()
        {
            var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            await using CancellationTokenRegistration registration = _source.Token.Register(() => asked.TrySetResult());
            await asked.Task;
            await Task.WhenAny(Task.Delay(Grace), _second.Task);
        }

        public void Dispose()
        {
            foreach (PosixSignalRegistration registration in _registrations)
                registration.Dispose();
            // Not the source: the verb's last thread may still look at its token.
        }
    }
}
