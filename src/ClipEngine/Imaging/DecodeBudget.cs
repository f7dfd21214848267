using System.Globalization;

namespace ClipEngine.Imaging;

/// <summary>
/// The memory that decoding may take in this process at any moment. An image whose header says that it takes more than is left waits for
/// others to be done; one that would take more than all of it is refused. Files of ordinary sizes are decoded row by row and hardly count:
/// it is progressive JPEG, WebP, interlaced PNG and GIF that are held whole.
/// </summary>
public static class DecodeBudget
{
    /// <summary>The environment variable that sets it: a number of bytes, or of megabytes or gigabytes with M or G.</summary>
    public const string Variable = "CLIPENGINE_DECODE_MEMORY";

    /// <summary>The share of the memory of this machine, or of the cgroup that the process runs in, which is the default.</summary>
    private const int Share = 4;

    /// <summary>What an image always may take, however small the machine: rows, tables, a small picture.</summary>
    private const long Least = 64 << 20;

    private static readonly object s_lock = new();
    private static long? s_limit;
    private static long s_used;

    /// <summary>The budget in bytes: what <see cref="Variable"/> says, else a quarter of the memory that there is.</summary>
    /// <exception cref="BadInputException">The variable holds no size.</exception>
    /// <exception cref="ArgumentOutOfRangeException">Set to less than 1.</exception>
    public static long Limit
    {
        get
        {
            lock (s_lock)
                return s_limit ??= Parse(Environment.GetEnvironmentVariable(Variable)) ?? Math.Max(Least, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / Share);
        }

        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            lock (s_lock)
            {
                s_limit = value;
                Monitor.PulseAll(s_lock);
            }
        }
    }

    /// <summary>Bytes that are taken at this moment.</summary>
    internal static long Used
    {
        get
        {
            lock (s_lock)
                return s_used;
        }
    }

    /// <summary>Waits until an image of this size fits.</summary>
    /// <param name="bytes">What it takes.</param>
    /// <returns>False where it never will.</returns>
    internal static bool Enter(long bytes)
    {
        lock (s_lock)
        {
            while (bytes <= Limit && bytes > Limit - s_used)
                Monitor.Wait(s_lock);
            if (bytes > Limit)
                return false;
            s_used += bytes;
            return true;
        }
    }

    /// <summary>Gives back what <see cref="Enter"/> took.</summary>
    internal static void Leave(long bytes)
    {
        lock (s_lock)
        {
            s_used -= bytes;
            Monitor.PulseAll(s_lock);
        }
    }

    /// <summary>Reads a size.</summary>
    internal static long? Parse(string? text)
    {
        if (string.IsNullOrEmpty(text))
            return null;
        int shift = text[^1] switch { 'M' => 20, 'G' => 30, _ => 0 };
        ReadOnlySpan<char> digits = shift == 0 ? text : text.AsSpan(0, text.Length - 1);
        return long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number > 0 && number <= long.MaxValue >> shift
            ? number << shift
            : throw new BadInputException(Variable, $"expected a number of bytes, or a number with M or G behind it, found '{BadInputException.Escape(text, 40)}'.", "Write for instance 500M.");
    }
}
