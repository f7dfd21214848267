using System.Text;
using ClipEngine.Tokenization;
using Microsoft.ML.Tokenizers;

namespace ClipEngine.Tokenizers;

/// <summary>A tokenizer of Microsoft.ML.Tokenizers as a model wants it: a row of a fixed length with start, end and padding.</summary>
internal sealed class TokenizerForModel : ITokenizer
{
    private readonly Tokenizer _inner;
    private readonly ModelTokenizerOptions _options;
    private readonly int? _ownEnd;

    public TokenizerForModel(Tokenizer inner, ModelTokenizerOptions options)
    {
        int around = (options.StartId is null ? 0 : 1) + (options.EndId is null ? 0 : 1);
        if (options.ContextLength <= around)
            throw new ArgumentException($"A context of {options.ContextLength} ids has no room for a word.", nameof(options));
        foreach (int id in new[] { options.StartId ?? 0, options.EndId ?? 0, options.PaddingId })
        {
            if (id < 0 || id >= options.VocabularySize)
                throw new ArgumentException($"Id {id} is not in a vocabulary of {options.VocabularySize}.", nameof(options));
        }

        _inner = inner;
        _options = options;
        _ownEnd = inner.EncodeToIds("") is [.., int last] ? last : null;
    }

    public int ContextLength => _options.ContextLength;

    public int VocabularySize => _options.VocabularySize;

    public EncodedLength Encode(string text, Span<int> ids)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (ids.Length != ContextLength)
            throw new ArgumentException($"{ContextLength} ids were expected, the context length; there is room for {ids.Length}.", nameof(ids));
        IReadOnlyList<int> words = _inner.EncodeToIds(text);
        int used = 0, full = words.Count + (_options.StartId is null ? 0 : 1) + (_options.EndId is null ? 0 : 1);
        if (_options.StartId is { } start)
            ids[used++] = start;
        for (int i = 0; i < words.Count && used < ids.Length; i++)
        {
            if (words[i] < 0 || words[i] >= VocabularySize)
                throw new InvalidOperationException($"The tokenizer made the id {words[i]}; the vocabulary was said to have {VocabularySize}.");
            ids[used++] = words[i];
        }

        int? end = _options.EndId ?? (_ownEnd == words.LastOrDefault(-1) ? _ownEnd : null);
        if (full > ids.Length)
        {
            if (end is { } last)
                ids[^1] = last;
        }
        else if (_options.EndId is { } added)
        {
            ids[used++] = added;
        }

        ids[used..].Fill(_options.PaddingId);
        return new EncodedLength(used, full);
    }

    public ReadOnlyMemory<byte> BytesOf(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, VocabularySize);
        return Encoding.UTF8.GetBytes(_inner.Decode([id]) ?? "");
    }
}
