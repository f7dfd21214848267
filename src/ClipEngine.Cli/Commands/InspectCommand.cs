using System.CommandLine;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine inspect FILE|DIR</c>: on one screen what a checkpoint is, what it holds, and whether it would load.</summary>
internal static class InspectCommand
{
    private const int ShownOfEachKind = 4;

    public static Command Create()
    {
        var path = new Argument<string>("path") { Description = "A weights file, the index of a sharded one, a model's folder, or a catalogue name that was pulled." }.ReadsModel();
        var config = new Option<string?>("--config") { Description = ModelArguments.ConfigDescription };
        var json = new Option<bool>("--json") { Description = "Everything as JSON, with every tensor." };
        var command = new Command("inspect", "Show what a checkpoint is, what it holds, what would load and what would not.") { path, config, json };
        command.SetAction(parsed =>
        {
            Run(parsed.GetValue(path)!, parsed.GetValue(config), parsed.GetValue(json), Console.Out);
            return CommandRunner.Done;
        });
        return command;
    }

    internal static void Run(string path, string? configurationPath, bool asJson, TextWriter output)
    {
        if (configurationPath is not null && !FilePlace.IsFile(configurationPath) && ModelCatalogue.Models.All(model => model.Name != configurationPath))
            throw new BadInputException(configurationPath, FilePlace.IsFolder(configurationPath) ? "is a folder; a model's JSON file was expected." : "there is no such file, and the catalogue has no model of this name.", "Name a JSON file, or a model that 'clipengine models list' shows.");
        path = ModelLocation.Resolve(path);
        CatalogueEntry? origin = FilePlace.IsFolder(path) || FilePlace.IsFile(path) ? ModelCatalogue.OriginOf(path) : ModelCatalogue.TryFind(path);
        if (origin is not null && !FilePlace.IsFolder(path) && !FilePlace.IsFile(path))
        {
            using var store = new ModelStore(ModelStoreOptions.FromEnvironment());
            path = store.Use(origin).Path;
        }

        using ICheckpoint stored = Checkpoint.OpenAsStored(path);
        CheckpointLayout layout = CheckpointLayouts.Recognize(stored);
        // The view borrows what it shows: disposing the stored one is enough.
        ICheckpoint mapped = CheckpointLayouts.ToOpenClip(stored);
        string? configuration = configurationPath ?? CheckpointFit.FindConfiguration(path);
        TowerOutline? outline = TowerOutline.Of(mapped);
        CheckpointFit? fit = configuration is not null ? CheckpointFit.Check(stored, configuration)
            : origin is not null ? CheckpointFit.Check(stored, System.Text.Encoding.UTF8.GetBytes(ModelCatalogue.FindModel(origin.Model).ConfigurationFor(origin)), $"the catalogue's {origin.Name}")
            : outline is not null && CheckpointLayouts.HasOpenAiExtras(stored) ? CheckpointFit.Check(stored, outline.ToOpenAiConfiguration(), TowerOutline.OpenAiSource)
            : null;
        string[] candidates = fit is { Fits: true } ? [] : ModelConfiguration.FittingModels(mapped);
        if (asJson)
            output.WriteLine(ToJson(stored, mapped, layout, outline, fit, candidates));
        else
            WriteText(stored, mapped, layout, outline, fit, candidates, output);
    }

    private static void WriteText(ICheckpoint stored, ICheckpoint mapped, CheckpointLayout layout, TowerOutline? outline, CheckpointFit? fit, string[] candidates, TextWriter output)
    {
        output.WriteLine(BadInputException.Escape(stored.Path, 300));
        output.WriteLine($"  format   {stored.Format}");
        output.WriteLine($"  layout   {Describe(layout)}");
        string types = string.Join(", ", Types(stored).Select(static type => $"{type.Count} {type.Type}, {Megabytes(type.Bytes)}"));
        output.WriteLine($"  tensors  {stored.Tensors.Count}: {types}");
        if (stored.Metadata.Count > 0)
        {
            string metadata = string.Join(", ", stored.Metadata.Take(8).Select(static pair => $"{BadInputException.Escape(pair.Key, 40)} = {BadInputException.Escape(pair.Value, 60)}"));
            output.WriteLine($"  says     {metadata}{(stored.Metadata.Count > 8 ? $" and {stored.Metadata.Count - 8} more" : "")}");
        }

        foreach (string notice in mapped.Notices)
            output.WriteLine($"  note     {notice}");

        if (outline is not null || fit?.Plan?.Outline is not null)
        {
            output.WriteLine($"  shapes   {outline?.ToString() ?? fit!.Plan!.Outline}");
        }
        else
        {
            foreach (StoredTensor tensor in stored.Tensors.Values.OrderByDescending(static tensor => tensor.ByteLength).ThenBy(static tensor => tensor.Name, StringComparer.Ordinal).Take(5))
                output.WriteLine($"           {BadInputException.Escape(tensor.Name, 80)} {tensor}");
        }

        if (fit is null)
        {
            if (layout == CheckpointLayout.Unknown)
            {
                output.WriteLine("  loads    no: these are not the keys of a CLIP model, neither OpenCLIP's (visual.*) nor transformers' (vision_model.*).");
                return;
            }

            output.WriteLine("  config   none beside the weights: name one with --config to see whether it fits.");
            if (candidates.Length > 0)
                output.WriteLine($"           The shapes are those of {string.Join(", ", candidates)} in the catalogue; --config takes such a name.");
            output.WriteLine("           Shapes do not show the activation, the heads or the pixels' mean: a configuration is never guessed.");
            return;
        }

        output.WriteLine($"  config   {BadInputException.Escape(fit.ConfigurationPath, 200)}{(fit.Architecture is null ? "" : $" ({fit.Architecture})")}");
        if (fit.Plan is { } plan)
        {
            output.WriteLine($"  can      {Describe(plan)}");
            output.WriteLine($"  costs    {ModelsCommand.DescribeCost(plan.Cost)}");
        }

        output.WriteLine(fit.Fits ? "  loads    yes: every tensor is there, of the right shape and type, and none is left over." : $"  loads    no, {fit.Problems.Count} problems:");
        // A few of each kind ("missing", "wrong shape", ...), so that none hides behind another.
        foreach (IGrouping<string, string> kind in fit.Problems.GroupBy(static problem => problem.Split(':')[0]))
        {
            string[] problems = [.. kind];
            foreach (string problem in problems.Take(ShownOfEachKind))
                output.WriteLine($"           {problem}");
            if (problems.Length > ShownOfEachKind)
                output.WriteLine($"           ... and {problems.Length - ShownOfEachKind} more (--json lists all)");
        }

        if (candidates.Length > 0)
            output.WriteLine($"           The shapes are those of {string.Join(", ", candidates)} in the catalogue; --config takes such a name.");
    }

    private static string ToJson(ICheckpoint stored, ICheckpoint mapped, CheckpointLayout layout, TowerOutline? outline, CheckpointFit? fit, string[] candidates)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("path", stored.Path);
            json.WriteString("format", stored.Format);
            json.WriteString("layout", layout.ToString());
            json.WriteStartArray("types");
            foreach ((ElementType type, int count, long bytes) in Types(stored))
            {
                json.WriteStartObject();
                json.WriteString("type", type.ToString());
                json.WriteNumber("tensors", count);
                json.WriteNumber("bytes", bytes);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteStartObject("metadata");
            foreach ((string key, string value) in stored.Metadata)
                json.WriteString(key, value);
            json.WriteEndObject();
            json.WriteStartArray("notices");
            foreach (string notice in mapped.Notices)
                json.WriteStringValue(notice);
            json.WriteEndArray();
            if (outline is not null)
                json.WriteString("shapes", outline.ToString());
            if (fit is not { Fits: true })
            {
                json.WriteStartArray("modelsOfTheseShapes");
                foreach (string candidate in candidates)
                    json.WriteStringValue(candidate);
                json.WriteEndArray();
            }

            if (fit is not null)
            {
                json.WriteString("configuration", fit.ConfigurationPath);
                json.WriteString("architecture", fit.Architecture);
                json.WriteStartArray("abilities");
                foreach (ModelAbilities ability in Enum.GetValues<ModelAbilities>().Where(ability => fit.Plan?.Abilities.HasFlag(ability) == true))
                    json.WriteStringValue(ability.ToString());
                json.WriteEndArray();
                json.WriteBoolean("loads", fit.Fits);
                ModelsCommand.WriteCost(json, fit.Plan?.Cost);
                json.WriteStartArray("problems");
                foreach (string problem in fit.Problems)
                    json.WriteStringValue(problem);
                json.WriteEndArray();
            }

            json.WriteStartObject("tensors");
            foreach (StoredTensor tensor in stored.Tensors.Values.OrderBy(static tensor => tensor.Name, StringComparer.Ordinal))
            {
                json.WriteStartObject(tensor.Name);
                json.WriteString("type", tensor.Type.ToString());
                json.WriteStartArray("shape");
                foreach (long dimension in tensor.Dimensions)
                    json.WriteNumberValue(dimension);
                json.WriteEndArray();
                json.WriteNumber("bytes", tensor.ByteLength);
                json.WriteEndObject();
            }

            json.WriteEndObject();
            json.WriteEndObject();
        }

        return System.Text.Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length);
    }

    private static IEnumerable<(ElementType Type, int Count, long Bytes)> Types(ICheckpoint checkpoint) => checkpoint.Tensors.Values
        .GroupBy(static tensor => tensor.Type)
        .OrderBy(static group => group.Key)
        .Select(static group => (group.Key, group.Count(), group.Sum(static tensor => tensor.ByteLength)));

    private static string Describe(CheckpointLayout layout) => layout switch
    {
        CheckpointLayout.OpenClip => "OpenCLIP",
        CheckpointLayout.Transformers => "transformers (q, k and v apart)",
        _ => "unknown",
    };

    internal static string Describe(ModelPlan plan) => string.Join(", ", new (ModelAbilities Ability, string Words)[]
    {
        (ModelAbilities.Embed, plan.ImageVectors == 1 ? "make features of images and sentences (embed, classify, audit)" : $"make features of images, {plan.ImageVectors} vectors of each, and of sentences (embed)"),
        (ModelAbilities.ScorePairs, "score an image and a sentence together"),
        (ModelAbilities.Caption, "write captions"),
    }.Where(entry => plan.Abilities.HasFlag(entry.Ability)).Select(static entry => entry.Words));

    private static string Megabytes(long bytes) => bytes < 1_000_000 ? $"{bytes} bytes" : $"{bytes / 1e6:0.0} MB";
}
