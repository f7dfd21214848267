using System.Text.RegularExpressions;
using ClipEngine.Testing;

namespace ClipEngine.PublicApi.Tests;

/// <summary>
/// The code that docs/dotnet-api.md shows is the code of <see cref="DotnetApiExamples"/>, or for TorchSharp of that backend's own tests: same
/// lines, same order, strings and comments apart.
/// </summary>
public sealed partial class DotnetApiDocumentTests
{
    [Fact]
    public void TheCodeOfTheDocumentIsCompiledAndRun()
    {
        string folder = Path.Combine(TestData.RepositoryRoot, "tests");
        string[] examples = Lines(File.ReadAllText(Path.Combine(folder, "ClipEngine.PublicApi.Tests", "DotnetApiExamples.cs")));
        string[] torch = Lines(File.ReadAllText(Path.Combine(folder, "ClipEngine.TorchSharp.Tests", "ClipModelExtensionsTests.cs")));
        string document = File.ReadAllText(Path.Combine(TestData.RepositoryRoot, "docs", "dotnet-api.md"));
        MatchCollection blocks = Block().Matches(document);
        Assert.True(blocks.Count >= 8);
        foreach (Match block in blocks)
        {
            string[] compiled = block.Value.Contains("torch.", StringComparison.Ordinal) ? torch : examples;
            int at = 0;
            foreach (string line in Lines(block.Groups["code"].Value))
            {
                int found = Array.IndexOf(compiled, line, at);
                Assert.True(found >= 0, $"this line of docs/dotnet-api.md is not in the tests, or not behind the lines before it: {line}");
                at = found + 1;
            }
        }
    }

    [Fact]
    public void ItsLinksLeadSomewhere()
    {
        string docs = Path.Combine(TestData.RepositoryRoot, "docs");
        string[] targets = [.. Link().Matches(File.ReadAllText(Path.Combine(docs, "dotnet-api.md"))).Select(match => match.Groups["target"].Value)];
        Assert.NotEmpty(targets);
        Assert.All(targets, target => Assert.True(File.Exists(Path.Combine(docs, target)), target));
    }

    private static string[] Lines(string code) =>
        [.. code.Split('\n').Select(line => Text().Replace(Comment().Replace(line, ""), "\"\"").Trim()).Where(line => line.Length > 0)];

    [GeneratedRegex("```csharp\n(?<code>.*?)```", RegexOptions.Singleline | RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Block();

    [GeneratedRegex(@"\$?""[^""]*""", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Text();

    [GeneratedRegex(@"\s+// .*$", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Comment();

    [GeneratedRegex(@"\]\((?<target>[^)#:]+)\)", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Link();
}
