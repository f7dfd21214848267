using System.Collections.Immutable;
using System.CommandLine;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using ClipEngine.Checkpoints;
using ClipEngine.Models;

namespace ClipEngine.Cli.Commands;

/// <summary><c>clipengine models list | show NAME | pull NAME[/TAG] | verify [NAME/TAG]</c>: the catalogue, what of it is on this machine, and downloads.</summary>
internal static class ModelsCommand
{
    public static Command Create()
    {
        var json = new Option<bool>("--json") { Description = "JSON on standard output.", Recursive = true };

        var audited = new Option<bool>("--audited") { Description = "Only the 14 of the published audit." };
        var list = new Command("list", "Names, sizes and what is on this machine.") { audited };
        list.SetAction(parsed =>
        {
            using var store = new ModelStore(ModelStoreOptions.FromEnvironment());
            List(store, Select(parsed.GetValue(audited)), parsed.GetValue(json), Console.Out);
            return CommandRunner.Done;
        });

        var shown = new Argument<string>("name") { Description = "A model, as ViT-B-32, or weights, as ViT-B-32/laion2b_s34b_b79k." };
        var show = new Command("show", "All that the catalogue knows of a model: parameters, GFLOP, weights, sources, hashes.") { shown };
        show.SetAction(parsed =>
        {
            string name = parsed.GetValue(shown)!;
            CatalogueEntry? named = name.Contains('/') ? ModelCatalogue.Find(name) : null;
            CatalogueModel model = ModelCatalogue.FindModel(named?.Model ?? name);
            Show(model, named is null ? model.Weights : [named], parsed.GetValue(json), Console.Out);
            return CommandRunner.Done;
        });

        var names = new Argument<string[]>("name") { Description = "Weights, as ViT-B-32/laion2b_s34b_b79k.", Arity = ArgumentArity.ZeroOrMore };
        var allowUnverified = new Option<bool>("--allow-unverified") { Description = "Take files of which no hash is known; the SHA-256 seen is recorded." };
        var pull = new Command("pull", "Download weights where they are missing, and check them in any case.") { names, audited, allowUnverified };
        pull.SetAction(async (parsed, cancellation) =>
        {
            ImmutableArray<CatalogueEntry> entries = [.. parsed.GetValue(audited) ? Select(onlyAudited: true) : [], .. (parsed.GetValue(names) ?? []).Select(FindWeights)];
            using var store = new ModelStore(ModelStoreOptions.FromEnvironment());
            return await PullAsync(store, entries, parsed.GetValue(allowUnverified), parsed.GetValue(json), Console.Out, Console.Error, cancellation);
        });

        var verified = new Argument<string[]>("name") { Description = "Weights, as ViT-B-32/laion2b_s34b_b79k; none: all that are on this machine.", Arity = ArgumentArity.ZeroOrMore };
        var verify = new Command("verify", "Hash weights on this machine and compare them with all that is known of them.") { verified };
        verify.SetAction(async (parsed, cancellation) =>
        {
            ImmutableArray<CatalogueEntry> entries = [.. (parsed.GetValue(verified) ?? []).Select(FindWeights)];
            using var store = new ModelStore(ModelStoreOptions.FromEnvironment());
            return await VerifyAsync(store, entries, parsed.GetValue(json), Console.Out, Console.Error, cancellation);
        });

        return new Command("models", "The catalogue of models, what of it is on this machine, and downloads.") { list, show, pull, verify, json };
    }

    internal static void List(ModelStore store, IEnumerable<CatalogueEntry> entries, bool asJson, TextWriter output)
    {
        if (asJson)
        {
            output.WriteLine(Json(json =>
            {
                json.WriteStartArray();
                var plans = new Dictionary<string, (ModelCost? Cost, string Family, string Can, string Compared)>();
                foreach (CatalogueEntry entry in entries)
                {
                    if (!plans.TryGetValue(entry.Model, out (ModelCost? Cost, string Family, string Can, string Compared) model))
                        plans[entry.Model] = model = Outline(ModelCatalogue.FindModel(entry.Model));
                    WriteEntry(json, entry, store.Find(entry), () =>
                    {
                        json.WriteString("family", model.Family);
                        json.WriteString("can", model.Can);
                        json.WriteString("compared", model.Compared);
                        json.WriteBoolean("published_weights_seen", false);
                        WriteCost(json, model.Cost);
                    });
                }

                json.WriteEndArray();
            }));
            return;
        }

        output.WriteLine($"{"weights",-50} {"M params",9} {"GFLOP",8}  {"activation",-11} {"family",-35} {"can",-15} {"compared",-9} here");
        var plans = new Dictionary<string, (ModelCost? Cost, string Family, string Can, string Compared)>();
        foreach (CatalogueEntry entry in entries)
        {
            if (!plans.TryGetValue(entry.Model, out (ModelCost? Cost, string Family, string Can, string Compared) model))
                plans[entry.Model] = model = Outline(ModelCatalogue.FindModel(entry.Model));
            string here = store.Find(entry) is { } found ? $"{found.Path} ({Describe(found.Verification)})" : "-";
            output.WriteLine($"{entry.Name,-50} {Millions(model.Cost),9} {GigaOperations(model.Cost),8}  {(entry.ActivationOfWeights == WeightsActivation.Gelu ? "GELU" : "QuickGELU"),-11} {model.Family,-35} {model.Can,-15} {model.Compared,-9} {here}");
        }

        output.WriteLine();
        output.WriteLine("compared with the original library: 'size', a model of full size with weights made by a formula; 'structure', a tiny one of the same structure.");
        output.WriteLine("None of the published weights were ever seen where this program was made. 'models verify' compares those that are here with all that is known of their hashes.");
    }

    internal static void Show(CatalogueModel model, ImmutableArray<CatalogueEntry> weights, bool asJson, TextWriter output)
    {
        ModelPlan plan = PlanOf(model);
        ModelCost? cost = plan.Cost;
        if (asJson)
        {
            output.WriteLine(Json(json =>
            {
                json.WriteStartObject();
                json.WriteString("name", model.Name);
                WriteFamily(json, plan);
                json.WriteString("compared", NameOf(model.Comparison));
                WriteCost(json, cost);
                json.WritePropertyName("config");
                json.WriteRawValue(model.ConfigurationJson);
                json.WriteStartArray("weights");
                foreach (CatalogueEntry entry in weights)
                    WriteEntry(json, entry, found: null);
                json.WriteEndArray();
                json.WriteEndObject();
            }));
            return;
        }

        output.WriteLine($"{model.Name}: {DescribeCost(cost)}");
        output.WriteLine($"family: {plan.Family}, which can {InspectCommand.Describe(plan)}");
        output.WriteLine($"compared with the original library: {(model.Comparison == ModelComparison.FullSize ? "at full size, with weights made by a formula" : "a tiny model of the same structure")}; published weights never");
        if (plan.Tokenizer.HubName is { } tokenizer)
            output.WriteLine($"tokenizer: {tokenizer} on the hub, which 'models pull' fetches too");
        output.WriteLine($"configuration: {model.ConfigurationJson}");
        if (weights.IsEmpty)
            output.WriteLine("No weights were published for this configuration.");
        foreach (CatalogueEntry entry in weights)
        {
            output.WriteLine();
            output.WriteLine($"{entry.Name}{(entry.IsAudited ? "  (audited)" : "")}");
            output.WriteLine($"  activation      {(entry.ActivationOfWeights == WeightsActivation.Gelu ? "GELU" : "QuickGELU")}");
            output.WriteLine($"  training set    {entry.TrainingSet ?? "unknown"}{(entry.Epoch is int epoch ? $", epoch {epoch}" : "")}{(entry.TrainingRun is string run ? $", run {run}" : "")}");
            output.WriteLine($"  pixels          {entry.ResizeMode}, {entry.Interpolation}, mean {Numbers(entry.Mean)}, std {Numbers(entry.StandardDeviation)}");
            if (entry.HubRepository is string repository)
                output.WriteLine($"  hub             {repository}: {string.Join(", ", entry.HubFileNames)}; checked against the hub's own SHA-256");
            if (entry.ReleaseUrl is not null)
                output.WriteLine($"  release file    {entry.ReleaseUrl}; {DescribeHash(entry)}");
            if (entry.Note is not null)
                output.WriteLine($"  note            {entry.Note}");
        }
    }

    internal static async Task<int> PullAsync(ModelStore store, ImmutableArray<CatalogueEntry> entries, bool allowUnverified, bool asJson,
        TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        if (entries.IsEmpty)
            throw new BadInputException("models pull", "no weights were named.", "Name them as ViT-B-32/laion2b_s34b_b79k, or pass --audited for the 14 of the published audit.");
        int failed = 0, refused = 0;
        foreach (CatalogueEntry entry in entries)
        {
            try
            {
                StoredWeights weights = await store.PullAsync(entry, allowUnverified, new ProgressLines(entry.Name, errors), cancellation);
                WriteState(weights, asJson, output);
                if (weights.Verification == Verification.HubHash)
                    errors.WriteLine($"{entry.Name}: the SHA-256 is recorded now; it must be the same ever after.");
            }
            catch (DownloadException exception)
            {
                errors.WriteLine($"clipengine: {(exception.InputSource == entry.Name ? "" : entry.Name + ": ")}{exception.Message}");
                if (exception.Error is DownloadError.NoHash or DownloadError.Offline)
                    refused++;
                else
                    failed++;
            }
        }

        if (entries.Length > 1)
            errors.WriteLine($"clipengine: {entries.Length - failed - refused} of {entries.Length} are here and checked.");
        return failed > 0 ? CommandRunner.Failed : refused > 0 ? CommandRunner.BadInput : CommandRunner.Done;
    }

    internal static async Task<int> VerifyAsync(ModelStore store, ImmutableArray<CatalogueEntry> entries, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        bool isNamed = !entries.IsEmpty;
        int wrong = 0, here = 0;
        var looked = new HashSet<string>(); // one file may be several entries
        foreach (CatalogueEntry entry in isNamed ? entries : ModelCatalogue.Entries)
        {
            try
            {
                if (store.Find(entry) is not { } found || !looked.Add(found.Path))
                {
                    if (!isNamed || store.Find(entry) is not null)
                        continue;
                    errors.WriteLine($"clipengine: {store.Explain(entry).Message}");
                    wrong++;
                    continue;
                }

                here++;
                WriteState((await store.VerifyAsync(entry, cancellation))!, asJson, output);
            }
            catch (DownloadException exception)
            {
                errors.WriteLine($"clipengine: {exception.Message}");
                wrong++;
            }
        }

        if (here == 0 && !isNamed)
            errors.WriteLine("clipengine: no weights of the catalogue are on this machine.");
        return wrong > 0 ? CommandRunner.BadInput : CommandRunner.Done;
    }

    private static void WriteState(StoredWeights weights, bool asJson, TextWriter output)
    {
        string state = Describe(weights.Verification);
        if (!asJson)
        {
            output.WriteLine($"{weights.Entry.Name}  {state}  sha256 {weights.Sha256}  {weights.Path}");
            return;
        }

        output.WriteLine(Json(json =>
        {
            json.WriteStartObject();
            json.WriteString("weights", weights.Entry.Name);
            json.WriteString("path", weights.Path);
            json.WriteString("sha256", weights.Sha256);
            json.WriteString("verification", state);
            json.WriteEndObject();
        }));
    }

    internal static string Describe(Verification verification) => verification switch
    {
        Verification.Pinned => "pinned",
        Verification.PrefixChecked => "prefix-checked",
        Verification.HubHash => "hub-hash",
        Verification.Recorded => "recorded",
        Verification.Unverified => "unverified",
        _ => "not-checked",
    };

    private static IEnumerable<CatalogueEntry> Select(bool onlyAudited) => ModelCatalogue.Entries.Where(entry => !onlyAudited || entry.IsAudited);

    private static CatalogueEntry FindWeights(string name)
    {
        // A model with one set of weights needs no tag.
        if (!name.Contains('/') && ModelCatalogue.FindModel(name).Weights is [var only])
            return only;
        return ModelCatalogue.Find(name);
    }

    private static void WriteFamily(Utf8JsonWriter json, ModelPlan plan)
    {
        json.WriteString("family", plan.Family);
        json.WriteStartArray("abilities");
        foreach (ModelAbilities ability in Enum.GetValues<ModelAbilities>().Where(ability => plan.Abilities.HasFlag(ability)))
            json.WriteStringValue(ability.ToString());
        json.WriteEndArray();
    }

    private static ModelPlan PlanOf(CatalogueModel model) =>
        ModelFamilies.Plan(new ModelFiles(ConfigFile.ParseRoot(System.Text.Encoding.UTF8.GetBytes(model.ConfigurationJson), model.Name), model.Name));

    /// <summary>What a row of the list says of a model.</summary>
    private static (ModelCost? Cost, string Family, string Can, string Compared) Outline(CatalogueModel model)
    {
        ModelPlan plan = PlanOf(model);
        string can = string.Join('+', Enum.GetValues<ModelAbilities>().Where(ability => plan.Abilities.HasFlag(ability)).Select(static ability => ability switch
        {
            ModelAbilities.Embed => "features",
            ModelAbilities.ScorePairs => "pairs",
            _ => "captions",
        }));
        return (plan.Cost, plan.Family, can, NameOf(model.Comparison));
    }

    private static string NameOf(ModelComparison comparison) => comparison == ModelComparison.FullSize ? "size" : "structure";

    /// <summary>Parameters and arithmetic in words.</summary>
    internal static string DescribeCost(ModelCost? cost)
    {
        if (cost is null)
            return "what it costs is not counted";
        string pair = cost.Pair is { } both ? string.Create(CultureInfo.InvariantCulture, $"; a sentence with an image {both.Operations / 1e9:0.00}") : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"{Millions(cost)} M parameters, {GigaOperations(cost)} GFLOP for one image and one sentence ({cost.Image.Operations / 1e9:0.00} and {cost.Text.Operations / 1e9:0.00}{pair}; a multiply-add is two)");
    }

    /// <summary>The same as JSON; nothing where it is not counted.</summary>
    internal static void WriteCost(Utf8JsonWriter json, ModelCost? cost)
    {
        if (cost is null)
            return;
        json.WriteNumber("parameters", cost.Parameters);
        json.WriteNumber("gflop", cost.Operations / 1e9);
        json.WriteNumber("image_gflop", cost.Image.Operations / 1e9);
        json.WriteNumber("text_gflop", cost.Text.Operations / 1e9);
        if (cost.Pair is { } pair)
            json.WriteNumber("pair_gflop", pair.Operations / 1e9);
    }

    private static string Millions(ModelCost? cost) => cost is null ? "-" : (cost.Parameters / 1e6).ToString("0.00", CultureInfo.InvariantCulture);

    private static string GigaOperations(ModelCost? cost) => cost is null ? "-" : (cost.Operations / 1e9).ToString("0.00", CultureInfo.InvariantCulture);

    private static string Numbers(ImmutableArray<float> values) => string.Join(' ', values.Select(value => value.ToString(CultureInfo.InvariantCulture)));

    private static string DescribeHash(CatalogueEntry entry) => entry.ReleaseHash switch
    {
        HashKnowledge.Full => $"SHA-256 {entry.ReleaseSha256}",
        HashKnowledge.Prefix => $"of its SHA-256 only {entry.ReleaseSha256Prefix}... is published (prefix-checked)",
        _ => "its SHA-256 is unknown",
    };

    private static void WriteEntry(Utf8JsonWriter json, CatalogueEntry entry, StoredWeights? found, Action? writeModel = null)
    {
        json.WriteStartObject();
        json.WriteString("name", entry.Name);
        json.WriteBoolean("audited", entry.IsAudited);
        json.WriteString("activation", entry.ActivationOfWeights == WeightsActivation.Gelu ? "gelu" : "quick_gelu");
        json.WriteString("training_set", entry.TrainingSet);
        json.WriteString("training_run", entry.TrainingRun);
        if (entry.Epoch is int epoch)
            json.WriteNumber("epoch", epoch);
        json.WriteString("hub", entry.HubRepository);
        json.WriteString("release", entry.ReleaseUrl?.AbsoluteUri);
        json.WriteString("release_hash", entry.ReleaseHash switch { HashKnowledge.Full => "full", HashKnowledge.Prefix => "prefix", _ => "unknown" });
        json.WriteString("sha256", entry.ReleaseSha256 ?? entry.ReleaseSha256Prefix);
        json.WriteString("note", entry.Note);
        writeModel?.Invoke();
        if (found is not null)
        {
            json.WriteString("path", found.Path);
            json.WriteString("verification", Describe(found.Verification));
        }

        json.WriteEndObject();
    }

    private static string Json(Action<Utf8JsonWriter> write)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
            write(json);
        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    /// <summary>A line for every tenth of a file: readable in a log, and rare enough on a terminal.</summary>
    private sealed class ProgressLines(string name, TextWriter errors) : IProgress<DownloadProgress>
    {
        private long _shown;

        public void Report(DownloadProgress value)
        {
            long step = value.TotalBytes is > 0 ? Math.Max(1, value.TotalBytes.Value / 10) : 100 << 20;
            if (value.ReceivedBytes < _shown)
                _shown = 0;
            if (value.ReceivedBytes < _shown + step && value.ReceivedBytes != value.TotalBytes)
                return;
            _shown = value.ReceivedBytes;
            string total = value.TotalBytes is long bytes ? $" of {bytes / 1e6:0.0}" : "";
            errors.WriteLine($"{name}: {value.ReceivedBytes / 1e6:0.0}{total} MB");
        }
    }
}
