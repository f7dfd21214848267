using System.Buffers;
using System.CommandLine;
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
        var sentences = new SentenceArguments();
        var model = new Option<string?>("--model") { Description = "A folder in the OpenCLIP or transformers layout, a weights file, a configuration (.json) or a catalogue name, whose tokenizer and context length are used; without it, CLIP's." }.ReadsModel();
        var command = new Command("tokenize", "Turn sentences into token ids, as JSON lines.") { model };
        sentences.AddTo(command);
        command.SetAction(parsed => Run(TokenizerOf(parsed.GetValue(model)), sentences.Read(parsed), Console.OpenStandardOutput(), Console.Error));
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

    internal static int Run(ITokenizer tokenizer, IEnumerable<string> sentences, Stream output, TextWriter errors)
    {
        using var buffered = new BufferedStream(output, 1 << 16);
        // Readable beyond ASCII; what could end a line or steer a terminal is still escaped.
        using var json = new Utf8JsonWriter(buffered, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });
        int[] ids = new int[tokenizer.ContextLength];
        long truncated = 0;
        foreach (string text in sentences)
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
}
