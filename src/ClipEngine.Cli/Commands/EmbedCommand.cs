using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using ClipEngine.Audit.Metrics;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Arguments;
using ClipEngine.Cli.Parts;
using ClipEngine.Files;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine embed image|text|raw</c>: features of images, of sentences, or of pixels and token ids as they are.</summary>
internal static class EmbedCommand
{
    public static Command Create() => new("embed", "Turn images or sentences into features.") { CreateImage(), CreateText(), CreateRaw() };

    private static Command CreateImage()
    {
        var model = new ModelArguments();
        var inputs = new ImageArguments(takesShards: true);
        Option<string?> output = new Option<string?>("--out") { Description = OutputDescription }.WritesFile();
        Option<string?> retrieval = new Option<string?>("--clip-retrieval") { Description = "In place of --out: a folder in the layout of clip-retrieval (img_emb/img_emb_0.npy in float16, metadata/metadata_0.parquet); each part is a partition." }.WritesFolder();
        var shard = new Option<string?>(PartNumber.OptionName) { Description = "Make only part I of N, as 2/10, into NAME.part-I-of-N.safetensors beside --out, unless it is there; 'merge' makes --out of all parts." };
        Option<bool> json = JsonOption();
        var command = new Command("image", "Features of image files: one row for each, in the order given.") { output, retrieval, shard, json };
        inputs.AddTo(command);
        model.AddTo(command);
        command.SetAction((parsed, cancellation) => Task.Run(() =>
        {
            string? path = parsed.GetValue(output), layout = parsed.GetValue(retrieval);
            if ((path is null) == (layout is null))
                throw new BadInputException("--out", path is null ? "is missing." : "cannot stand beside --clip-retrieval.", "Name one file with --out, or one folder with --clip-retrieval.");
            if (path is not null)
                FeatureFile.RequireKnownExtension(path);
            PartNumber? number = parsed.GetValue(shard) is { } text ? PartNumber.Parse(text) : null;
            var leftOut = new LeftOutFiles();
            IReadOnlyList<string> files = inputs.Find(parsed, leftOut);
            bool isJson = parsed.GetValue(json);
            if (number is null && path is not null)
                return RunImages(model, inputs, parsed, path, files, leftOut, isJson, cancellation);
            IPartFile part = path is not null ? new FeaturePartFile(path, number!.Value) : new RetrievalPartition(layout!, number ?? new PartNumber(1, 1));
            return RunPart(model, inputs, parsed, part, files, leftOut, isJson, cancellation);
        }, cancellation));
        return command;
    }

    private static int RunImages(ModelArguments model, ImageArguments inputs, ParseResult parsed, string path, IReadOnlyList<string> files, LeftOutFiles leftOut, bool json, CancellationToken cancellation)
    {
        using var images = ImageCollection.Open(files, cancellation);
        leftOut.Add(images.LeftOut);
        var skipped = new SkippedImages(leftOut);
        long start = Stopwatch.GetTimestamp();
        using LoadedModel loaded = model.Load(parsed, ModelTowers.Image, inputs.Preprocessing(parsed), planned: options => images.BeginFirst(options, cancellation));
        TimeSpan load = Stopwatch.GetElapsedTime(start);
        Shape shape = loaded.Model.Encoder.ImageFeatureShape(images.Count);
        EncodeTimes times = default;
        string preprocessing = PreprocessNames.Describe(loaded.Model.Preprocessor.Options);
        using (var progress = new Progress("images"))
        {
            if (inputs.SkipsBad(parsed))
            {
                shape = FeatureFile.WriteKeptRows(path, FeaturePart.Features, shape, images, skipped, preprocessing,
                    rows => times = loaded.Model.EncodeImages(images, rows, normalize: false, progress, (index, refusal) => skipped.Add(index, images[index], refusal), cancellation));
            }
            else
            {
                FeatureFile.WriteRows(path, FeaturePart.Features, shape, new ListedNames(images), preprocessing, rows => times = loaded.Model.EncodeImages(images, rows, normalize: false, progress, cancellationToken: cancellation));
            }
        }

        return Report(json, path, loaded.Model, [shape], [], new Speed(images.Count, load, times), skipped, inputs.SkipsBad(parsed));
    }

    /// <summary>One part of the images into a file of its own, unless it is there.</summary>
    private static int RunPart(ModelArguments model, ImageArguments inputs, ParseResult parsed, IPartFile part, IReadOnlyList<string> files, LeftOutFiles leftOut, bool json, CancellationToken cancellation)
    {
        ValueRules.RefuseAsOutput(PartNumber.OptionName, part.Path, files);
        var own = new PartInputs(files, part.Number);
        bool skipsBad = inputs.SkipsBad(parsed);
        PreprocessOverrides preprocessing = inputs.Preprocessing(parsed);
        IBackend backend = model.OpenBackend(parsed);
        PartRun run;
        try
        {
            run = new PartRun([
                .. model.Identify(parsed, backend), new("version", AuditAssembly.Version), new("inputs", own.Whole), new("preprocessing", preprocessing.ToString()),
                new("images that cannot be read", skipsBad ? "are listed" : "end the run"),
            ]);
            if (part.IsThere(run, own.Own, cancellation))
            {
                backend.Dispose();
                return ReportThere(json, part);
            }
        }
        catch
        {
            backend.Dispose();
            throw;
        }

        long start = Stopwatch.GetTimestamp();
        using LoadedModel loaded = model.Load(parsed, backend, ModelTowers.Image, preprocessing);
        TimeSpan load = Stopwatch.GetElapsedTime(start);
        using ImageCollection images = own.Open(part.NeedsDescriptions, cancellation);
        leftOut.Add(images.LeftOut);
        var skipped = new SkippedImages(leftOut);
        EncodeTimes times = default;
        Shape shape;
        using (var progress = new Progress("images"))
        {
            shape = part.Write(run, own.Own, loaded.Model.Encoder.ImageFeatureShape(images.Count), images, PreprocessNames.Describe(loaded.Model.Preprocessor.Options), skipped, skipsBad,
                rows => times = loaded.Model.EncodeImages(images, rows, normalize: false, progress, skipsBad ? (index, refusal) => skipped.Add(index, images[index], refusal) : null, cancellation));
        }

        return Report(json, part.Path, loaded.Model, [shape], [], new Speed(images.Count, load, times), skipped);
    }

    private static int ReportThere(bool json, IPartFile part)
    {
        if (!json)
        {
            Console.Error.WriteLine($"clipengine: part {part.Number} is there already: {part.Path}");
            return CommandRunner.Done;
        }

        using Stream output = Console.OpenStandardOutput();
        using (var writer = new Utf8JsonWriter(output))
        {
            writer.WriteStartObject();
            writer.WriteString("out", part.Path);
            writer.WriteBoolean("made", value: false);
            writer.WriteEndObject();
        }

        output.WriteByte((byte)'\n');
        return CommandRunner.Done;
    }

    private static Command CreateText()
    {
        var model = new ModelArguments();
        var sentences = new SentenceArguments();
        Option<string> output = OutputOption();
        Option<bool> json = JsonOption();
        var command = new Command("text", "Features of sentences: one row for each, in the order given.") { output, json };
        sentences.AddTo(command);
        model.AddTo(command);
        command.SetAction((parsed, cancellation) => Task.Run(() =>
        {
            string path = Output(parsed, output);
            string[] texts = sentences.ReadAll(parsed);
            using LoadedModel loaded = model.Load(parsed, ModelTowers.Text);
            using var progress = new Progress("sentences");
            FeatureMatrix features = loaded.Model.EncodeTexts(texts, normalize: false, progress, cancellation);
            if (features.Truncated.Count > 0)
                Console.Error.WriteLine($"clipengine: {features.Truncated.Count} of the sentences did not fit {loaded.Model.Tokenizer.ContextLength} ids and lost their ends; the first is number {features.Truncated[0] + 1}.");
            string tokenizer = loaded.Model.Encoder.Tokenizer.Describe();
            FeatureFile.Write(path, "text_features", features, texts, tokenizer);
            return Report(parsed.GetValue(json), path, loaded.Model, [features.Shape], features.Truncated, tokenizer: tokenizer);
        }, cancellation));
        return command;
    }

    private static Command CreateRaw()
    {
        var model = new ModelArguments();
        Option<string> input = new Option<string>("--input") { Description = "A safetensors file with \"pixels\" [n, 3, height, width], \"tokens\" [m, length], or both; \"pixel_values\", \"input_ids\" and \"attention_mask\" as transformers calls them.", Required = true }.ReadsFile();
        Option<string> output = OutputOption();
        Option<bool> json = JsonOption();
        var command = new Command("raw", "Features of preprocessed pixels and of token ids, for comparisons with other implementations.") { input, output, json };
        model.AddTo(command);
        command.SetAction((parsed, cancellation) => Task.Run(() => RunRaw(model, parsed, parsed.GetValue(input)!, parsed.GetValue(output)!, parsed.GetValue(json), cancellation), cancellation));
        return command;
    }

    private static int RunRaw(ModelArguments model, ParseResult parsed, string input, string path, bool json, CancellationToken cancellation)
    {
        if (!Path.GetExtension(path).Equals(".safetensors", StringComparison.OrdinalIgnoreCase))
            throw new BadInputException(path, "expected a name ending in .safetensors.");
        using ICheckpoint file = Checkpoint.OpenAsStored(input);
        string? pixelName = RawInput.Find(file, "pixels", "pixel_values"), tokenName = RawInput.Find(file, "tokens", "input_ids");
        if (pixelName is null && tokenName is null)
            throw new BadInputException(input, "expected a tensor 'pixels' (or 'pixel_values'), 'tokens' (or 'input_ids') or both; found neither.");
        ModelTowers towers = tokenName is null ? ModelTowers.Image : pixelName is not null ? ModelTowers.Both : ModelTowers.Text;
        using LoadedModel loaded = model.Load(parsed, towers);
        ClipModel clip = loaded.Model;
        var writer = new SafetensorsWriter();
        var written = new List<FeatureMatrix>();
        int[] ids = [];
        int idsOfASentence = 0;
        if (pixelName is not null)
        {
            float[] values = clip.Encoder.Packing is { } packing ? RawInput.Pack(file, pixelName, packing, out long packed) : RawInput.ReadPixels(file, pixelName, clip.Encoder.Preprocess, out packed);
            Shape shape = clip.Encoder.ImageFeatureShape(checked((int)packed));
            float[] features = new float[shape.ElementCount];
            clip.EncodePixels(values, features, normalize: false);
            written.Add(new FeatureMatrix(features, shape));
            FeatureFile.Add(writer, "image_features", written[^1], written[^1].Normalized());
        }

        cancellation.ThrowIfCancellationRequested();
        if (tokenName is not null)
        {
            StoredTensor tokens = file.Tensors[tokenName];
            if (tokens.Dimensions is not [var count, var length] || length < 1 || length > clip.Encoder.ContextLength)
                throw new BadInputException(input, $"{tokenName}: expected [m, 1 to {clip.Encoder.ContextLength}], found {tokens}.");
            Shape shape = clip.Encoder.TextFeatureShape(checked((int)count), (int)length);
            float[] features = new float[shape.ElementCount];
            ids = RawInput.ReadIds(file, tokenName, clip.Encoder.VocabularySize);
            idsOfASentence = (int)length;
            if (clip.Encoder is IPairScorer masking)
                Hide(ids, RawInput.ReadLengths(file, (int)count, idsOfASentence), idsOfASentence, masking.PaddingId);
            clip.EncodeTokens(ids, idsOfASentence, features, normalize: false);
            written.Add(new FeatureMatrix(features, shape));
            FeatureFile.Add(writer, "text_features", written[^1], written[^1].Normalized());
        }

        // Of a scorer of pairs an image may have several vectors, of which the closest counts; what another model does not pool has no score.
        if (pixelName is not null && tokenName is not null && (written[0].Shape.Rank == 2 || clip.Encoder is IPairScorer) && written[1].Shape.Rank == 2)
            AddScores(writer, clip.Encoder, written[0].Normalized(), written[1].Normalized());
        if (clip.Encoder is IPairScorer scorer && pixelName is not null && tokenName is not null)
        {
            long images = written[0].Shape[0], sentences = written[1].Shape[0];
            float[] logits = new float[images * sentences * 2];
            PairScoring.Score(scorer, file.ReadSingles(pixelName), ids, idsOfASentence, logits, PairScoring.SentenceBatch, cancellation);
            writer.Add("itm_logits", logits, images, sentences, 2);
        }

        writer.Write(path);
        return Report(json, path, clip, [.. written.Select(features => features.Shape)], []);
    }

    /// <summary>The cosines as the model scales them, the largest over an image's vectors; of a scorer of pairs, which scales nothing, under its own name.</summary>
    private static void AddScores(SafetensorsWriter writer, IDualEncoder encoder, FeatureMatrix images, FeatureMatrix texts)
    {
        float[] scores = new float[images.Shape[0] * texts.Shape[0]];
        for (int image = 0; image < images.Shape[0]; image++)
        {
            for (int text = 0; text < texts.Shape[0]; text++)
            {
                double best = double.NegativeInfinity;
                for (int start = 0; start < images.Length; start += texts.Length)
                    best = Math.Max(best, Dot(images[image].Slice(start, texts.Length), texts[text]));
                scores[(image * texts.Shape[0]) + text] = (float)((encoder.LogitScale * best) + (encoder.LogitBias ?? 0));
            }
        }

        writer.Add(encoder is IPairScorer ? "itc" : "logits", scores, images.Shape[0], texts.Shape[0]);
    }

    /// <summary>In double precision and in order: the same bits on every processor, in native code too.</summary>
    private static double Dot(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        double sum = 0;
        for (int i = 0; i < left.Length; i++)
            sum += (double)left[i] * right[i];
        return sum;
    }

    /// <summary>Ids that a mask hides become padding, which the model hides.</summary>
    private static void Hide(int[] ids, int[] lengths, int length, int padding)
    {
        for (int row = 0; row < lengths.Length; row++)
            ids.AsSpan(row * length, length)[lengths[row]..].Fill(padding);
    }

    private const string OutputDescription = "The file of features: .npy, .parquet or .arrow (normalised), or .safetensors (both forms).";

    private static Option<string> OutputOption() => new Option<string>("--out") { Description = OutputDescription, Required = true }.WritesFile();

    private static Option<bool> JsonOption() => new("--json") { Description = "Say on standard output what was written, as JSON." };

    private static string Output(ParseResult parsed, Option<string> output)
    {
        string path = parsed.GetValue(output)!;
        FeatureFile.RequireKnownExtension(path);
        return path;
    }

    private static int Report(bool json, string path, ClipModel model, Shape[] shapes, IReadOnlyList<int> truncated, Speed? speed = null, SkippedImages? skipped = null, bool isListed = false, string? tokenizer = null)
    {
        if (!json)
        {
            Console.Error.WriteLine($"clipengine: wrote {string.Join(" and ", Array.ConvertAll(shapes, static shape => shape.ToString()))} to {path}{skipped?.Summary(isListed ? path : null)}");
            return CommandRunner.Done;
        }

        using Stream output = Console.OpenStandardOutput();
        using (var writer = new Utf8JsonWriter(output))
        {
            writer.WriteStartObject();
            writer.WriteString("out", path);
            writer.WriteStartArray("shapes");
            foreach (Shape shape in shapes)
            {
                writer.WriteStartArray();
                for (int i = 0; i < shape.Rank; i++)
                    writer.WriteNumberValue(shape[i]);
                writer.WriteEndArray();
            }

            writer.WriteEndArray();
            writer.WriteStartArray("truncated");
            foreach (int row in truncated)
                writer.WriteNumberValue(row);
            writer.WriteEndArray();
            writer.WriteStartArray("notices");
            foreach (string notice in model.Notices)
                writer.WriteStringValue(notice);
            writer.WriteEndArray();
            if (speed is not null)
            {
                writer.WriteStartObject("preprocessing");
                PreprocessJson.WriteMembers(writer, model.Preprocessor.Options);
                writer.WriteEndObject();
                speed.WriteTo(writer);
            }

            if (tokenizer is not null)
                writer.WriteString("tokenizer", tokenizer);
            skipped?.WriteMembers(writer);
            writer.WriteNumber("weight_bytes", model.WeightBytes);
            using var process = System.Diagnostics.Process.GetCurrentProcess();
            writer.WriteNumber("peak_memory_bytes", process.PeakWorkingSet64);
            writer.WriteEndObject();
        }

        output.WriteByte((byte)'\n');
        return CommandRunner.Done;
    }

    /// <summary>How fast images were embedded, and what held them up.</summary>
    private sealed record Speed(int Images, TimeSpan Load, EncodeTimes Times)
    {
        public void WriteTo(Utf8JsonWriter writer)
        {
            writer.WriteNumber("images", Images);
            writer.WriteNumber("load_seconds", Load.TotalSeconds);
            writer.WriteNumber("seconds", Times.Elapsed.TotalSeconds);
            writer.WriteNumber("images_per_second", Images / Math.Max(Times.Elapsed.TotalSeconds, 1e-9));
            writer.WriteString("bottleneck", Name(Times.Bottleneck));
            writer.WriteStartObject("stages");
            foreach ((EncodeStage stage, TimeSpan time, int threads) in new[] { (EncodeStage.Decode, Times.Decode, Times.DecodeThreads), (EncodeStage.Encode, Times.Encode, 1), (EncodeStage.Write, Times.Write, 1) })
            {
                writer.WriteStartObject(Name(stage));
                writer.WriteNumber("seconds", time.TotalSeconds);
                writer.WriteNumber("threads", threads);
                writer.WriteNumber("busy", Times.Busy(stage));
                writer.WriteEndObject();
            }

            writer.WriteEndObject();
        }

        private static string Name(EncodeStage stage) => stage switch { EncodeStage.Decode => "decode", EncodeStage.Encode => "encode", _ => "write" };
    }
}
