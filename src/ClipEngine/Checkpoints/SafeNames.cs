namespace ClipEngine.Checkpoints;

/// <summary>
/// Names out of files, judged by the rules of POSIX and of Windows at once, on every platform: a name that is harmless on the
/// machine that checks it may not be so where the folder is copied to.
/// </summary>
internal static class SafeNames
{
    private const int MaximumLength = 255;

    private static readonly string[] s_devices = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

    /// <summary>Whether the name is one plain step of a path: no separators, no drive, no stream, no device, nothing invisible.</summary>
    public static bool IsFileName(string name)
    {
        if (name.Length is 0 or > MaximumLength || name is "." or ".." || name[^1] is '.' or ' ' || name[0] is ' ' or '~')
            return false;
        foreach (char character in name)
        {
            // ASCII only: look-alikes of slash and dot, bidirectional marks and surrogates all lie beyond it.
            if (character is < ' ' or > '~' or '/' or '\\' or ':' or '*' or '?' or '"' or '<' or '>' or '|' or '%')
                return false;
        }

        string stem = name.Split('.')[0].TrimEnd(' ');
        bool isNumbered = stem.Length == 4 && char.IsAsciiDigit(stem[3])
            && (stem.StartsWith("COM", StringComparison.OrdinalIgnoreCase) || stem.StartsWith("LPT", StringComparison.OrdinalIgnoreCase));
        return !isNumbered && !s_devices.Contains(stem, StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>Whether the name is a relative path that stays inside the archive; a final slash marks a folder.</summary>
    public static bool IsArchivePath(string name)
    {
        if (name.Length is 0 or > 1024)
            return false;
        string[] steps = name.Split('/');
        for (int i = 0; i < steps.Length; i++)
        {
            bool isFolderMark = i > 0 && i == steps.Length - 1 && steps[i].Length == 0;
            if (!isFolderMark && (steps[i].Length == 0 || steps[i] is "." or ".."))
                return false;
        }

        return !name.AsSpan().ContainsAny("\\:") && !name.Any(char.IsControl);
    }
}
