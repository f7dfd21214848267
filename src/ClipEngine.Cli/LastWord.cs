using System.Text;
using ClipEngine.Native;

namespace ClipEngine.Cli;

/// <summary>How the process ends where it cannot end by itself, and what it says then.</summary>
internal static class LastWord
{
    /// <summary>Standard error that may be closed, full or a broken pipe, and a last word in place of a stack trace.</summary>
    public static void Prepare()
    {
        Console.SetError(new Forgiving(Console.Error));
        AppDomain.CurrentDomain.UnhandledException += static (_, arguments) =>
        {
            if (arguments.ExceptionObject is Exception exception)
                CommandRunner.Report(exception, wasCancelled: false);
            Files.AtomicFile.RemoveUnfinished();
            End(CommandRunner.Failed);
        };
    }

    /// <summary>Ends the process without waiting for threads that may never return, and without running destructors under them.</summary>
    public static void End(int code)
    {
        Platform.EndProcess(code);
    }

    /// <summary>What is said here is said to somebody who may have gone: that must not end hours of work.</summary>
    private sealed class Forgiving(TextWriter inner) : TextWriter
    {
        public override Encoding Encoding => inner.Encoding;

        public override void Write(char value) => Try(() => inner.Write(value));

        public override void Write(string? value) => Try(() => inner.Write(value));

        public override void Write(char[] buffer, int index, int count) => Try(() => inner.Write(buffer, index, count));

        public override void WriteLine() => Try(inner.WriteLine);

        public override void WriteLine(string? value) => Try(() => inner.WriteLine(value));

        public override void Flush() => Try(inner.Flush);

        private static void Try(Action write)
        {
            try
            {
                write();
            }
            catch (Exception exception) when (exception is IOException or ObjectDisposedException or UnauthorizedAccessException)
            {
                // Nobody reads it.
            }
        }
    }
}
