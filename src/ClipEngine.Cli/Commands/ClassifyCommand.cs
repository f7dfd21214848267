using System.CommandLine;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using ClipEngine.Audit.Specs;
using ClipEngine.Imaging;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine classify</c>: zero-shot probabilities of labels for images.</summary>
internal static class ClassifyCommand
{
    /// <summary>Labels shown for an image in the plain output; <c>--json</c> has all of them.</summary>
    private const int ShownLabels = 5;

    public static Command Create()
    {
        var model = new ModelArguments();
        var inputs = new ImageArguments();
        Option<string> labels = new("--labels") { Description = $"The labels: {LabelList.Description}.", Required = true };
        Option<string[]> templates = new("--template") { Description = "A prompt with {} where the label goes; several are averaged. None: the label itself." };
        Option<bool> json = new("--json") { Description = "One JSON object a line, with the probabilities of all labels." };
        var command = new Command("classify", "Say which of some labels fits each image.") { labels, templates, json };
        inputs.AddTo(command);
        model.AddTo(command);
        command.SetAction((parsed, cancellation) => Task.Run(() =>
        {
            LabelList list = LabelList.Read(parsed.GetValue(labels)!);
            string[] names = [.. list.Labels];
            var leftOut = new LeftOutFiles();
            IReadOnlyList<string> files = inputs.Find(parsed, leftOut);
            var skipped = new SkippedImages(leftOut);
            using LoadedModel loaded = model.Load(parsed, preprocessing: inputs.Preprocessing(parsed));
            FeatureMatrix labelFeatures = loaded.Model.EncodeLabels(names, parsed.GetValue(templates), cancellation);
            if (labelFeatures.Truncated.Count > 0)
                Console.Error.WriteLine($"clipengine: {labelFeatures.Truncated.Count} of the labels did not fit {loaded.Model.Tokenizer.ContextLength} ids and lost their ends; the first is number {labelFeatures.Truncated[0] + 1}.");
            FeatureMatrix images;
            using (var progress = new Progress("images"))
                images = EncodeImages(loaded.Model, files, inputs.SkipsBad(parsed) ? skipped : null, progress, cancellation);
            files = skipped.Kept(files);
            Classification result = loaded.Model.Classify(images, names, labelFeatures, cancellation);
            Console.Error.WriteLine($"clipengine: {list.Origin}");
            if (parsed.GetValue(json))
                WriteJson(files, result, loaded.Model.Notices);
            else
                WriteTable(files, result);
            if (skipped.Summary() is { Length: > 0 } summary)
                Console.Error.WriteLine($"clipengine: classified {files.Count} images{summary}");
            return CommandRunner.Done;
        }, cancellation));
        return command;
    }

    private static FeatureMatrix EncodeImages(ClipModel model, IReadOnlyList<string> files, SkippedImages? skipped, Progress progress, CancellationToken cancellation)
    {
        if (skipped is null)
            return model.EncodeImages(files, progress: progress, cancellationToken: cancellation);
        using var images = ImageCollection.Open(files, cancellation);
        var rows = new List<float>();
        model.EncodeImages(images, (_, features) => rows.AddRange(features), progress: progress, skipped: (index, refusal) => skipped.Add(index, files[index], refusal), cancellationToken: cancellation);
        int kept = files.Count - skipped.Skipped.Count;
        return kept > 0 ? new FeatureMatrix([.. rows], model.Encoder.ImageFeatureShape(kept)) : throw new BadInputException("images", $"none of the {files.Count} images can be read.");
    }

    private static void WriteTable(IReadOnlyList<string> files, Classification result)
    {
        for (int image = 0; image < result.Count; image++)
        {
            IEnumerable<string> best = result[image].Take(ShownLabels)
                .Select(label => string.Create(CultureInfo.InvariantCulture, $"{BadInputException.Escape(label.Label)} {label.Probability:F4}"));
            Console.Out.WriteLine($"{BadInputException.Escape(files[image], 1000)}\t{string.Join('\t', best)}");
        }
    }

    private static void WriteJson(IReadOnlyList<string> files, Classification result, IReadOnlyList<string> notices)
    {
        using Stream output = new BufferedStream(Console.OpenStandardOutput());
        using var writer = new Utf8JsonWriter(output, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        for (int image = 0; image < result.Count; image++)
        {
            writer.WriteStartObject();
            writer.WriteString("image", files[image]);
            writer.WriteString("label", result[image].Label);
            writer.WriteStartObject("probabilities");
            for (int label = 0; label < result.Labels.Count; label++)
                writer.WriteNumber(result.Labels[label], result[image].Probabilities[label]);
            writer.WriteEndObject();
            if (notices.Count > 0)
            {
                writer.WriteStartArray("notices");
                foreach (string notice in notices)
                    writer.WriteStringValue(notice);
                writer.WriteEndArray();
            }

            writer.WriteEndObject();
            writer.Flush();
            writer.Reset();
            output.WriteByte((byte)'\n');
        }
    }
}
