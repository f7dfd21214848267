using System.Text.RegularExpressions;
using ClipEngine.Testing;

namespace ClipEngine.PublicApi.Tests;

/// <summary>
/// The code that README and docs/dotnet-api.md show is the code of <see cref="DotnetApiExamples"/>, or for TorchSharp of that backend's own tests: same
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
        MatchCollection readme = Block().Matches(File.ReadAllText(Path.Combine(TestData.RepositoryRoot, "README.md")));
        Assert.NotEmpty(readme);
        foreach (Match block in blocks.Concat(readme))
        {
            string[] compiled = block.Value.Contains("torch.", StringComparison.Ordinal) ? torch : examples;
            int at = 0;
            foreach (string line in Lines(block.Groups["code"].Value))
            {
                int found = Array.IndexOf(compiled, line, at);
                Assert.True(found >= 0, $"this line of README or docs/dotnet-api.md is not in the tests, or not behind the lines before it: {line}");
                at = found + 1;
            }
        }
    }

    private static string[] Lines(string code) =>
        [.. code.Split('\n').Select(line => Text().Replace(Comment().Replace(line, ""), "\"\"").Trim()).Where(line => line.Length > 0)];

    [GeneratedRegex("```csharp\n(?<code>.*?)```", RegexOptions.Singleline | RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Block();

    [GeneratedRegex(@"\$?""[^""]*""", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Text();

    [GeneratedRegex(@"\s+// .*$", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Comment();
}
