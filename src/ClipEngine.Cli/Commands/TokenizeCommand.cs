using System.Buffers;
using System.CommandLine;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using ClipEngine.Cli.Arguments;
using ClipEngine.Models;
using ClipEngine.Tokenization;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine tokenize</c>: JSON lines <c>{"text","ids"}</c>, ids without padding; <c>"truncated":true</c> only where a sentence was cut.</summary>
internal static class TokenizeCommand
{
    public static Command Create()
    {
        var texts = new Argument<string[]>("text") { Description = "Sentences.", Arity = ArgumentArity.ZeroOrMore };
        var file = new Option<string?>("--file") { Description = "Sentences, one a line; .jsonl: JSON strings or objects with a \"text\"." }.ReadsText();
        var model = new Option<string?>("--model") { Description = "A folder in the OpenCLIP or transformers layout, a weights file, a configuration (.json) or a catalogue name, whose tokenizer and context length are used; without it, CLIP's." }.ReadsModel();
        var command = new Command("tokenize", "Turn sentences into token ids, as JSON lines.") { texts, file, model };
        command.SetAction(parsed => Run(TokenizerOf(parsed.GetValue(model)), parsed.GetValue(file), parsed.GetValue(texts) ?? [], Console.OpenStandardOutput(), Console.Error));
        return command;
    }

    /// <summary>The tokenizer that a model's configuration asks for.</summary>
    /// <exception cref="BadInputException">No such model, or one whose tokenizer is not CLIP's and lies not beside it.</exception>
    internal static ITokenizer TokenizerOf(string? model)
    {
        if (model is null)
            return new ClipTokenizer();

        OpenClipConfig config = ModelConfiguration.Load(model);
        bool isFolder = Directory.Exists(model);
        string? hubName = config.Text.Tokenizer.HubName;
        string beside = isFolder ? Path.Combine(model, "tokenizer.json") : "";
        ITokenizer tokenizer = hubName is null ? new ClipTokenizer(config.Text.ContextLength)
            : File.Exists(beside) ? TokenizerJson.Load(beside, config.Text.ContextLength)
            : throw new BadInputException(model, $"its tokenizer is {BadInputException.Escape(hubName)}, not CLIP's byte-pair encoding.", "Put a CLIP tokenizer.json into the model's folder, or choose another model.");
        return tokenizer.VocabularySize <= config.Text.VocabularySize
            ? tokenizer
            : throw new BadInputException(model, $"the configuration has {config.Text.VocabularySize} token ids, the tokenizer {tokenizer.VocabularySize}: its ids would lie outside the model's table.");
    }

    internal static int Run(ITokenizer tokenizer, string? file, string[] texts, Stream output, TextWriter errors)
    {
        if (file is null && texts.Length == 0)
            throw new BadInputException("tokenize", "no sentence was given.", "Write sentences behind the verb, or name a file with --file.");

        using var buffered = new BufferedStream(output, 1 << 16);
        // Readable beyond ASCII; what could end a line or steer a terminal is still escaped.
        using var json = new Utf8JsonWriter(buffered, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });
        int[] ids = new int[tokenizer.ContextLength];
        long truncated = 0;
        foreach (string text in file is null ? texts : ReadSentences(file).Concat(texts))
        {
            EncodedLength length = tokenizer.Encode(text, ids);
            json.WriteStartObject();
            json.WriteString("text", text);
            json.WriteStartArray("ids");
            foreach (int id in ids.AsSpan(0, length.Count))
                json.WriteNumberValue(id);
            json.WriteEndArray();
            if (length.IsTruncated)
            {
                json.WriteBoolean("truncated", true);
                truncated++;
            }

            json.WriteEndObject();
            json.Flush();
            json.Reset();
            buffered.WriteByte((byte)'\n');
        }

        buffered.Flush();
        if (truncated > 0)
            errors.WriteLine($"clipengine: {truncated} of the sentences did not fit {tokenizer.ContextLength} ids and lost their ends; they are marked \"truncated\".");
        return CommandRunner.Done;
    }

    internal static IEnumerable<string> ReadSentences(string file)
    {
        if (!File.Exists(file))
            throw new BadInputException(file, Directory.Exists(file) ? "a folder; a file of sentences was expected." : "there is no such file.", "Name a text file with one sentence a line, or a .jsonl file.");
        bool isJson = Path.GetExtension(file).Equals(".jsonl", StringComparison.OrdinalIgnoreCase);
        // Bytes that are no UTF-8 become U+FFFD, as the tokenizer would make of them.
        using var reader = new StreamReader(file, Encoding.UTF8);
        long number = 0;
        while (reader.ReadLine() is string line)
        {
            number++;
            if (!isJson)
                yield return line;
            else if (line.Trim().Length > 0)
                yield return ParseLine(file, number, line);
        }
    }

    private static string ParseLine(string file, long number, string line)
    {
        string problem;
        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            JsonElement root = document.RootElement;
            if (root.ValueKind == JsonValueKind.String)
                return root.GetString()!;
            if (root.ValueKind == JsonValueKind.Object && root.TryGetProperty("text", out JsonElement text) && text.ValueKind == JsonValueKind.String)
                return text.GetString()!;
            problem = "a JSON string or an object with a \"text\" string was expected.";
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            problem = $"not JSON: {BadInputException.Escape(exception.Message)}";
        }

        throw new BadInputException(file, $"line {number}: {problem}", "Write one JSON value a line, or name the file .txt.");
    }
}
