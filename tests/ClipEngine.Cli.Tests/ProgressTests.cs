namespace ClipEngine.Cli.Tests;

public class ProgressTests
{
    [Fact]
    public void ElsewhereThanOnATerminalThereIsAPlainLineNowAndThen()
    {
        var output = new StringWriter();
        TimeSpan now = TimeSpan.Zero;
        using var progress = new Progress("images", output, isTerminal: false, () => now);
        for (int done = 1; done <= 100; done++)
        {
            now = TimeSpan.FromSeconds(done * 0.5);
            progress.Report(done, 100);
        }

        string[] lines = output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("2 of 100 images (2 %), 2.0/s, 49 s left", lines[0].TrimEnd());
        Assert.Equal("100 of 100 images (100 %), 2.0/s, done", lines[^1].TrimEnd());
        Assert.InRange(lines.Length, 5, 7);
    }

    [Fact]
    public void ThePaceSetterOfSeveralStagesIsNamed()
    {
        var output = new StringWriter();
        using (var progress = new Progress("images", output, isTerminal: false, () => TimeSpan.FromSeconds(10)))
        {
            progress.Report(new EncodeProgress(50, 100)
            {
                Times = new EncodeTimes { Elapsed = TimeSpan.FromSeconds(10), Decode = TimeSpan.FromSeconds(18), DecodeThreads = 2, Encode = TimeSpan.FromSeconds(4), Write = TimeSpan.FromSeconds(0.1) },
            });
        }

        Assert.Equal("50 of 100 images (50 %), 5.0/s, 10 s left; busy: decode 90 %, encode 40 %, write 1 %: decoding sets the pace", output.ToString().TrimEnd());
    }

    [Fact]
    public void WhatIsOverAtOnceShowsNothing()
    {
        var output = new StringWriter();
        using (var progress = new Progress("images", output, isTerminal: true, () => TimeSpan.FromSeconds(0.5)))
            progress.Report(10, 10);
        Assert.Empty(output.ToString());
    }

    [Fact]
    public void ATerminalsLineIsRewrittenAndEnded()
    {
        var output = new StringWriter();
        TimeSpan now = TimeSpan.FromSeconds(100);
        using (var progress = new Progress("images", output, isTerminal: true, () => now))
        {
            progress.Report(10, 1000);
            now = TimeSpan.FromSeconds(200);
            progress.Report(1000, 1000);
        }

        string[] frames = output.ToString().Split('\r', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(2, frames.Length);
        Assert.Contains("2 h 45 min left", frames[0]);
        Assert.EndsWith("\n", frames[1]);
        Assert.Equal(frames[0].Length, frames[1].TrimEnd('\n').Length);
    }
}
