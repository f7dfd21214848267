using System.CommandLine;
using ClipEngine.Audit.Runs;
using ClipEngine.Cli.Arguments;
using ClipEngine.Devices;
using ClipEngine.Files;
using ClipEngine.Imaging;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Cli;

/// <summary>The options by which every verb that runs a model says which one and where.</summary>
internal sealed class ModelArguments
{
    /// <summary>More threads than the largest machine has processors.</summary>
    public const int MostThreads = 4096;

    /// <summary>What the verbs say of <c>--config</c>.</summary>
    public const string ConfigDescription = "The model's JSON file where it does not lie beside the weights, or a model of the catalogue as ViT-B-32.";

    /// <summary>What <c>--batch</c> and <c>--threads</c> change about features.</summary>
    private const string Invariance = "Features on cpu and cuda do not depend on it, bit for bit; on torch they do, by some 2e-7 in fp32.";

    /// <summary>What the verbs say of <c>--image-size</c>.</summary>
    public const string ImageSizeDescription = "Run at another image size than trained at: N or HEIGHTxWIDTH, in pixels; positions are resized as open_clip does.";

    /// <summary>What the verbs say of <c>--model</c>.</summary>
    public const string ModelDescription = "A folder in the OpenCLIP or transformers layout, a weights file (safetensors or PyTorch archive), or a catalogue name";

    private readonly Option _model;
    private readonly Option<string?> _config = new Option<string?>("--config") { Description = ConfigDescription }.ReadsModel();
    private readonly Option<string?> _imageSize = new("--image-size") { Description = ImageSizeDescription };
    private readonly Option<int?> _batch = new Option<int?>("--batch") { Description = $"Images or sentences at once. {Invariance}" }.Between(1, 65536);
    private readonly Option<int?> _threads = new Option<int?>("--threads") { Description = $"Processor threads. {Invariance}" }.Between(1, MostThreads);
    private readonly Option<string> _dtype = new("--dtype") { Description = "What is computed in: fp32 (the reference), bf16, fp16, int8; on a GPU also tf32 (fp32 with products on tensor cores) or fp8 (bf16 with linear layers in e4m3).", DefaultValueFactory = _ => "fp32" };
    private readonly Option<string> _device = DeviceOption();
    private readonly Option<string?> _isa = IsaOption();

    private readonly Option<bool> _acceptActivationMismatch = new("--accept-activation-mismatch") { Description = "Run weights with the activation of the configuration although they were trained with the other one, to repeat a published mistake; the result says so." };

    /// <summary>Declares them.</summary>
    /// <param name="takesSeveral">Whether <c>--model</c> may be given several times; then <see cref="LoadAll"/> loads them.</param>
    public ModelArguments(bool takesSeveral = false) => _model = takesSeveral
        ? new Option<string[]>("--model", "-m") { Description = $"{ModelDescription}. Once for each model; NAME=M serves M under another name.", Required = true }.ReadsModel()
        : new Option<string>("--model", "-m") { Description = $"{ModelDescription}.", Required = true }.ReadsModel();

    /// <summary>Adds the options to a verb.</summary>
    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { _model, _config, _imageSize, _batch, _threads, _dtype, _device, _isa, _acceptActivationMismatch })
            command.Options.Add(option);
    }

    /// <summary>The model as the user named it.</summary>
    public string Name(ParseResult parsed) => parsed.GetValue((Option<string>)_model)!;

    /// <summary>The models as the user named them, where there may be several.</summary>
    public string[] Names(ParseResult parsed) => parsed.GetValue((Option<string[]>)_model)!;

    /// <summary>The model's configuration where it was named.</summary>
    public string? Configuration(ParseResult parsed) => parsed.GetValue(_config);

    /// <summary>Loads the model on the device; what a user should know about it goes to standard error.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="towers">Those that the verb runs.</param>
    /// <param name="preprocessing">What the user asks for in place of the model's own preprocessing.</param>
    /// <param name="planned">Told how pixels will be made, before the weights are read.</param>
    public LoadedModel Load(ParseResult parsed, ModelTowers towers = ModelTowers.Both, PreprocessOverrides? preprocessing = null, Action<PreprocessOptions>? planned = null) =>
        Load(parsed, OpenBackend(parsed), towers, preprocessing, planned);

    /// <summary>The backend that the user asks for; the caller's until a model is loaded on it.</summary>
    public IBackend OpenBackend(ParseResult parsed) => OpenBackend(parsed.GetValue(_device)!, parsed.GetValue(_dtype)!, parsed.GetValue(_threads), parsed.GetValue(_isa));

    /// <summary>What features depend on, as far as these options decide about it: the contents of the model's files, the element type, what computes. Loads nothing.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="backend">Where the model would run.</param>
    public IEnumerable<KeyValuePair<string, string>> Identify(ParseResult parsed, IBackend backend)
    {
        ProbeModelFiles found = new ClipProbeModels().Find(Name(parsed), parsed.GetValue(_acceptActivationMismatch));
        string config = parsed.GetValue(_config) ?? "";
        // A configuration that is named is read with what lies beside it.
        string[] named = FilePlace.IsFile(config) ? ModelInputs.Beside(Path.GetDirectoryName(Path.GetFullPath(config))!) : [];
        IEnumerable<string> files = found.Files.Append(config).Where(FilePlace.IsFile).Concat(named);
        yield return new("model", StageLedger.Key(files.Select(static file => InputFiles.Describe("model", file)).Select(static file => $"{file.Name} {file.Sha256}").Append(found.Configuration ?? "")));
        yield return new("configuration", FilePlace.IsFile(config) ? "a file" : config);
        yield return new("image size", parsed.GetValue(_imageSize) ?? "the model's");
        yield return new("element type", parsed.GetValue(_dtype)!);
        yield return new("activation mismatch", parsed.GetValue(_acceptActivationMismatch) ? "accepted" : "refused");
        // Of several equal GPUs it does not matter which.
        yield return new("device", $"{backend.Name.Split(':')[0]}: {backend.Description}");
    }

    /// <summary>Loads the model on a backend, which then belongs to it.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="backend">Of <see cref="OpenBackend(ParseResult)"/>.</param>
    /// <param name="towers">Those that the verb runs.</param>
    /// <param name="preprocessing">What the user asks for in place of the model's own preprocessing.</param>
    /// <param name="planned">Told how pixels will be made, before the weights are read.</param>
    public LoadedModel Load(ParseResult parsed, IBackend backend, ModelTowers towers, PreprocessOverrides? preprocessing, Action<PreprocessOptions>? planned = null)
    {
        ClipModel[] models = Load(parsed, backend, [Name(parsed)], towers, preprocessing, planned, CancellationToken.None);
        return new LoadedModel(models[0], backend);
    }

    /// <summary>Loads all models on one device; see <see cref="Load(ParseResult, ModelTowers, PreprocessOverrides?)"/>.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="sources">Where the models lie, or their names in the catalogue.</param>
    /// <param name="preprocessing">What the user asks for in place of the models' own preprocessing.</param>
    /// <param name="cancellation">Looked at before each tensor.</param>
    /// <returns>The device, released by the caller behind the models, and the models in the order of their sources.</returns>
    public (IBackend Backend, ClipModel[] Models) LoadAll(ParseResult parsed, IReadOnlyList<string> sources, PreprocessOverrides preprocessing, CancellationToken cancellation)
    {
        IBackend backend = OpenBackend(parsed);
        return (backend, Load(parsed, backend, sources, ModelTowers.Both, preprocessing, planned: null, cancellation));
    }

    /// <summary>Loads a model that writes captions.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="backend">Where it runs; released by the caller behind the model.</param>
    /// <param name="preprocessing">What the user asks for in place of the model's own preprocessing.</param>
    public CaptionModel LoadCaptioner(ParseResult parsed, out IBackend backend, PreprocessOverrides? preprocessing = null)
    {
        backend = OpenBackend(parsed.GetValue(_device)!, parsed.GetValue(_dtype)!, parsed.GetValue(_threads), parsed.GetValue(_isa));
        try
        {
            CaptionModel model = CaptionModel.Load(Name(parsed), new ClipModelOptions { ConfigurationPath = parsed.GetValue(_config), Backend = backend, Preprocessing = preprocessing });
            foreach (string notice in model.Notices)
                Console.Error.WriteLine($"clipengine: {notice}");
            return model;
        }
        catch
        {
            backend.Dispose();
            throw;
        }
    }

    /// <summary><c>--device</c> for verbs that run on one device.</summary>
    public static Option<string> DeviceOption() => new("--device") { Description = $"Where to compute: {Backends.DeviceNames}; nothing falls back.", DefaultValueFactory = _ => "cpu" };

    /// <summary><c>--isa</c>.</summary>
    public static Option<string?> IsaOption() => new Option<string?>("--isa") { Description = $"The processor's instruction set for --device cpu, in place of the fastest: {string.Join(", ", IsaNames)}. 'clipengine devices' shows what there is." }.OneOf(IsaNames);

    private static readonly string[] IsaNames = ["portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "neon", "neon_dot", "neon_matrix", "amx", "amx_emulated"];

    /// <summary>The backend that was asked for; another one is never taken instead.</summary>
    internal static IBackend OpenBackend(string device, string dtype, int? threads, string? isa = null)
    {
        if (isa is not null && device != "cpu")
            throw new BadInputException("--isa", $"chooses the processor's instruction set, and --device is {BadInputException.Escape(device)}.", "Leave it out.");
        BackendOptions options = BackendOptions.Parse(dtype, "--dtype") with { Threads = threads, InstructionSet = isa };
        try
        {
            return Backends.Open(device, options);
        }
        catch (BadInputException exception)
        {
            if (isa is not null)
                throw new BadInputException($"--isa {isa}", exception.Problem, exception.Remedy, exception);
            throw new BadInputException($"--device {device}{(dtype == "fp32" ? "" : $" --dtype {dtype}")}", exception.Problem, exception.Remedy, exception);
        }
    }

    private ClipModel[] Load(ParseResult parsed, IBackend backend, IReadOnlyList<string> sources, ModelTowers towers, PreprocessOverrides? preprocessing, Action<PreprocessOptions>? planned, CancellationToken cancellation)
    {
        var models = new List<ClipModel>();
        try
        {
            foreach (string source in sources)
            {
                models.Add(ClipModel.Load(source, new ClipModelOptions
                {
                    ConfigurationPath = Configuration(parsed),
                    Backend = backend,
                    BatchSize = parsed.GetValue(_batch),
                    Towers = towers,
                    Preprocessing = preprocessing,
                    Planned = planned,
                    ImageSize = ParseImageSize(parsed.GetValue(_imageSize)),
                    AcceptActivationMismatch = parsed.GetValue(_acceptActivationMismatch),
                }, cancellation));
                foreach (string notice in models[^1].Notices)
                    Console.Error.WriteLine($"clipengine: {notice}");
            }

            return [.. models];
        }
        catch
        {
            foreach (ClipModel model in models)
                model.Dispose();
            backend.Dispose();
            throw;
        }
    }

    /// <summary>Reads <c>--image-size</c>.</summary>
    public static (int Height, int Width)? ParseImageSize(string? text)
    {
        if (text is null)
            return null;
        string[] sides = text.Split('x');
        int[] numbers = [.. sides.Select(static side => NumberText.TryParse(side, out int number) ? number : 0)];
        return numbers is [> 0] or [> 0, > 0]
            ? (numbers[0], numbers[^1])
            : throw new BadInputException("--image-size", $"expected a number of pixels or HEIGHTxWIDTH, found '{BadInputException.Escape(text)}'.", "Write for instance 336, or 224x448.");
    }
}

/// <summary>A model and the backend it runs on, released together.</summary>
internal sealed record LoadedModel(ClipModel Model, IBackend Backend) : IDisposable
{
    public void Dispose()
    {
        Model.Dispose();
        Backend.Dispose();
    }
}
