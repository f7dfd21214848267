using ClipEngine.Files;
using Microsoft.Extensions.Logging;

namespace ClipEngine.Checkpoints;

/// <summary>Where weights are kept and fetched from. <see cref="FromEnvironment()"/> reads the variables that huggingface_hub reads, so that both find each other's files.</summary>
public sealed partial record ModelStoreOptions
{
    /// <summary>The hub's cache: <c>HF_HUB_CACHE</c> or its older name <c>HUGGINGFACE_HUB_CACHE</c>, else <c>HF_HOME/hub</c>, else <c>~/.cache/huggingface/hub</c>.</summary>
    public required string HubCacheFolder { get; init; }

    /// <summary>Release files, where open_clip keeps them: <c>CLIPENGINE_RELEASE_CACHE</c>, else <c>~/.cache/clip</c>.</summary>
    public required string ReleaseFolder { get; init; }

    /// <summary><c>HF_ENDPOINT</c>: the hub's address or that of a mirror.</summary>
    public Uri HubEndpoint { get; init; } = new("https://huggingface.co");

    /// <summary><c>CLIPENGINE_RELEASE_ENDPOINT</c>: takes the place of scheme and host in the addresses of release files (a mirror keeps their paths); null for the addresses as published.</summary>
    public Uri? ReleaseEndpoint { get; init; }

    /// <summary><c>HF_TOKEN</c>, else the file at <c>HF_TOKEN_PATH</c> or <c>HF_HOME/token</c>. Sent to <see cref="HubEndpoint"/> and nowhere else, and over plain http only within this machine.</summary>
    public string? Token { get; init; }

    /// <summary><c>HF_HUB_OFFLINE</c> or <c>TRANSFORMERS_OFFLINE</c>: no connection is ever opened.</summary>
    public bool IsOffline { get; init; }

    /// <summary>
    /// Makes the connections, for applications with proxies, certificates or policies of their own; it stays the caller's. Null: a client
    /// with the runtime's defaults. Its handler must not follow redirects (<c>SocketsHttpHandler.AllowAutoRedirect = false</c>): the hub
    /// states a file's hash in the answer that redirects, and redirects are followed here.
    /// </summary>
    public HttpClient? HttpClient { get; init; }

    /// <summary>Told of downloads (information) and of attempts that are repeated (warnings); null: nothing is logged.</summary>
    public ILogger? Logger { get; init; }

    /// <summary>Reads this process's environment.</summary>
    /// <exception cref="BadInputException">An endpoint is not an http or https address.</exception>
    public static ModelStoreOptions FromEnvironment() => FromEnvironment(Environment.GetEnvironmentVariable);

    internal static ModelStoreOptions FromEnvironment(Func<string, string?> read)
    {
        string cache = Folder(read, "XDG_CACHE_HOME") ?? Path.Combine(Home(read), ".cache");
        string home = Folder(read, "HF_HOME") ?? Path.Combine(cache, "huggingface");
        string tokenFile = Folder(read, "HF_TOKEN_PATH") ?? Path.Combine(home, "token");
        string? token = Text(read, "HF_TOKEN") ?? Text(read, "HUGGING_FACE_HUB_TOKEN") ?? (FilePlace.IsFile(tokenFile) ? File.ReadAllText(tokenFile).Trim() : null);
        Uri? hub = Address(read, "HF_ENDPOINT");
        return new ModelStoreOptions
        {
            HubCacheFolder = Folder(read, "HF_HUB_CACHE") ?? Folder(read, "HUGGINGFACE_HUB_CACHE") ?? Path.Combine(home, "hub"),
            // open_clip knows no XDG_CACHE_HOME.
            ReleaseFolder = Folder(read, "CLIPENGINE_RELEASE_CACHE") ?? Path.Combine(Home(read), ".cache", "clip"),
            HubEndpoint = hub ?? new Uri("https://huggingface.co"),
            ReleaseEndpoint = Address(read, "CLIPENGINE_RELEASE_ENDPOINT"),
            Token = string.IsNullOrEmpty(token) ? null : token,
            IsOffline = IsOn(read, "HF_HUB_OFFLINE") || IsOn(read, "TRANSFORMERS_OFFLINE"),
        };
    }

    private static string? Text(Func<string, string?> read, string name) => read(name) is { Length: > 0 } value ? value : null;

    private static string Home(Func<string, string?> read) => Text(read, "HOME") ?? Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);

    /// <summary>
    /// A folder or file named by a variable, with <c>~</c>, <c>$NAME</c> and <c>${NAME}</c> in it expanded as huggingface_hub does: env files,
    /// Dockerfiles and service units expand nothing.
    /// </summary>
    private static string? Folder(Func<string, string?> read, string name)
    {
        if (Text(read, name) is not string value)
            return null;
        string path = value == "~" || value.StartsWith("~/", StringComparison.Ordinal) ? Home(read) + value[1..] : value;
        path = VariableName().Replace(path, match =>
        {
            string wanted = match.Groups["name"].Value;
            return Text(read, wanted) ?? throw new BadInputException(name, $"'{BadInputException.Escape(value)}' uses {BadInputException.Escape(wanted, 60)}, which is not set.", "Write the path in full.");
        });
        return path.StartsWith('~')
            ? throw new BadInputException(name, $"'{BadInputException.Escape(value)}' names another user's home.", "Write the path in full.")
            : path;
    }

    [System.Text.RegularExpressions.GeneratedRegex(@"\$(?:(?<name>[A-Za-z0-9_]+)|\{(?<name>[^}]*)\})", System.Text.RegularExpressions.RegexOptions.None, 1000)]
    private static partial System.Text.RegularExpressions.Regex VariableName();

    private static bool IsOn(Func<string, string?> read, string name) => read(name)?.ToUpperInvariant() is "1" or "ON" or "YES" or "TRUE";

    private static Uri? Address(Func<string, string?> read, string name)
    {
        if (Text(read, name) is not string value)
            return null;
        return Uri.TryCreate(value.TrimEnd('/') + "/", UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https"
            ? address
            : throw new BadInputException(name, $"'{BadInputException.Escape(value)}' is not an http or https address.");
    }
}
