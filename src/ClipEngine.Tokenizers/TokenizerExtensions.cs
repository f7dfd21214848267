using ClipEngine.Tokenization;
using Microsoft.ML.Tokenizers;

namespace ClipEngine.Tokenizers;

/// <summary>Tokenizers of ClipEngine and of Microsoft.ML.Tokenizers in each other's place.</summary>
public static class TokenizerExtensions
{
    /// <summary>A model's tokenizer for whoever works with Microsoft.ML.Tokenizers: counting tokens, cutting texts, looking at tokens.</summary>
    /// <param name="tokenizer">As <see cref="ClipModel.Tokenizer"/> has it.</param>
    /// <remarks>
    /// <para>Ids are those that the model takes, the start and the end of the sentence included. A sentence longer than the model's context is cut
    /// as it is for the model; <c>CountTokens</c> tells how many tokens the whole would have.</para>
    /// <para>Cleaning and splitting are part of what a model was trained with and always done, whatever <c>considerNormalization</c> and
    /// <c>considerPreTokenization</c> say. The normalized text is what the tokens spell; their offsets refer to it.</para>
    /// <para>Tokens, offsets and decoding need a tokenizer that knows its ids' texts (<see cref="ITokenizer.BytesOf"/>); ids and counts do not.</para>
    /// </remarks>
    public static Tokenizer AsMicrosoftTokenizer(this ITokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        return new MicrosoftTokenizer(tokenizer);
    }

    /// <summary>Any tokenizer of Microsoft.ML.Tokenizers for a model: <c>new ClipModelOptions { Tokenizer = bpe.ForModel(...) }</c>.</summary>
    /// <param name="tokenizer">Thread-safe, as those of the library are.</param>
    /// <param name="options">What a model expects around the words.</param>
    /// <exception cref="ArgumentException">Options that contradict each other.</exception>
    public static ITokenizer ForModel(this Tokenizer tokenizer, ModelTokenizerOptions options)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(options);
        return new TokenizerForModel(tokenizer, options);
    }
}
