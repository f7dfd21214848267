using ClipEngine.Checkpoints;

namespace ClipEngine.Tests.Checkpoints;

/// <summary>List PX: names that would lead out of their folder on some system, judged alike on all of them.</summary>
public class SafeNamesTests
{
    [Theory]
    [InlineData("../../x")]
    [InlineData("a/../../b")]
    [InlineData("a\\..\\b")]
    [InlineData("C:\\x")]
    [InlineData("D:foo")]
    [InlineData("\\\\host\\share")]
    [InlineData("/etc/x")]
    [InlineData("%2e%2e/")]
    [InlineData("%252e%252e%252f")]
    [InlineData("..;/")]
    [InlineData("a\0b")]
    [InlineData("x.")]
    [InlineData("x ")]
    [InlineData(" x")]
    [InlineData("CON")]
    [InlineData("con.txt")]
    [InlineData("AUX.safetensors")]
    [InlineData("LPT1")]
    [InlineData("a:b")]
    [InlineData("a\u2215b")]
    [InlineData("a\uFF0Fb")]
    [InlineData("\u202Egnp.exe")]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("~root")]
    public void NamesThatLeadElsewhereAreNoFileNames(string name) => Assert.False(SafeNames.IsFileName(name));

    [Fact]
    public void TooLongIsNoFileName() => Assert.False(SafeNames.IsFileName(new string('a', 300)));

    [Theory]
    [InlineData("model-00001-of-00002.safetensors")]
    [InlineData("open_clip_pytorch_model.bin")]
    [InlineData("console.txt")]
    [InlineData(".hidden")]
    public void OrdinaryNamesAreFileNames(string name) => Assert.True(SafeNames.IsFileName(name));
}
