using System.CommandLine;
using System.Text.Json;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;
using ClipEngine.Imaging;
using ClipEngine.Models;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine preprocess</c>: what an image tower would see of each image, as uint8 <c>[height, width, 3]</c>.</summary>
internal static class PreprocessCommand
{
    public static Command Create()
    {
        var images = new ImageArguments();
        Option<string> output = new Option<string>("--out") { Description = "The folder for the crops: one .npy for each image, named after it with its extension.", Required = true }.WritesFolder();
        Option<string?> model = new("--model", "-m") { Description = "The model whose preprocessing is used: a folder in the OpenCLIP or transformers layout, a weights file, or a catalogue name." };
        Option<string?> configuration = new("--config") { Description = ModelArguments.ConfigDescription };
        Option<string?> imageSize = new("--image-size") { Description = "With a model: another image size than it was trained at, N or HEIGHTxWIDTH." };
        Option<int?> size = new Option<int?>("--size") { Description = "Without a model: rows and columns of the crops." }.Between(1, 16384);
        Option<string?> mode = new Option<string?>("--mode") { Description = "Without a model: shortest (the default; resize the shorter side, crop the centre) or squash." }.OneOf("shortest", "squash");
        Option<string?> interpolation = new Option<string?>("--interpolation") { Description = "Without a model: bicubic (the default) or bilinear." }.OneOf("bicubic", "bilinear");
        Option<int?> threads = new Option<int?>("--threads") { Description = "Processor threads; as many as there are unless said." }.Between(1, ModelArguments.MostThreads);
        Option<bool> json = new("--json") { Description = "Say on standard output what was written, as JSON." };
        var command = new Command("preprocess", "Decode, resize and crop images bit for bit as open_clip and transformers do (with Pillow 13, Pillow 12 or torchvision).")
        {
            output, model, configuration, imageSize, size, mode, interpolation, threads, json,
        };
        images.AddTo(command);
        command.SetAction((parsed, cancellation) => Task.Run(() =>
        {
            PreprocessOverrides overrides = images.Preprocessing(parsed);
            PreprocessOptions options = overrides.Apply(Options(
                parsed.GetValue(model), parsed.GetValue(configuration), parsed.GetValue(imageSize), parsed.GetValue(size), parsed.GetValue(mode), parsed.GetValue(interpolation), overrides));
            int workers = parsed.GetValue(threads) ?? Environment.ProcessorCount;
            var leftOut = new LeftOutFiles();
            IReadOnlyList<string> files = images.Find(parsed, leftOut);
            string folder = parsed.GetValue(output)!;
            string[] targets = Targets(files, folder);
            BadInputException?[] refusals = Run(new ImagePreprocessor(options), files, targets, workers, cancellation);
            return Report(parsed.GetValue(json), folder, options, files, targets, refusals, leftOut, images.SkipsBad(parsed));
        }, cancellation));
        return command;
    }

    /// <summary>The model's own preprocessing, or the one that is spelled out; never a mixture.</summary>
    internal static PreprocessOptions Options(string? model, string? configuration, string? imageSize, int? size, string? mode, string? interpolation, PreprocessOverrides overrides)
    {
        if (model is not null || configuration is not null)
        {
            if (size is not null || mode is not null || interpolation is not null)
                throw new BadInputException("preprocess", "--size, --mode and --interpolation come with the model; both were given.", "Leave out either --model or them.");
            ModelPlan plan = ModelConfiguration.Plan(model ?? configuration!, configuration);
            if (plan.Packing is not null)
                throw new BadInputException(model ?? configuration!, "takes images of any shape, in patches: there is no crop of one size.", "clipengine embed makes the patches itself.");
            return ModelArguments.ParseImageSize(imageSize) is { } other ? plan.PreprocessAt(other) : plan.Preprocess;
        }

        if (imageSize is not null)
            throw new BadInputException("preprocess", "--image-size changes a model's size, and no model was given.", "Say --model M, or --size N.");
        if (size is null)
            throw new BadInputException("preprocess", "neither a model nor a size was given.", "Say --model M, or --size N with --mode and --interpolation.");
        var options = new PreprocessOptions
        {
            Height = size.Value,
            Width = size.Value,
            ResizeMode = mode switch
            {
                null or "shortest" => ResizeMode.Shortest,
                "squash" => ResizeMode.Squash,
                _ => throw new BadInputException("--mode", $"expected shortest or squash, found '{BadInputException.Escape(mode)}'."),
            },
            Interpolation = interpolation switch
            {
                null or "bicubic" => Interpolation.Bicubic,
                "bilinear" => Interpolation.Bilinear,
                _ => throw new BadInputException("--interpolation", $"expected bicubic or bilinear, found '{BadInputException.Escape(interpolation)}'."),
            },
        };
        // Without a model, the resampler says whose pixels are meant: torchvision's come with the other rules of transformers.
        return overrides.Resampler == Resampler.Torchvision ? options.AsTransformers() : options;
    }

    /// <summary>One file for each image. Two images of one name would overwrite each other, so they are refused before anything is written.</summary>
    internal static string[] Targets(IReadOnlyList<string> files, string folder)
    {
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        var targets = new string[files.Count];
        for (int i = 0; i < targets.Length; i++)
        {
            string name = Path.GetFileName(files[i]);
            if (!names.TryAdd(name, files[i]))
            {
                throw new BadInputException(files[i], $"has the same file name as {BadInputException.Escape(names[name])}; both would become {BadInputException.Escape(name)}.npy.",
                    "Give them different names, or preprocess them into different folders.");
            }

            targets[i] = Path.Combine(folder, name + ".npy");
        }

        return targets;
    }

    private static BadInputException?[] Run(ImagePreprocessor preprocessor, IReadOnlyList<string> files, string[] targets, int workers, CancellationToken cancellation)
    {
        var refusals = new BadInputException?[files.Count];
        using var progress = new Progress("images");
        int done = 0;
        using var buffers = new ThreadLocal<byte[]>(() => new byte[preprocessor.ElementCount]);
        try
        {
            Parallel.For(0, files.Count, new ParallelOptions { MaxDegreeOfParallelism = workers, CancellationToken = cancellation }, i =>
            {
                try
                {
                    preprocessor.CropFile(files[i], buffers.Value!);
                    NpyFile.Write<byte>(targets[i], buffers.Value!, preprocessor.Options.Height, preprocessor.Options.Width, 3);
                }
                catch (BadInputException exception)
                {
                    refusals[i] = exception; // the others are worth having all the same
                }

                lock (progress)
                    progress.Report(++done, files.Count);
            });
        }
        catch (AggregateException exception)
        {
            // A full disk meets several threads at once; the first to tell speaks for all.
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(exception.InnerExceptions[0]);
        }

        return refusals;
    }

    private static int Report(bool json, string folder, PreprocessOptions options, IReadOnlyList<string> files, string[] targets, BadInputException?[] refusals, LeftOutFiles leftOut, bool skipsBad)
    {
        int refused = refusals.Count(refusal => refusal is not null);
        foreach (BadInputException? refusal in refusals)
        {
            if (refusal is not null)
                Console.Error.WriteLine($"clipengine: {refusal.Message}");
        }

        Console.Error.WriteLine($"clipengine: wrote {files.Count - refused} of {files.Count} images as [{options.Height}, {options.Width}, 3] to {BadInputException.Escape(folder)}{(leftOut.Total > 0 ? $"; {leftOut}" : "")}");
        if (json)
            WriteJson(folder, options, files, targets, refusals, leftOut);
        return refused == 0 || (skipsBad && refused < files.Count) ? CommandRunner.Done : CommandRunner.BadInput;
    }

    private static void WriteJson(string folder, PreprocessOptions options, IReadOnlyList<string> files, string[] targets, BadInputException?[] refusals, LeftOutFiles leftOut)
    {
        using Stream output = Console.OpenStandardOutput();
        using (var writer = new Utf8JsonWriter(output))
        {
            writer.WriteStartObject();
            writer.WriteString("out", folder);
            PreprocessJson.WriteMembers(writer, options);
            writer.WriteStartArray("images");
            for (int i = 0; i < files.Count; i++)
            {
                writer.WriteStartObject();
                writer.WriteString("image", files[i]);
                if (refusals[i] is { } refusal)
                    writer.WriteString("refused", refusal.Message);
                else
                    writer.WriteString("crop", targets[i]);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
            SkippedImages.WriteLeftOut(writer, leftOut);
            writer.WriteEndObject();
        }

        output.WriteByte((byte)'\n');
    }
}
