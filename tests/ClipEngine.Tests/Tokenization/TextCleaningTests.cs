using ClipEngine.Tokenization;

namespace ClipEngine.Tests.Tokenization;

/// <summary>Expected values come from the documentation and examples of ftfy and of Python's <c>html.unescape</c> and <c>str.lower</c>.</summary>
public sealed class TextCleaningTests
{
    [Theory]
    [InlineData("ﬂuﬃeﬆ", "fluffiest")]
    [InlineData("ＬＯＵＤ　ＮＯＩＳＥＳ", "LOUD NOISES")]
    [InlineData("Ｕﾀｰﾝ", "Uターン")]
    [InlineData("“here’s a test”", "\"here's a test\"")]
    [InlineData("a\r\nb\rc\u2028d\u2029e", "a\nb\nc\nd\ne")]
    [InlineData("\u0085.", "….")]
    [InlineData("\u0093x\u0094", "\"x\"")]
    [InlineData("\u001b[36;44mI'm blue\u001b[0m", "I'm blue")]
    [InlineData("\ufeffbom\0\u0007\u206a\ufffc", "bom")]
    [InlineData("e\u0301", "é")]
    [InlineData("P&EACUTE;REZ", "PÉREZ")]
    [InlineData("BUNDESSTRA&SZLIG;E", "BUNDESSTRASSE")]
    [InlineData("&ntilde; &Ntilde; &NTILDE; &nTILDE;", "ñ Ñ Ñ &nTILDE;")]
    [InlineData("&lt;tag&gt;", "<tag>")]
    [InlineData("<&lt;", "<&lt;")]
    [InlineData("&amp;amp;amp;", "&")]
    [InlineData("this&not that &not", "this&not that &not")]
    [InlineData("&lt;\n<\n&lt;", "<\n<\n&lt;")]
    [InlineData("&#x1F600;&#128512;", "😀😀")]
    [InlineData("trÃ¨s prÃ©s Ñ¸ Ż¤", "très prés Ѹ ݤ")]
    public void RepairsAsFtfy(string text, string expected) => Assert.Equal(expected, TextRepair.Repair(text));

    [Theory]
    [InlineData("&copy 2020 &copy2020 &notit; &notin; &not", "© 2020 ©2020 ¬it; ∉ ¬")]
    [InlineData("&#233; &#xE9 &#0; &#x110000; &#x80; &#1; &#99999999999999999999;", "é é \ufffd \ufffd €  \ufffd")]
    [InlineData("& &; &# &#; &#x; &a &unknown;", "& &; &# &#; &#x; &a &unknown;")]
    [InlineData("&amp;amp;", "&amp;")]
    [InlineData("&NewLine;&Tab;", "\n\t")]
    public void UnescapesAsTheHtmlStandard(string text, string expected) => Assert.Equal(expected, HtmlEntities.Unescape(text));

    [Theory]
    [InlineData("İSTANBUL ß ẞ ı", "i̇stanbul ß ß ı")]
    [InlineData("ΑΣ ΣΑΣ Σ ΑΣ' ΑΣ'Α", "ας σας σ ας' ασ'α")]
    public void LowersAsPython(string text, string expected) => Assert.Equal(expected, UnicodeCase.Lower(text));

    [Theory]
    [InlineData("\u212b", "Å")]
    [InlineData("s\u0323\u0307", "\u1e69")]
    [InlineData("s\u0307\u0323", "\u1e69")]
    [InlineData("\u1100\u1161\u11a8", "각")]
    [InlineData("\uac00\u11a8", "각")]
    [InlineData("\u0958", "\u0915\u093c")]
    [InlineData("\ud834\udd5e", "\ud834\udd57\ud834\udd65")]
    [InlineData("a\u0315\u0300\u05ae\u0062", "\u00e0\u05ae\u0315b")]
    [InlineData("\u1100\u0300\u1161", "\u1100\u0300\u1161")]
    [InlineData("plain é", "plain é")]
    public void ComposesAsUnicode(string text, string expected) => Assert.Equal(expected, UnicodeComposition.Compose(text));

    /// <summary>Not inline data: attributes are stored as UTF-8, which has no lone surrogates.</summary>
    [Fact]
    public void LoneSurrogatesAreReplaced() => Assert.Equal("\ufffd \ufffd 😀", TextRepair.Repair("\ud83d \ude00 \ud83d\ude00"));

    [Fact]
    public void WhiteSpaceIsThatOfPython() =>
        Assert.Equal("a b c d", TextCleaning.Clean(" A\u00a0\u2003B\u001c\t C\u3000D\n"));
}
