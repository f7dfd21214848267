using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using ClipEngine.Native;

namespace ClipEngine.Files;

/// <summary>
/// Names of unfinished files, <c>FINAL.PROCESS-CHANCE.suffix</c>, and whether the one who wrote such a file is gone: nobody holds its lock (flock,
/// which the system lets go of however a process ends), and the process of that number, if there is one, is another.
/// </summary>
internal static class TemporaryName
{
    /// <summary>Those of this process, from before they are made until they have their final names or are gone.</summary>
    private static readonly ConcurrentDictionary<string, byte> s_own = new(StringComparer.Ordinal);

    /// <summary>A new name beside the final one; two writers of one name never share it.</summary>
    public static string Take(string finalName, string suffix)
    {
        string name = $"{finalName}.{Environment.ProcessId.ToString(CultureInfo.InvariantCulture)}-{Guid.NewGuid():N}{suffix}";
        s_own.TryAdd(name, 0);
        return name;
    }

    /// <summary>The name is no longer in use.</summary>
    public static void Return(string name) => s_own.TryRemove(name, out _);

    /// <summary>The names in use that end so.</summary>
    public static IEnumerable<string> InUse(string suffix) => s_own.Keys.Where(name => name.EndsWith(suffix, StringComparison.Ordinal));

    /// <summary>Whether a name has the form of those that <see cref="Take"/> makes.</summary>
    public static bool Is(string path, string suffix) => ProcessOf(path, suffix) is not null;

    /// <summary>Whether whoever made the file is gone.</summary>
    public static bool IsAbandoned(string path, string suffix)
    {
        if (s_own.ContainsKey(path) || ProcessOf(path, suffix) is not { } process)
            return false;
        try
        {
            var info = new FileInfo(path);
            if (IsRunning(process, info.LastWriteTimeUtc))
                return false;
            // A link cannot be locked: opening it would open what it leads to.
            if (info.LinkTarget is not null)
                return true;
            using var held = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static int? ProcessOf(string path, string suffix)
    {
        string[] parts = Path.GetFileName(path).Split('.');
        return parts.Length >= 3 && "." + parts[^1] == suffix && parts[^2].Split('-') is [var process, var chance]
            && chance.Length == 32 && chance.All(char.IsAsciiHexDigitLower)
            && int.TryParse(process, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;
    }

    /// <summary>Whether a process of this number runs that was there when the file was last written.</summary>
    private static bool IsRunning(int number, DateTime writtenAt)
    {
        // This process holds all of its own names; another of the same number (in another container) made this one.
        if (number == Environment.ProcessId)
            return false;
        try
        {
            using var process = Process.GetProcessById(number);
            return !Linux.IsZombie(number) && process.StartTime.ToUniversalTime() <= writtenAt + TimeSpan.FromSeconds(2);
        }
        catch (Exception exception) when (exception is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception or NotSupportedException)
        {
            return false;
        }
    }
}
