using System.Diagnostics;
using System.Runtime.InteropServices;
using ClipEngine.Native;

namespace ClipEngine.Cli;

/// <summary>Hands <c>serve</c> over to ClipEngine.Server, which lies beside this program.</summary>
internal static class ServerProgram
{
    private const string Name = "ClipEngine.Server";

    /// <summary>Becomes the server; where a process cannot become another program, runs it and returns its exit code.</summary>
    /// <exception cref="BadInputException">It is not installed, or ASP.NET Core is not.</exception>
    public static async Task<int> RunAsync(CancellationToken cancellation)
    {
        (string program, string[] arguments) = Find(AppContext.BaseDirectory, RuntimeEnvironment.GetRuntimeDirectory());
        arguments = [.. arguments, .. Environment.GetCommandLineArgs().Skip(1)];
        if (OperatingSystem.IsLinux())
            Linux.BecomeProgram(program, arguments);
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false })!;
        await process.WaitForExitAsync(cancellation);
        return process.ExitCode;
    }

    /// <summary>The program to start and its first arguments: the .NET host with the server's assembly, or the server as native code.</summary>
    /// <param name="folder">Where this program lies.</param>
    /// <param name="runtime">Where the .NET runtime lies: ROOT/shared/Microsoft.NETCore.App/VERSION.</param>
    internal static (string Program, string[] Arguments) Find(string folder, string runtime)
    {
        string assembly = Path.Combine(folder, $"{Name}.dll"), native = Path.Combine(folder, OperatingSystem.IsWindows() ? $"{Name}.exe" : Name);
        if (!File.Exists(assembly))
        {
            return File.Exists(native) ? (native, [])
                : throw new BadInputException("serve", $"the server is a program of its own, and {assembly} is not there.", $"Install the tool again; in a clone start ./clipengine, which builds src/{Name}.");
        }

        string shared = Path.GetFullPath(Path.Combine(runtime, "..", "..")), web = Path.Combine(shared, "Microsoft.AspNetCore.App");
        if (!Directory.Exists(web) || Directory.GetDirectories(web, $"{Environment.Version.Major}.*").Length == 0)
        {
            throw new BadInputException("serve", $"the server needs the ASP.NET Core runtime {Environment.Version.Major}, which is not in {web}.",
                $"Install aspnetcore-runtime-{Environment.Version.Major}.0 (Debian's and Ubuntu's name for it), or the .NET SDK.");
        }

        return (Path.Combine(shared, "..", OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet"), ["exec", assembly]);
    }
}
