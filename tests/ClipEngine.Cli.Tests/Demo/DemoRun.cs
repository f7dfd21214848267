using ClipEngine.Cli.Commands;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests.Demo;

/// <summary>The demo, run once as users run it, and its table of group rates read back.</summary>
public sealed class DemoRun : IAsyncLifetime, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    internal ProcessOutcome Outcome { get; private set; } = null!;

    internal string Directory => _folder.File("out");

    /// <summary>Rate at which each label won, by (model, group, label).</summary>
    internal Dictionary<(string Model, string Group, string Label), double> Rates { get; private set; } = [];

    /// <summary>Share of training captions, by (model, group, label).</summary>
    internal Dictionary<(string Model, string Group, string Label), double> Planted { get; private set; } = [];

    public async Task InitializeAsync()
    {
        Outcome = await CommandLine.RunAsync("demo", "--out", Directory);
        Assert.True(Outcome.ExitCode == 0, Outcome.ToString());
        Rates = File.ReadLines(Path.Combine(Directory, "tables", "groups.csv")).Skip(1).Select(line => line.Split(','))
            .Where(cells => cells[2] == "ArgmaxFrequency" && cells[6] != "(all)")
            .ToDictionary(cells => (cells[1], cells[6], cells[4]), cells => double.Parse(cells[8]));
        Planted = File.ReadLines(Path.Combine(DemoCommand.Data, "planted.csv")).Skip(1).Select(line => line.Split(','))
            .ToDictionary(cells => (cells[0], cells[3], cells[4]), cells => double.Parse(cells[5]));
    }

    public Task DisposeAsync() => Task.CompletedTask;

    public void Dispose() => _folder.Dispose();
}
