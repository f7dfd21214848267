using System.Text;
using System.Text.Json;
using ClipEngine.Files;
using ClipEngine.Models;

namespace ClipEngine;

/// <summary>Turns BERT's ids back into text, as transformers' <c>decode(skip_special_tokens=True)</c> does.</summary>
internal sealed class WordPieceText
{
    private static readonly string[] s_special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

    // What stands before these is taken away, one token at a time (the Rust library's cleanup of a WordPiece decoder).
    private static readonly string[] s_closers = [".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"];

    private readonly string[] _pieces;

    private WordPieceText(string[] pieces) => _pieces = pieces;

    /// <summary>Reads <c>vocab.txt</c>, one piece a line, or the vocabulary of <c>tokenizer.json</c>.</summary>
    /// <param name="folder">Of the model.</param>
    /// <exception cref="BadInputException">Neither is there, or it is no such file.</exception>
    public static WordPieceText Load(string folder)
    {
        string list = Path.Combine(folder, "vocab.txt"), json = Path.Combine(folder, "tokenizer.json");
        try
        {
            if (FilePlace.IsFile(list))
                return new WordPieceText(File.ReadAllLines(list, new UTF8Encoding(false, throwOnInvalidBytes: true)));
            if (!FilePlace.IsFile(json))
                throw new BadInputException(folder, "its vocabulary is not there: neither vocab.txt nor tokenizer.json lies beside the weights.", "Fetch the tokenizer's files of the model's repository.");
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(json));
            if (!document.RootElement.TryGetProperty("model", out JsonElement model) || !model.TryGetProperty("vocab", out JsonElement vocabulary) || vocabulary.ValueKind != JsonValueKind.Object)
                throw new BadInputException(json, "holds no vocabulary of pieces (model.vocab).");
            var pieces = new SortedDictionary<int, string>();
            foreach (JsonProperty piece in vocabulary.EnumerateObject())
                pieces[piece.Value.GetInt32()] = piece.Name;
            string[] all = new string[pieces.Count == 0 ? 0 : checked(Math.Min(pieces.Last().Key, 1 << 24) + 1)];
            Array.Fill(all, "");
            foreach ((int id, string piece) in pieces.Where(pair => pair.Key >= 0 && pair.Key < all.Length))
                all[id] = piece;
            return new WordPieceText(all);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or JsonException or DecoderFallbackException or InvalidOperationException or FormatException)
        {
            throw new BadInputException(folder, $"its vocabulary cannot be read: {BadInputException.Escape(exception.Message)}", innerException: exception);
        }
    }

    /// <summary>The text of ids; special pieces and ids without a piece are left out.</summary>
    public string Decode(ReadOnlySpan<int> ids)
    {
        var text = new StringBuilder();
        bool isFirst = true;
        foreach (int id in ids)
        {
            string piece = id >= 0 && id < _pieces.Length ? _pieces[id] : "";
            if (piece.Length == 0 || s_special.Contains(piece))
                continue;
            bool goesOn = piece.StartsWith("##", StringComparison.Ordinal) && !isFirst;
            if (!isFirst && !goesOn && !s_closers.Contains(piece))
                text.Append(' ');
            text.Append(goesOn ? piece.AsSpan(2) : piece);
            isFirst = false;
        }

        return text.ToString();
    }
}
