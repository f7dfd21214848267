using System.CommandLine;
using System.Net;
using System.Text;
using ClipEngine.Cli.Arguments;
using ClipEngine.Files;
using ClipEngine.Models;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Commands;

/// <summary>
/// <c>clipengine serve</c>: models behind http. The web server is a program of its own, ClipEngine.Server, so that the other verbs neither
/// load nor need ASP.NET Core; it has this command line too, and sets <see cref="Host"/>. Without one this process becomes that program.
/// </summary>
internal static class ServeCommand
{
    /// <summary>Time for requests in progress after SIGTERM; then they are cut off.</summary>
    public static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(30);

    /// <summary>An API key is compared whole; a file that holds more than this is not one.</summary>
    private const int LongestKey = 4096;

    /// <summary>Serves until it is cancelled.</summary>
    public static Func<ServeSettings, CancellationToken, Task>? Host { get; set; }

    public static Command Create()
    {
        var model = new ModelArguments(takesSeveral: true);
        var images = new ImageArguments();
        Option<string> host = new("--host") { Description = "The IP address to listen on: 127.0.0.1 for this machine alone, 0.0.0.0 for all of its networks.", DefaultValueFactory = _ => "127.0.0.1" };
        Option<int> port = new Option<int>("--port") { Description = "The port to listen on; 0 takes a free one and says which.", DefaultValueFactory = _ => 8080 }.Between(0, 65535);
        Option<string?> key = new Option<string?>("--api-key-file") { Description = "A file that holds the API key, which clients send as 'Authorization: Bearer KEY'. Without it everybody who reaches the port may ask." }.ReadsFile();
        Option<int> queue = new Option<int>("--queue") { Description = "Inputs (images and sentences) that may wait or be computed at once, of all requests together; an image counts again for every 4 million pixels. A request beyond that is answered 429.", DefaultValueFactory = _ => 256 }.Between(1, 1_000_000);
        Option<int> inputs = new Option<int>("--max-inputs") { Description = "Inputs of one request.", DefaultValueFactory = _ => 256 }.Between(1, 100_000);
        Option<int> body = new Option<int>("--max-body") { Description = "Size of a request's body, in MiB.", DefaultValueFactory = _ => 32 }.Between(1, 1024);
        Option<int> pixels = new Option<int>("--max-pixels") { Description = "Pixels of all images of a request together, in millions, told from their headers.", DefaultValueFactory = _ => 100 }.Between(1, 10_000);
        Option<int> wait = new Option<int>("--batch-wait") { Description = "Milliseconds that an input waits for others to be computed with it, while more are on their way.", DefaultValueFactory = _ => 5 }.Between(0, 10_000);
        var command = new Command("serve", "Serve models over http: OpenAI's /v1/embeddings for sentences and images, /classify, /score.") { host, port, key, queue, inputs, body, pixels, wait };
        model.AddTo(command);
        images.AddPreprocessingTo(command);
        command.SetAction((parsed, cancellation) => Task.Run(async () =>
        {
            List<(string Name, string Source)> served = Served(model.Names(parsed), model.Configuration(parsed));
            if (!IPAddress.TryParse(parsed.GetValue(host), out IPAddress? address))
                throw new BadInputException("--host", $"expected an IP address, found '{BadInputException.Escape(parsed.GetValue(host)!, 60)}'.", "Write 127.0.0.1, 0.0.0.0 or [::] for instance.");
            byte[]? secret = parsed.GetValue(key) is { } file ? ReadKey(file) : null;
            if (Host is null)
                return await ServerProgram.RunAsync(cancellation);
            (IBackend backend, ClipModel[] models) = model.LoadAll(parsed, [.. served.Select(static one => one.Source)], images.Preprocessing(parsed), cancellation);
            try
            {
                CommandRunner.Grace = DrainTime + TimeSpan.FromSeconds(5);
                await Host(
                    new ServeSettings
                    {
                        Models = [.. served.Select(static one => one.Name).Zip(models)],
                        Address = address,
                        Port = parsed.GetValue(port),
                        ApiKey = secret,
                        QueueCapacity = parsed.GetValue(queue),
                        MaximumInputs = parsed.GetValue(inputs),
                        MaximumBodyBytes = parsed.GetValue(body) << 20,
                        MaximumPixels = parsed.GetValue(pixels) * 1_000_000L,
                        BatchWait = TimeSpan.FromMilliseconds(parsed.GetValue(wait)),
                        DrainTime = DrainTime,
                    },
                    cancellation);
                return CommandRunner.Done;
            }
            finally
            {
                foreach (ClipModel loaded in models)
                    loaded.Dispose();
                backend.Dispose();
            }
        }, CancellationToken.None));
        return command;
    }

    /// <summary>The names that clients use, and what they stand for; refuses what no model can be loaded from before anything is.</summary>
    private static List<(string Name, string Source)> Served(string[] models, string? configuration)
    {
        if (configuration is not null && models.Length > 1)
            throw new BadInputException("--config", $"is the configuration of one model; {models.Length} are to be served.", "Put a configuration beside each model's weights.");
        var served = new List<(string Name, string Source)>();
        foreach (string model in models)
        {
            int equals = model.IndexOf('=', StringComparison.Ordinal);
            (string name, string source) = equals < 0 || FilePlace.KindOf(model) is not null ? (NameOf(model), model) : (model[..equals], model[(equals + 1)..]);
            if (name.Length is 0 or > 200 || name.Any(static character => char.IsControl(character) || char.IsWhiteSpace(character)))
                throw new BadInputException("--model", $"'{BadInputException.Escape(name)}' is no name for a model.", "Use 1 to 200 characters without spaces.");
            if (served.Exists(other => other.Name == name))
                throw new BadInputException("--model", $"two models are called '{BadInputException.Escape(name)}'.", "Give one another name: NAME=M.");
            ModelConfiguration.Plan(source, configuration);
            served.Add((name, source));
        }

        return served;
    }

    /// <summary>A folder's name, a file's without its extension, or the name in the catalogue.</summary>
    private static string NameOf(string model) =>
        FilePlace.IsFolder(model) ? Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(model)))
        : FilePlace.IsFile(model) ? Path.GetFileNameWithoutExtension(model)
        : model;

    private static byte[] ReadKey(string file)
    {
        string text = new FileInfo(file).Length <= LongestKey ? File.ReadAllText(file).Trim() : "";
        return text.Length > 0 && text.All(static character => character is > ' ' and < '\x7f')
            ? Encoding.ASCII.GetBytes(text)
            : throw new BadInputException(file, $"expected an API key: one word of ASCII characters, at most {LongestKey}.", "Make one for instance with: openssl rand -hex 32");
    }
}

/// <summary>What <c>clipengine serve</c> was asked for.</summary>
internal sealed record ServeSettings
{
    /// <summary>The models by the names that clients use; they stay the caller's.</summary>
    public required IReadOnlyList<(string Name, ClipModel Model)> Models { get; init; }

    /// <summary>Where to listen.</summary>
    public required IPAddress Address { get; init; }

    /// <summary>Where to listen; 0 for a free port.</summary>
    public required int Port { get; init; }

    /// <summary>What clients must send; null where nothing is asked for.</summary>
    public byte[]? ApiKey { get; init; }

    /// <summary>Inputs that may wait or be computed at once.</summary>
    public required int QueueCapacity { get; init; }

    /// <summary>Inputs of one request.</summary>
    public required int MaximumInputs { get; init; }

    /// <summary>Bytes of a request's body.</summary>
    public required int MaximumBodyBytes { get; init; }

    /// <summary>Pixels of a request's images together.</summary>
    public required long MaximumPixels { get; init; }

    /// <summary>How long an input waits for others.</summary>
    public required TimeSpan BatchWait { get; init; }

    /// <summary>Time for requests in progress when the server is stopped.</summary>
    public required TimeSpan DrainTime { get; init; }
}
