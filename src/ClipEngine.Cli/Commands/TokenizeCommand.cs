using System.Buffers;
using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using ClipEngine.Cli.Arguments;
using ClipEngine.Tokenization;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine tokenize</c>: JSON lines <c>{"text","ids"}</c>, ids without padding; <c>"truncated":true</c> only where a sentence was cut.</summary>
internal static class TokenizeCommand
{
    public static Command Create()
    {
        var sentences = new SentenceArguments();
        var model = new Option<string?>("--model") { Description = "A folder in the OpenCLIP or transformers layout, a weights file, a configuration (.json) or a catalogue name, whose tokenizer and context length are used; without it, CLIP's." }.ReadsModel();
        var tokenizer = new Option<string?>("--tokenizer") { Description = "A tokenizer's folder, or its file: tokenizer.json, vocab.txt, vocab.json, spiece.model, tokenizer.model." }.ReadsModel();
        var like = new Option<string?>("--like") { Description = "Whose pipeline: open_clip (its text cleaning first), transformers (the default for --tokenizer), or file (the file as it stands, no cleaning)." }.OneOf("open_clip", "transformers", "file");
        var className = new Option<string?>("--class") { Description = "transformers' tokenizer class, such as BertTokenizer, where it is not the folder's own choice." };
        var context = new Option<int?>("--context") { Description = "Ids of a sentence at most, special tokens included; without it 77 for open_clip, else what the files say." }.Between(1, 1 << 20);
        var clean = new Option<string?>("--clean") { Description = "open_clip's text cleaning: whitespace (its default for --tokenizer), lower (its default for CLIP's own) or canonicalize." }.OneOf("whitespace", "lower", "canonicalize");
        var language = new Option<string?>("--language") { Description = "NLLB's language code, such as zho_Hans. open_clip 3.3 with transformers 5.24 passes it on in vain, and so does --like open_clip." };
        var stripSeparator = new Option<bool>("--strip-sep") { Description = "open_clip's strip_sep_token: every separator becomes 0, as CLIPA's models have it." };
        var command = new Command("tokenize", "Turn sentences into token ids, as JSON lines.") { model, tokenizer, like, className, context, clean, language, stripSeparator };
        sentences.AddTo(command);
        command.SetAction(parsed =>
        {
            string? path = parsed.GetValue(tokenizer), style = parsed.GetValue(like);
            var options = new TokenizerOptions
            {
                Like = style switch { "open_clip" => TokenizerStyle.OpenClip, "file" => TokenizerStyle.File, _ => TokenizerStyle.Transformers },
                ClassName = parsed.GetValue(className),
                ContextLength = parsed.GetValue(context),
                Clean = parsed.GetValue(clean) switch { "whitespace" => TextClean.Whitespace, "lower" => TextClean.Lower, "canonicalize" => TextClean.Canonicalize, _ => null },
                Language = parsed.GetValue(language),
                StripSeparator = parsed.GetValue(stripSeparator),
            };
            bool asks = style is not null || options != new TokenizerOptions();
            if (parsed.GetValue(model) is { } named)
            {
                if (path is not null || asks)
                    throw new BadInputException("--model", "a model has its own tokenizer, and options of --tokenizer were given with it.", "Leave one of them away.");
                return Run(ModelTokenizer.Load(named), sentences.Read(parsed), Console.OpenStandardOutput(), Console.Error);
            }

            ITokenizer chosen = path is not null ? TokenizerFolder.Load(path, options) : ClipOwn(style, options);
            return Run(chosen, sentences.Read(parsed), Console.OpenStandardOutput(), Console.Error);
        });
        return command;
    }

    /// <summary>CLIP's own vocabulary, which needs no file: open_clip's rules, or those of transformers' class.</summary>
    private static ITokenizer ClipOwn(string? style, TokenizerOptions options)
    {
        if (style == "file" || options.ClassName is not null || options.Language is not null || options.StripSeparator)
            throw new BadInputException("--tokenizer", "no tokenizer was named that --like file, --class, --language or --strip-sep could be about.", "Name its folder or its file.");
        if (style == "transformers")
        {
            return options.Clean is null
                ? TokenizerFolder.Clip(options)
                : throw new BadInputException("--clean", "transformers cleans nothing.", "Ask for --like open_clip, or leave --clean away.");
        }

        return options.ContextLength is null or >= 2
            ? new ClipTokenizer(options.ContextLength ?? ClipTokenizer.DefaultContextLength, options.Clean ?? TextClean.Lower)
            : throw new BadInputException("--context", $"a sentence may have {options.ContextLength} ids, of which special tokens take 2.", "Choose a longer context.");
    }

    internal static int Run(ITokenizer tokenizer, IEnumerable<string> sentences, Stream output, TextWriter errors)
    {
        using var buffered = new BufferedStream(output, 1 << 16);
        // Readable beyond ASCII; what could end a line or steer a terminal is still escaped.
        using var json = new Utf8JsonWriter(buffered, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });
        int[]? row = tokenizer is TextTokenizer ? null : new int[tokenizer.ContextLength];
        long truncated = 0;
        foreach (string text in sentences)
        {
            EncodedLength length;
            ReadOnlySpan<int> ids;
            if (tokenizer is TextTokenizer unpadded)
            {
                ids = unpadded.Encode(text, out length);
            }
            else
            {
                length = tokenizer.Encode(text, row);
                ids = row.AsSpan(0, length.Count);
            }

            json.WriteStartObject();
            json.WriteString("text", text);
            json.WriteStartArray("ids");
            foreach (int id in ids)
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
