using System.Text.Json.Nodes;
using ClipEngine.Testing;

namespace ClipEngine.Cli.Tests;

/// <summary>Hosts have their own culture and globalization; files and reports have the same bytes all the same.</summary>
public sealed class CultureTests
{
    [SkippableTheory]
    [InlineData("de_DE")]
    [InlineData("tr_TR")]
    [InlineData("ar_SA")]
    public async Task AnAuditHasTheSameBytesUnderEveryCulture(string culture)
    {
        Skip.IfNot(OperatingSystem.IsLinux() && Directory.EnumerateFiles("/usr/lib", "libicuuc.so*", SearchOption.AllDirectories).Any(), "the libraries of ICU, which cultures come from, are not there");
        using var folder = new TemporaryFolder();
        string program = Path.Combine(AppContext.BaseDirectory, "ClipEngine.Cli.dll"), host = folder.File("host.json");
        JsonNode configuration = JsonNode.Parse(File.ReadAllText(Path.ChangeExtension(program, ".runtimeconfig.json")))!;
        configuration["runtimeOptions"]!["configProperties"]!["System.Globalization.Invariant"] = false;
        configuration["runtimeOptions"]!["configProperties"]!["System.Globalization.PredefinedCulturesOnly"] = false;
        File.WriteAllText(host, configuration.ToJsonString());
        ClipEngine.Files.NpyFile.Write<float>(folder.File("p.npy"), [.. Enumerable.Range(0, 40).SelectMany(static row => new[] { row / 40f, 1 - (row / 40f) })], 40, 2);
        File.WriteAllText(folder.File("m.csv"), "id,group\n" + string.Concat(Enumerable.Range(0, 40).Select(static row => $"{row},g{row % 3}\n")));
        string[] rows = [.. Enumerable.Range(0, 40).Select(static row => $"{row % 2},{row % 5 * 0.25:0.##}\n")];
        File.WriteAllText(folder.File("a.csv"), "s,y\n" + string.Concat(rows));
        string[][] lines =
        [
            ["audit", "scores", "--softmax", folder.File("p.npy"), "--metadata", folder.File("m.csv"), "--group", "group", "--labels", "i,ii", "--scale", "100", "--resamples", "99", "--out"],
            ["audit", "curation", "--images", folder.File("p.npy"), "--texts", folder.File("p.npy"), "--metadata", folder.File("m.csv"), "--group", "group", "--thresholds", "0.5", "--out"],
            ["balance", folder.File("a.csv"), "--sensitive", "s", "--labels", "y", "--target", "0.5", "--out"],
        ];
        string language = culture + ".UTF-8";
        for (int i = 0; i < lines.Length; i++)
        {
            string result = i.ToString(System.Globalization.CultureInfo.InvariantCulture);
            ProcessOutcome plain = await CommandLine.RunAsync([.. lines[i], Path.Combine(folder.File("plain"), result)]);
            Assert.True(plain.ExitCode == 0, plain.ToString());
            ProcessOutcome other = await ProcessRunner.RunAsync("dotnet", ["exec", "--runtimeconfig", host, program, .. lines[i], Path.Combine(folder.File("other"), result)], environment: new Dictionary<string, string?> { ["LC_ALL"] = language, ["LANG"] = language });
            Assert.True(other.ExitCode == 0, other.ToString());
        }

        string[] files = [.. Directory.EnumerateFiles(folder.File("plain"), "*", SearchOption.AllDirectories)];
        Assert.True(files.Length > 5);
        Assert.All(files, file => Assert.Equal(File.ReadAllBytes(file), File.ReadAllBytes(Path.Combine(folder.File("other"), Path.GetRelativePath(folder.File("plain"), file)))));
    }
}
