using System.Globalization;

namespace ClipEngine.Tokenization;

/// <summary>What a regular expression calls a character: <c>\s</c>, <c>\p{L}</c>, <c>\p{N}</c> or none of them.</summary>
internal enum CharacterKind
{
    Space,
    Letter,
    Number,
    Other,
}

/// <summary>Properties of characters, by the runtime's own Unicode tables.</summary>
internal static class UnicodeKinds
{
    /// <summary>The kind of the character at the beginning of <paramref name="rest"/>, and how many UTF-16 units it takes.</summary>
    public static CharacterKind At(ReadOnlySpan<char> rest, out int width)
    {
        char first = rest[0];
        width = 1;
        if (char.IsAscii(first))
        {
            return char.IsAsciiLetter(first) ? CharacterKind.Letter
                : char.IsAsciiDigit(first) ? CharacterKind.Number
                : char.IsWhiteSpace(first) ? CharacterKind.Space : CharacterKind.Other;
        }

        if (char.IsWhiteSpace(first))
            return CharacterKind.Space;
        return CharUnicodeInfo.GetUnicodeCategory(CodePoint(rest, out width)) switch
        {
            <= UnicodeCategory.OtherLetter => CharacterKind.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => CharacterKind.Number,
            _ => CharacterKind.Other,
        };
    }

    /// <summary>The code point at the beginning; a lone surrogate is its own.</summary>
    public static int CodePoint(ReadOnlySpan<char> rest, out int width)
    {
        bool isPair = rest.Length > 1 && char.IsSurrogatePair(rest[0], rest[1]);
        width = isPair ? 2 : 1;
        return isPair ? char.ConvertToUtf32(rest[0], rest[1]) : rest[0];
    }

    /// <summary><c>\w</c> of Rust's regular expressions: letters, marks, digits, letter numbers, connectors, joiners, circled letters.</summary>
    public static bool IsWord(int code) => code is 0x200C or 0x200D or (>= 0x24B6 and <= 0x24E9)
        || CharUnicodeInfo.GetUnicodeCategory(code) is <= UnicodeCategory.LetterNumber or UnicodeCategory.ConnectorPunctuation;

    /// <summary>The code point that ends a text; -1 for an empty one.</summary>
    public static int LastCodePoint(ReadOnlySpan<char> text) => text.Length switch
    {
        0 => -1,
        > 1 when char.IsSurrogatePair(text[^2], text[^1]) => char.ConvertToUtf32(text[^2], text[^1]),
        _ => text[^1],
    };
}
