using System.CommandLine;
using ClipEngine.Native;

namespace ClipEngine.Cli;

/// <summary>Runs a verb and turns what happened into the contract's exit codes: 0 done, 1 failed, 2 wrong usage or bad input.</summary>
internal static class CommandRunner
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int BadInput = 2;

    public static async Task<int> InvokeAsync(Command root, string[] arguments)
    {
        ParseResult parsed = root.Parse(arguments);
        if (parsed.Errors.Count > 0)
        {
            foreach (System.CommandLine.Parsing.ParseError error in parsed.Errors)
                await Console.Error.WriteLineAsync($"clipengine: {BadInputException.Escape(error.Message, 500)}");
            await Console.Error.WriteLineAsync("Try 'clipengine --help', or '--help' behind the verb.");
            return BadInput;
        }

        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        }
        catch (BadInputException exception)
        {
            await Console.Error.WriteLineAsync($"clipengine: {exception.Message}");
            return BadInput;
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync("clipengine: cancelled; nothing half-written was kept.");
            return Failed;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or OutOfMemoryException or NativeLibraryException)
        {
            await Console.Error.WriteLineAsync($"clipengine: {exception.Message}");
            return Failed;
        }
        catch (Exception exception)
        {
            // Still exit code 1, not a crash: scripts tell failures apart by it.
            await Console.Error.WriteLineAsync($"clipengine: a fault of this program, worth a report: {exception}");
            return Failed;
        }
    }
}
