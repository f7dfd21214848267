using System.Text.Json;
using System.Text.RegularExpressions;

namespace ClipEngine.Checkpoints.Adapters;

/// <summary>
/// peft's <c>adapter_config.json</c> of a LoRA or DoRA adapter (arXiv:2106.09685, arXiv:2402.09353): how much of each product is added. What changes the
/// result and is not read here is refused by its key. After <c>LoraConfig</c> and <c>LoraLayer</c> of peft 0.21.
/// </summary>
internal sealed class AdapterConfig
{
    public const string FileName = "adapter_config.json";

    private const int MaximumLength = 4 << 20;

    // Where an adapter came from, how it was trained and which modules it was trained on: the weights themselves say what they are.
    private static readonly HashSet<string> s_inert =
    [
        "auto_mapping", "base_model_name_or_path", "base_model_class", "bias", "ensure_weight_tying", "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern",
        "layers_to_transform", "lora_dropout", "megatron_config", "megatron_core", "modules_to_save", "parent_library", "peft_type", "peft_version", "qalora_group_size", "revision", "target_modules", "task_type",
    ];

    private static readonly HashSet<string> s_read = ["r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern"];

    private readonly string _path;
    private readonly double _alpha;
    private readonly double _rank;
    private readonly bool _isRankStabilised;
    private readonly List<(Regex Module, double Value)> _alphas;
    private readonly List<(Regex Module, double Value)> _ranks;

    private AdapterConfig(string path, JsonElement root)
    {
        _path = path;
        RefuseOtherKinds(root);
        _alpha = Number(root, "lora_alpha", 8);
        _isRankStabilised = Flag(root, "use_rslora");
        UsesMagnitudes = Flag(root, "use_dora");
        _rank = Number(root, "r", 8);
        _alphas = Patterns(root, "alpha_pattern");
        _ranks = Patterns(root, "rank_pattern");
    }

    /// <summary>Whether the adapter has magnitudes of rows: DoRA.</summary>
    public bool UsesMagnitudes { get; }

    /// <summary>Reads the file.</summary>
    public static AdapterConfig Read(string path)
    {
        using CheckpointFile file = CheckpointFile.Open(path);
        if (file.Length > MaximumLength)
            throw new CheckpointException(path, CheckpointError.TooComplex, $"has {file.Length} bytes; at most {MaximumLength} are read.");
        try
        {
            using var document = JsonDocument.Parse(file.Read(0, (int)file.Length), new JsonDocumentOptions { MaxDepth = 32, AllowDuplicateProperties = false });
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? new AdapterConfig(path, document.RootElement)
                : throw new CheckpointException(path, CheckpointError.InvalidJson, "is no JSON object.");
        }
        catch (JsonException exception)
        {
            throw new CheckpointException(path, CheckpointError.InvalidJson, $"is not valid JSON: {BadInputException.Escape(exception.Message)}", innerException: exception);
        }
    }

    /// <summary>Rows that a module's first matrix has to have.</summary>
    /// <param name="module">The module's name without <c>base_model.model.</c>.</param>
    public double Rank(string module) => ValueOf(_ranks, module, _rank);

    /// <summary>What the product of a module's two matrices is multiplied by.</summary>
    /// <param name="module">The module's name without <c>base_model.model.</c>.</param>
    /// <param name="rank">Rows of its first matrix.</param>
    public double Scale(string module, long rank) => ValueOf(_alphas, module, _alpha) / (_isRankStabilised ? Math.Sqrt(rank) : rank);

    /// <summary>What the first pattern that fits the module says, as in peft.</summary>
    private static double ValueOf(List<(Regex Module, double Value)> patterns, string module, double fallback)
    {
        foreach ((Regex pattern, double own) in patterns)
        {
            if (pattern.IsMatch(module))
                return own;
        }

        return fallback;
    }

    private List<(Regex Module, double Value)> Patterns(JsonElement root, string key)
    {
        var patterns = new List<(Regex, double)>();
        if (root.TryGetProperty(key, out JsonElement stored) && stored.ValueKind == JsonValueKind.Object)
        {
            foreach (JsonProperty pattern in stored.EnumerateObject())
                patterns.Add((Pattern(key, pattern.Name), pattern.Value.ValueKind == JsonValueKind.Number ? pattern.Value.GetDouble() : throw Refuse($"{key}.{BadInputException.Escape(pattern.Name, 60)}: expected a number.")));
        }

        return patterns;
    }

    private void RefuseOtherKinds(JsonElement root)
    {
        string kind = root.TryGetProperty("peft_type", out JsonElement type) && type.ValueKind == JsonValueKind.String ? type.GetString()! : "";
        if (kind != "LORA")
            throw Refuse($"peft_type: expected LORA, found '{BadInputException.Escape(kind, 40)}'.");
        // These start from other base weights than those in the folder.
        if (root.TryGetProperty("init_lora_weights", out JsonElement start) && start.ValueKind == JsonValueKind.String && start.GetString() is not ("gaussian" or "eva" or "orthogonal"))
            throw Refuse($"init_lora_weights: expected true, false, gaussian, eva or orthogonal, found {BadInputException.Escape(start.GetRawText(), 40)}, which changes the base weights too.");
        foreach (JsonProperty property in root.EnumerateObject())
        {
            bool isOff = property.Value.ValueKind switch
            {
                JsonValueKind.Null or JsonValueKind.False => true,
                JsonValueKind.Object => !property.Value.EnumerateObject().Any(),
                JsonValueKind.Array => property.Value.GetArrayLength() == 0,
                _ => false,
            };
            if (!isOff && !s_inert.Contains(property.Name) && !s_read.Contains(property.Name))
                throw Refuse($"{BadInputException.Escape(property.Name, 60)}: is not read here; expected it left out, null or false.");
        }
    }

    // peft's get_pattern_key: a regular expression that the end of the module's name has to match.
    private Regex Pattern(string key, string pattern)
    {
        try
        {
            return new Regex($@"^(.*\.)?({pattern})$", RegexOptions.NonBacktracking, TimeSpan.FromSeconds(1));
        }
        catch (Exception exception) when (exception is ArgumentException or NotSupportedException)
        {
            throw Refuse($"{key}: '{BadInputException.Escape(pattern, 60)}' is no pattern that is read here.");
        }
    }

    private double Number(JsonElement root, string key, double fallback)
    {
        if (!root.TryGetProperty(key, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
            return fallback;
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && double.IsFinite(number)
            ? number
            : throw Refuse($"{key}: expected a number, found {BadInputException.Escape(value.GetRawText(), 40)}.");
    }

    private bool Flag(JsonElement root, string key)
    {
        if (!root.TryGetProperty(key, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
            return false;
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.ValueKind == JsonValueKind.True
            : throw Refuse($"{key}: expected true or false, found {BadInputException.Escape(value.GetRawText(), 40)}.");
    }

    private CheckpointException Refuse(string problem) => new(_path, CheckpointError.Unsupported, problem,
        "Merge the adapter with peft (merge_and_unload) and save the model, or move the adapter out of the folder to run the base model.");
}
