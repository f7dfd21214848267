using System.Buffers;
using System.Text;
using ClipEngine.Tokenization;
using Microsoft.ML.Tokenizers;

namespace ClipEngine.Tokenizers;

/// <summary>A tokenizer of ClipEngine behind the interface of Microsoft.ML.Tokenizers; see <see cref="TokenizerExtensions.AsMicrosoftTokenizer"/>.</summary>
internal sealed class MicrosoftTokenizer(ITokenizer inner) : Tokenizer
{
    /// <inheritdoc/>
    public override OperationStatus Decode(IEnumerable<int> ids, Span<char> destination, out int idsConsumed, out int charsWritten)
    {
        ArgumentNullException.ThrowIfNull(ids);
        idsConsumed = 0;
        charsWritten = 0;
        Decoder decoder = Encoding.UTF8.GetDecoder();
        int waiting = 0; // ids whose bytes end inside a character
        foreach (int id in ids)
        {
            ReadOnlySpan<byte> bytes = inner.BytesOf(id).Span;
            if (decoder.GetCharCount(bytes, flush: false) > destination.Length - charsWritten)
                return OperationStatus.DestinationTooSmall;
            decoder.Convert(bytes, destination[charsWritten..], flush: false, out _, out int chars, out _);
            charsWritten += chars;
            waiting = chars > 0 || bytes.IsEmpty ? 0 : waiting + 1;
            idsConsumed++;
        }

        return waiting == 0 ? OperationStatus.Done : OperationStatus.NeedMoreData;
    }

    /// <inheritdoc/>
    public override string Decode(IEnumerable<int> ids)
    {
        ArgumentNullException.ThrowIfNull(ids);
        var bytes = new ArrayBufferWriter<byte>();
        foreach (int id in ids)
            bytes.Write(inner.BytesOf(id).Span);
        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    /// <inheritdoc/>
    protected override EncodeResults<EncodedToken> EncodeToTokens(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        int[] ids = Encode(text ?? textSpan.ToString(), out int fullCount);
        bool isWhole = fullCount <= ids.Length && ids.Length <= settings.MaxTokenCount;
        var tokens = new List<EncodedToken>(Math.Min(ids.Length, settings.MaxTokenCount));
        var normalized = new StringBuilder();
        Decoder decoder = Encoding.UTF8.GetDecoder();
        int consumed = 0;
        for (int i = 0; i < ids.Length; i++)
        {
            ReadOnlySpan<byte> bytes = inner.BytesOf(ids[i]).Span;
            char[] chars = new char[decoder.GetCharCount(bytes, flush: i == ids.Length - 1)];
            decoder.GetChars(bytes, chars, flush: i == ids.Length - 1);
            int start = normalized.Length;
            normalized.Append(chars);
            if (i >= settings.MaxTokenCount)
                continue;
            tokens.Add(new EncodedToken(ids[i], new string(chars), start..normalized.Length));
            consumed = normalized.Length;
        }

        return new EncodeResults<EncodedToken> { Tokens = tokens, NormalizedText = normalized.ToString(), CharsConsumed = isWhole ? normalized.Length : consumed };
    }

    /// <inheritdoc/>
    protected override EncodeResults<int> EncodeToIds(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        string whole = text ?? textSpan.ToString();
        int[] ids = Encode(whole, out int fullCount);
        // Only how far a cut sentence was taken needs the tokens' texts.
        if (fullCount <= ids.Length && ids.Length <= settings.MaxTokenCount)
            return new EncodeResults<int> { Tokens = ids, NormalizedText = null, CharsConsumed = whole.Length };
        EncodeResults<EncodedToken> tokens = EncodeToTokens(whole, textSpan, settings);
        return new EncodeResults<int> { Tokens = [.. tokens.Tokens.Select(token => token.Id)], NormalizedText = tokens.NormalizedText, CharsConsumed = tokens.CharsConsumed };
    }

    /// <inheritdoc/>
    protected override int CountTokens(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        Encode(text ?? textSpan.ToString(), out int fullCount);
        return Math.Min(fullCount, settings.MaxTokenCount);
    }

    private int[] Encode(string text, out int fullCount)
    {
        if (inner is TextTokenizer own)
        {
            // No padding, which may stand in front, and no bound where the files name none.
            int[] whole = own.Encode(text, out EncodedLength taken);
            fullCount = taken.FullCount;
            return whole;
        }

        int[] ids = new int[inner.ContextLength];
        EncodedLength length = inner.Encode(text, ids);
        fullCount = length.FullCount;
        return ids[..length.Count];
    }
}
