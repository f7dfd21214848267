using System.Text;
using ClipEngine.Audit.Specs;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Specs;

public sealed class StarterSpecTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TheColumnsAreFoundAndTheSpecIsValid()
    {
        Directory.CreateDirectory(_folder.File("portraits"));
        File.WriteAllBytes(_folder.File("portraits", "0.png"), [1]);
        File.WriteAllText(_folder.File("people.csv"), "number,path,subject,gender,age,race\n" + string.Concat(Enumerable.Range(0, 60).Select(static i => $"{i},{i}.png,p{i / 2},{"FM"[i % 2]},{20 + i},{"ABW"[i % 3]}\n")));
        string text = Encoding.UTF8.GetString(StarterSpec.From(_folder.File("people.csv")));
        AuditSpec spec = SpecReader.Parse("starter", Encoding.UTF8.GetBytes(text));
        Assert.Equal(("number", "path", "subject"), (spec.Probe.Id, spec.Probe.File, spec.Probe.Person));
        Assert.Equal(["race", "gender"], spec.Probe.Group);
        Assert.Equal(_folder.File("portraits"), spec.Probe.Images);
        Assert.Contains("FILL IN", text, StringComparison.Ordinal);
    }

    [Fact]
    public void ATableWithoutGroupsIsRefused()
    {
        File.WriteAllText(_folder.File("t.csv"), "id,age\n" + string.Concat(Enumerable.Range(0, 60).Select(static i => $"{i},{i}\n")));
        string message = Assert.Throws<BadInputException>(() => StarterSpec.From(_folder.File("t.csv"))).Message;
        Assert.Contains("the columns are id, age", message, StringComparison.Ordinal);
    }
}
