using System.Diagnostics;
using System.Globalization;

namespace ClipEngine.Cli;

/// <summary>
/// Progress of long work on standard error: one line that is rewritten on a terminal, a plain line now and then anywhere else.
/// Work that is over at once shows nothing.
/// </summary>
internal sealed class Progress : IProgress<EncodeProgress>, IProgress<long>, IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_betweenFrames = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan s_betweenLines = TimeSpan.FromSeconds(10);

    private readonly string _what;
    private readonly TextWriter _output;
    private readonly bool _isTerminal;
    private readonly Func<TimeSpan> _clock;
    private TimeSpan _lastShown = TimeSpan.MinValue;
    private int _shownLength;

    /// <summary>Progress on standard error.</summary>
    /// <param name="what">What is being done, in the plural: <c>images</c>.</param>
    public Progress(string what)
        : this(what, Console.Error, !Console.IsErrorRedirected, Stopwatch.StartNew())
    {
    }

    /// <summary>Progress anywhere, for tests: the clock tells the time since the start.</summary>
    internal Progress(string what, TextWriter output, bool isTerminal, Func<TimeSpan> clock)
    {
        _what = what;
        _output = output;
        _isTerminal = isTerminal;
        _clock = clock;
    }

    private Progress(string what, TextWriter output, bool isTerminal, Stopwatch watch)
        : this(what, output, isTerminal, () => watch.Elapsed)
    {
    }

    /// <inheritdoc/>
    public void Report(EncodeProgress value) => Report(value.Done, value.Total, value.Times);

    /// <summary>Shows how much of <see cref="Total"/> is done.</summary>
    void IProgress<long>.Report(long value) => Report(value, Total);

    /// <summary>All of the work, for reports that only say how much is done.</summary>
    public long Total { get; init; }

    /// <summary>Shows how far the work is, if the last time was long enough ago.</summary>
    public void Report(long done, long total, EncodeTimes? times = null)
    {
        TimeSpan now = _clock();
        bool isFirst = _lastShown == TimeSpan.MinValue;
        TimeSpan wait = isFirst ? s_patience : _isTerminal ? s_betweenFrames : s_betweenLines;
        bool isDue = now - (isFirst ? TimeSpan.Zero : _lastShown) >= wait;
        if (!isDue && (isFirst || done < total))
            return;
        _lastShown = now;
        string line = Describe(done, total, now) + (times is { } stages ? Describe(stages) : "");
        if (!_isTerminal)
        {
            _output.WriteLine(line);
            return;
        }

        _output.Write($"\r{line}{new string(' ', Math.Max(0, _shownLength - line.Length))}");
        _output.Flush();
        _shownLength = line.Length;
    }

    /// <summary>Ends the rewritten line, so that what follows starts on its own.</summary>
    public void Dispose()
    {
        if (_isTerminal && _shownLength > 0)
            _output.WriteLine();
        _shownLength = 0;
    }

    private string Describe(long done, long total, TimeSpan elapsed)
    {
        double rate = done / Math.Max(elapsed.TotalSeconds, 1e-3);
        string left = done >= total ? "done" : done == 0 ? "starting" : $"{Duration(TimeSpan.FromSeconds((total - done) / rate))} left";
        return string.Create(CultureInfo.InvariantCulture, $"{done} of {total} {_what} ({100.0 * done / Math.Max(total, 1):F0} %), {rate:F1}/s, {left}");
    }

    private static string Describe(EncodeTimes times)
    {
        string slowest = times.Bottleneck switch { EncodeStage.Decode => "decoding", EncodeStage.Encode => "the tower", _ => "writing" };
        return string.Create(CultureInfo.InvariantCulture,
            $"; busy: decode {100 * times.Busy(EncodeStage.Decode):F0} %, encode {100 * times.Busy(EncodeStage.Encode):F0} %, write {100 * times.Busy(EncodeStage.Write):F0} %: {slowest} sets the pace");
    }

    private static string Duration(TimeSpan time) => time.TotalHours >= 1
        ? string.Create(CultureInfo.InvariantCulture, $"{(int)time.TotalHours} h {time.Minutes} min")
        : time.TotalMinutes >= 1 ? $"{time.Minutes} min {time.Seconds} s" : $"{(int)Math.Ceiling(time.TotalSeconds)} s";
}
