using System.CommandLine;
using System.Runtime.InteropServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Arguments;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine caption</c>: sentences about images, and the logits and ids behind them for comparisons.</summary>
internal static class CaptionCommand
{
    public static Command Create()
    {
        var model = new ModelArguments();
        var images = new ImageArguments();
        var search = new SearchArguments();
        var prompt = new Option<string?>("--prompt") { Description = "Words that every caption goes on from, such as \"a picture of\"." };
        var json = new Option<bool>("--json") { Description = "One JSON object a line, with the ids." };
        var command = new Command("caption", "Write a sentence about each image.") { prompt, json };
        images.AddTo(command);
        search.AddTo(command);
        model.AddTo(command);
        command.Subcommands.Add(CreateRaw());
        command.SetAction((parsed, cancellation) => Task.Run(() =>
        {
            var leftOut = new LeftOutFiles();
            IReadOnlyList<string> files = images.Find(parsed, leftOut);
            var skipped = new SkippedImages(leftOut);
            CaptionOptions options = search.Read(parsed);
            using CaptionModel captioner = model.LoadCaptioner(parsed, out IBackend backend, images.Preprocessing(parsed));
            using (backend)
            {
                // Both at once: a missing vocabulary is said before anything is computed.
                int[] ids = parsed.GetValue(prompt) is { } words ? captioner.EncodePrompt(words) : [];
                captioner.Decode([]);
                search.Check(options, captioner);
                int given = Math.Max(1, ids.Length - 1); // the end token of the prompt does not count
                if (given > options.MaximumLength)
                    throw new BadInputException("--prompt", $"has {given} ids, a caption may have {options.MaximumLength} in all.", "Shorten it, or give a larger --max-length.");
                for (int image = 0; image < files.Count; image++)
                {
                    int[] written;
                    try
                    {
                        written = captioner.Caption(files[image], ids, options, cancellation);
                    }
                    catch (BadInputException refusal) when (images.SkipsBad(parsed))
                    {
                        skipped.Add(image, files[image], refusal);
                        continue;
                    }

                    Write(files[image], captioner.Decode(written), written, parsed.GetValue(json));
                }
            }

            if (skipped.Summary() is { Length: > 0 } summary)
                Console.Error.WriteLine($"clipengine: captioned {skipped.Kept(files).Length} images{summary}");
            return CommandRunner.Done;
        }, cancellation));
        return command;
    }

    private static Command CreateRaw()
    {
        var model = new ModelArguments();
        var search = new SearchArguments();
        Option<string> input = new Option<string>("--input") { Description = "A safetensors file with \"pixels\" or \"pixel_values\" [n, 3, height, width]; \"input_ids\" or \"tokens\" [m, length] with \"attention_mask\" and \"image_of_text\" [m] where wanted; \"prompt_ids\" [1, length] as the tokenizer gives them.", Required = true }.ReadsFile();
        Option<string> output = new Option<string>("--out") { Description = "A safetensors file: \"logits\" of input_ids, and \"generated\" ids for every image.", Required = true }.WritesFile();
        var command = new Command("raw", "Logits of given ids, and generated ids, for comparisons with other implementations.") { input, output };
        search.AddRawTo(command);
        model.AddTo(command);
        command.SetAction((parsed, cancellation) => Task.Run(() => RunRaw(model, search, parsed, parsed.GetValue(input)!, parsed.GetValue(output)!, cancellation), cancellation));
        return command;
    }

    private static int RunRaw(ModelArguments model, SearchArguments search, ParseResult parsed, string input, string path, CancellationToken cancellation)
    {
        if (!Path.GetExtension(path).Equals(".safetensors", StringComparison.OrdinalIgnoreCase))
            throw new BadInputException(path, "expected a name ending in .safetensors.");
        CaptionOptions options = search.Read(parsed);
        using ICheckpoint file = Checkpoint.OpenAsStored(input);
        string pixelName = RawInput.Find(file, "pixels", "pixel_values") ?? throw new BadInputException(input, "expected a tensor 'pixels' or 'pixel_values'; found neither.");
        using CaptionModel captioner = model.LoadCaptioner(parsed, out IBackend backend);
        using (backend)
        {
            var captions = captioner.Captioner;
            search.Check(options, captioner);
            (int height, int width) = (captions.Preprocess.Height, captions.Preprocess.Width);
            StoredTensor stored = file.Tensors[pixelName];
            if (stored.Dimensions is not [var count, 3, var rows, var columns] || rows != height || columns != width || count < 1)
                throw new BadInputException(input, $"{pixelName}: expected [n, 3, {height}, {width}], found {stored}.");
            float[] pixels = file.ReadSingles(pixelName);
            int one = 3 * height * width;
            var writer = new SafetensorsWriter();
            if (RawInput.Find(file, "input_ids", "tokens") is { } idName)
            {
                StoredTensor given = file.Tensors[idName];
                if (given.Dimensions is not [var texts, var length] || texts < 1 || length < 1 || length > captions.CaptionLength)
                    throw new BadInputException(input, $"{idName}: expected [m, 1 to {captions.CaptionLength}], found {given}.");
                int[] ids = RawInput.ReadIds(file, idName, captions.VocabularySize), lengths = RawInput.ReadLengths(file, (int)texts, (int)length);
                int[] imageOf = file.Tensors.ContainsKey("image_of_text") ? RawInput.ReadIds(file, "image_of_text", (int)count) : [.. Enumerable.Range(0, (int)texts)];
                if (imageOf.Length != texts || imageOf.Any(image => image >= count))
                    throw new BadInputException(input, $"expected an image for each of {texts} sentences ('image_of_text'), found {count} images.");
                var logits = new List<float>();
                for (int text = 0; text < texts; text++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    logits.AddRange(captioner.Score(pixels.AsSpan(imageOf[text] * one, one), ids.AsSpan(text * (int)length, (int)length), (int)length, [lengths[text]]));
                }

                writer.Add("logits", logits.ToArray(), texts, length, captions.CaptionVocabulary);
            }

            int[] prompt = file.Tensors.ContainsKey("prompt_ids") ? RawInput.ReadIds(file, "prompt_ids", captions.VocabularySize) : [];
            if (prompt.Length > options.MaximumLength)
                throw new BadInputException(input, $"prompt_ids has {prompt.Length} ids, a caption may have {options.MaximumLength} in all.", "Shorten it, or give a larger --max-length.");
            int[][] written = [.. Enumerable.Range(0, (int)count).Select(image => captioner.Generate(pixels.AsSpan(image * one, one), prompt, options, cancellation))];
            int longest = written.Max(static ids => ids.Length);
            // As the originals fill the rows that ended.
            int filling = options.Beams > 1 && captions.Style == CaptionStyle.Transformers ? captions.EndId : captions.PaddingId;
            long[] generated = [.. written.SelectMany(ids => ids.Concat(Enumerable.Repeat(filling, longest - ids.Length))).Select(static id => (long)id)];
            writer.Add("generated", ElementType.Int64, [count, longest], MemoryMarshal.AsBytes(generated.AsSpan()).ToArray());
            writer.Write(path);
        }

        Console.Error.WriteLine($"clipengine: wrote {path}");
        return CommandRunner.Done;
    }

    private static void Write(string file, string caption, int[] ids, bool asJson)
    {
        if (!asJson)
        {
            Console.Out.WriteLine($"{BadInputException.Escape(file, 300)}\t{caption}");
            return;
        }

        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("image", file);
            json.WriteString("caption", caption);
            json.WriteStartArray("ids");
            foreach (int id in ids)
                json.WriteNumberValue(id);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        Console.Out.WriteLine(System.Text.Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length));
    }

    /// <summary>How captions are searched for.</summary>
    private sealed class SearchArguments
    {
        private readonly Option<int> _beams = new Option<int>("--beams") { Description = "Sentences followed side by side; 1 takes the likeliest word at every step.", DefaultValueFactory = _ => 1 }.Between(1, 64);
        private readonly Option<int> _groups = new Option<int>("--beam-groups") { Description = "Groups that the beams are split into, each searched by itself (CoCa).", DefaultValueFactory = _ => 1 }.Between(1, 64);
        private readonly Option<int?> _topK = new Option<int?>("--top-k") { Description = "Draw every word from this many of the likeliest." }.Between(1, 1 << 20);
        private readonly Option<double?> _topP = new Option<double?>("--top-p") { Description = "Draw every word from the likeliest ones whose probabilities add up to this." }.Between(1e-6, 1);
        private readonly Option<double> _temperature = new Option<double>("--temperature") { Description = "Divides the logits that words are drawn by; above 1 evens them out.", DefaultValueFactory = _ => 1 }.Between(0.01, 100);
        private readonly Option<int> _seed = new Option<int>("--seed") { Description = "Where random numbers begin: the same words for the same image and seed.", DefaultValueFactory = _ => 0 }.Between(0, int.MaxValue);
        private readonly Option<int> _longest = new Option<int>("--max-length") { Description = "Ids of a caption at most, the first one and the prompt among them.", DefaultValueFactory = _ => 20 }.Between(1, 512);
        private readonly Option<int> _shortest = new Option<int>("--min-length") { Description = "Ids of a caption at least.", DefaultValueFactory = _ => 0 }.Between(0, 512);
        private readonly Option<double> _penalty = new Option<double>("--repetition-penalty") { Description = "Makes ids that are there already less likely; 1 for none.", DefaultValueFactory = _ => 1 }.Between(0.01, 100);

        private readonly Option<int?> _end = new Option<int?>("--end-id") { Description = "The id that ends a caption, in place of the model's." }.Between(0, int.MaxValue);

        public void AddTo(Command command)
        {
            foreach (Option option in new Option[] { _beams, _groups, _topK, _topP, _temperature, _seed, _longest, _shortest, _penalty })
                command.Options.Add(option);
        }

        /// <summary>What only comparisons of ids need.</summary>
        public void AddRawTo(Command command)
        {
            AddTo(command);
            command.Options.Add(_end);
        }

        /// <summary>Refuses what does not fit the model or each other, by the option's name.</summary>
        public void Check(CaptionOptions options, CaptionModel captioner)
        {
            if (options.FindProblem(captioner.Captioner) is not { } problem)
                return;
            Option option = problem.Property switch
            {
                nameof(CaptionOptions.BeamGroups) => _groups,
                nameof(CaptionOptions.TopK) => _topK,
                nameof(CaptionOptions.TopP) => _topP,
                nameof(CaptionOptions.Temperature) => _temperature,
                nameof(CaptionOptions.MaximumLength) => _longest,
                nameof(CaptionOptions.MinimumLength) => _shortest,
                nameof(CaptionOptions.RepetitionPenalty) => _penalty,
                nameof(CaptionOptions.EndId) => _end,
                _ => _beams,
            };
            throw new BadInputException(option.Name, problem.Message);
        }

        public CaptionOptions Read(ParseResult parsed) => new()
        {
            Beams = parsed.GetValue(_beams),
            BeamGroups = parsed.GetValue(_groups),
            TopK = parsed.GetValue(_topK),
            TopP = parsed.GetValue(_topP),
            Temperature = parsed.GetValue(_temperature),
            Seed = parsed.GetValue(_seed),
            EndId = parsed.GetValue(_end),
            MaximumLength = parsed.GetValue(_longest),
            MinimumLength = parsed.GetValue(_shortest),
            RepetitionPenalty = parsed.GetValue(_penalty),
        };
    }
}
