using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using ClipEngine.Audit.Figures;
using ClipEngine.Audit.Report;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Report;

/// <summary>The page in a browser, on a desk, on a tablet and on a phone; skipped, visibly, where there is no Chromium.</summary>
public partial class BrowserTests
{
    private static readonly int[] Widths = [1100, 500, 400, 360];

    [SkippableFact]
    public async Task NothingSticksOutOfThePageAtAnyWidthClosedOrOpened()
    {
        string? browser = Find("chromium", "chromium-browser", "google-chrome");
        Skip.If(browser is null, "no Chromium is installed");
        using var folder = new TemporaryFolder();
        var result = SampleResult.Make();
        string page = JsonSerializer.Serialize(ReportWriter.Compose(result, FigureSet.Make(result)));
        // The page runs no script of its own and lets none run: it is measured from the page around it.
        File.WriteAllText(folder.File("around.html"), $$"""
            <!doctype html><meta charset="utf-8"><body><script>
            const page = {{page}}, found = [];
            const wide = (frame, state) => {
              const root = frame.contentDocument.documentElement;
              const narrow = [...root.querySelectorAll('figure')].filter(figure => /^(group-rates|gaps|stacked|wordings|scatter)-/.test(figure.id)).map(figure => figure.querySelector('.scroll'));
              found.push({ width: frame.clientWidth, state, narrow: narrow.length, hidden: narrow.filter(box => box.scrollWidth > box.clientWidth).map(box => box.getAttribute('aria-label')), boxes: root.querySelectorAll('.scroll').length, page: root.scrollWidth,
                out: [...root.querySelectorAll('body *')].filter(element => !element.closest('.scroll table, .scroll svg, .skip') && element.getBoundingClientRect().right > frame.clientWidth + 1)
                  .slice(0, 5).map(element => element.outerHTML.slice(0, 120)) });
            };
            let left = {{Widths.Length}};
            for (const width of {{JsonSerializer.Serialize(Widths)}}) {
              const frame = document.createElement('iframe');
              frame.style = `border:0;height:900px;width:${width}px`;
              frame.onload = () => {
                wide(frame, 'closed');
                frame.contentDocument.querySelectorAll('details').forEach(part => part.open = true);
                wide(frame, 'opened');
                if (--left === 0) document.body.textContent = 'FOUND ' + JSON.stringify(found) + ' END';
              };
              frame.srcdoc = page;
              document.body.append(frame);
            }
            </script></body>
            """);
        string dumped = await RunAsync(browser!,
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--user-data-dir=" + folder.File("profile"), "--window-size=1200,900", "--virtual-time-budget=20000", "--dump-dom", "file://" + folder.File("around.html"));
        Match measured = Found().Match(dumped);
        Assert.True(measured.Success, dumped.Length > 2000 ? dumped[..2000] : dumped);
        JsonElement[] entries = [.. JsonDocument.Parse(System.Net.WebUtility.HtmlDecode(measured.Groups["json"].Value)).RootElement.EnumerateArray()];
        Assert.Equal(2 * Widths.Length, entries.Length);
        Assert.All(entries, entry =>
        {
            Assert.True(entry.GetProperty("boxes").GetInt32() > 10, entry.ToString());
            // The figures of groups are read whole on a phone, without moving them sideways.
            Assert.True(entry.GetProperty("narrow").GetInt32() > 8 && (entry.GetProperty("width").GetInt32() < 400 || entry.GetProperty("hidden").GetArrayLength() == 0), entry.ToString());
            Assert.True(entry.GetProperty("page").GetInt32() <= entry.GetProperty("width").GetInt32() && entry.GetProperty("out").GetArrayLength() == 0, entry.ToString());
        });
    }

    private static string? Find(params string[] names) =>
        names.SelectMany(name => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Where(folder => folder.Length > 0).Select(folder => Path.Combine(folder, name))).FirstOrDefault(File.Exists);

    private static async Task<string> RunAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true })!;
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        try
        {
            Task<string> errors = process.StandardError.ReadToEndAsync(patience.Token);
            string output = await process.StandardOutput.ReadToEndAsync(patience.Token);
            await process.WaitForExitAsync(patience.Token);
            await errors;
            return output;
        }
        catch (OperationCanceledException exception)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException(program + " did not end", exception);
        }
    }

    [GeneratedRegex("<body>FOUND (?<json>.*) END", RegexOptions.Singleline | RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex Found();
}
