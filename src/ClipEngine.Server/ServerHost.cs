using System.Net;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using ClipEngine.Cli.Commands;
using ClipEngine.Native;
using ClipEngine.Server.Api;
using ClipEngine.Server.Scheduling;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using OpenTelemetry.Metrics;

namespace ClipEngine.Server;

/// <summary>The web server: what listens, what is asked before an endpoint is, and how it ends.</summary>
internal static class ServerHost
{
    /// <summary>Connections at once; further ones are closed.</summary>
    private const int MaximumConnections = 4096;

    /// <summary>Serves until it is cancelled, then lets requests in progress finish.</summary>
    /// <param name="settings">What to serve, and where.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <exception cref="BadInputException">A model that cannot be served, or an address that cannot be listened on.</exception>
    public static async Task RunAsync(ServeSettings settings, CancellationToken cancellation)
    {
        await using RunningServer server = await StartAsync(settings);
        await Console.Error.WriteLineAsync($"clipengine: {string.Join(", ", settings.Models.Select(static model => model.Name))} on {server.Address}");
        if (settings.ApiKey is null && !IPAddress.IsLoopback(settings.Address))
            await Console.Error.WriteLineAsync("clipengine: everybody who reaches this address may ask; --api-key-file names a key.");
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using (cancellation.UnsafeRegister(static state => ((TaskCompletionSource)state!).TrySetResult(), asked))
            await asked.Task;
        await Console.Error.WriteLineAsync("clipengine: stopping; requests in progress are finished.");
        await server.StopAsync();
    }

    /// <summary>Starts listening.</summary>
    public static async Task<RunningServer> StartAsync(ServeSettings settings)
    {
        ServedModel[] models = [.. settings.Models.Select(static model => new ServedModel(model.Name, model.Model))];
        var telemetry = new Telemetry();
        // The processor's own towers share their threads with decoding; beside a GPU all processors are free for it.
        int preparers = models[0].Model.Backend.Name == "cpu" ? NativeThreads.Count : Environment.ProcessorCount;
        var scheduler = new Scheduler([.. models.SelectMany(static model => new Lane[] { model.Images, model.Texts })], settings.QueueCapacity, settings.BatchWait, preparers, telemetry);
        MeterProvider meters = Telemetry.CreateProvider();
        telemetry.Watch(scheduler, settings.QueueCapacity);

        // Nothing is read from files of the working folder or from variables that other programs share.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(options => Configure(options, settings));
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = settings.DrainTime);
        builder.Logging.AddSimpleConsole(static options => options.SingleLine = true)
            .SetMinimumLevel(LogLevel.Warning)
            .AddFilter("Microsoft.Extensions.Hosting", LogLevel.None); // what keeps it from starting is the command line's to say
        builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(static options => options.LogToStandardErrorThreshold = LogLevel.Trace);
        WebApplication app = builder.Build();
        Map(app, settings, new Endpoints(settings, models, scheduler, telemetry), meters);
        try
        {
            await app.StartAsync();
        }
        catch (Exception exception) when (exception is IOException or System.Net.Sockets.SocketException)
        {
            await app.DisposeAsync();
            scheduler.Dispose();
            meters.Dispose();
            telemetry.Dispose();
            throw new BadInputException("--port", $"cannot listen on {settings.Address} port {settings.Port}: {BadInputException.Escape(exception.GetBaseException().Message, 200).TrimEnd('.')}.", "Another program may be using it; name another port.");
        }

        return new RunningServer(app, scheduler, meters, telemetry);
    }

    private static void Configure(KestrelServerOptions options, ServeSettings settings)
    {
        options.Listen(settings.Address, settings.Port, static listen => listen.Protocols = HttpProtocols.Http1);
        options.AddServerHeader = false;
        options.Limits.MaxConcurrentConnections = MaximumConnections;
        options.Limits.MaxRequestBodySize = settings.MaximumBodyBytes;
        options.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
        options.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(60);
    }

    private static void Map(WebApplication app, ServeSettings settings, Endpoints endpoints, MeterProvider meters)
    {
        app.Use((context, next) => AnswerAsync(context, next, app.Logger));
        app.UseRouting();
        if (settings.ApiKey is { } key)
        {
            byte[] expected = SHA256.HashData(key);
            app.Use((context, next) =>
            {
                RequireKey(context, expected);
                return next(context);
            });
        }

        byte[] page = Resource("page.html"), description = Resource("openapi.json");
        string policy = PagePolicy(page);
        app.MapPost("/v1/embeddings", (RequestDelegate)endpoints.EmbedAsync);
        app.MapPost("/classify", (RequestDelegate)endpoints.ClassifyAsync);
        app.MapPost("/score", (RequestDelegate)endpoints.ScoreAsync);
        app.MapGet("/v1/models", (RequestDelegate)endpoints.ListModelsAsync);
        app.MapGet("/v1/models/{**name}", (RequestDelegate)endpoints.ShowModelAsync);
        app.MapGet("/health", context => endpoints.HealthAsync(context, app.Lifetime.ApplicationStopping.IsCancellationRequested)).WithMetadata(new NeedsNoKey());
        app.MapPrometheusScrapingEndpoint("/metrics", meters, configureBranchedPipeline: null, optionsName: null);
        app.MapGet("/openapi.json", context => WriteAsync(context, "application/json; charset=utf-8", description)).WithMetadata(new NeedsNoKey());
        app.MapGet("/", context =>
        {
            context.Response.Headers.ContentSecurityPolicy = policy;
            return WriteAsync(context, "text/html; charset=utf-8", page);
        }).WithMetadata(new NeedsNoKey());
    }

    /// <summary>Calls the endpoint; whatever goes wrong becomes an answer that says so, and no more.</summary>
    private static async Task AnswerAsync(HttpContext context, RequestDelegate next, ILogger logger)
    {
        context.Response.Headers.XContentTypeOptions = "nosniff";
        ApiException? error;
        try
        {
            await next(context);
            error = context.Response.HasStarted ? null : context.Response.StatusCode switch
            {
                StatusCodes.Status404NotFound => new ApiException(StatusCodes.Status404NotFound, "There is nothing here; /openapi.json lists what there is.", code: "not_found"),
                StatusCodes.Status405MethodNotAllowed => new ApiException(StatusCodes.Status405MethodNotAllowed, $"Expected the method {context.Response.Headers.Allow}.", code: "method_not_allowed"),
                _ => null,
            };
        }
        catch (ApiException exception)
        {
            error = exception;
        }
        catch (BadInputException exception)
        {
            string field = exception.InputSource.Split('[', ':')[0];
            error = new ApiException(StatusCodes.Status400BadRequest, exception.Message, field, exception is Imaging.ImageException ? "invalid_image" : "invalid_value");
        }
        catch (Microsoft.AspNetCore.Http.BadHttpRequestException exception)
        {
            error = new ApiException(exception.StatusCode, BadInputException.Escape(exception.Message), code: "bad_request");
        }
        catch (Exception) when (context.RequestAborted.IsCancellationRequested)
        {
            context.Abort();
            return;
        }
        catch (Exception exception)
        {
            Log.Failed(logger, exception.GetType().Name, BadInputException.Escape(exception.Message, 500));
            error = new ApiException(StatusCodes.Status500InternalServerError, "The server failed; its log says more.", code: "internal_error");
        }

        if (error is null)
            return;
        if (context.Response.HasStarted)
            context.Abort();
        else
            await Endpoints.WriteErrorAsync(context, error);
    }

    /// <summary>Compares hashes, so that the time tells neither the key nor its length.</summary>
    private static void RequireKey(HttpContext context, byte[] expected)
    {
        const string Scheme = "Bearer ";
        if (context.GetEndpoint()?.Metadata.GetMetadata<NeedsNoKey>() is not null)
            return;
        string header = context.Request.Headers.Authorization.ToString();
        byte[] given = SHA256.HashData(Encoding.UTF8.GetBytes(header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) ? header[Scheme.Length..] : ""));
        if (CryptographicOperations.FixedTimeEquals(given, expected))
            return;
        context.Response.Headers.WWWAuthenticate = "Bearer";
        throw new ApiException(StatusCodes.Status401Unauthorized, "Expected the API key of this server: Authorization: Bearer KEY.", code: "invalid_api_key");
    }

    private static Task WriteAsync(HttpContext context, string type, byte[] content)
    {
        context.Response.ContentType = type;
        context.Response.ContentLength = content.Length;
        return context.Response.Body.WriteAsync(content, context.RequestAborted).AsTask();
    }

    private static byte[] Resource(string name)
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream($"ClipEngine.Server.{name}")!;
        byte[] content = new byte[stream.Length];
        stream.ReadExactly(content);
        return content;
    }

    /// <summary>The page may run its own script, show what the user dropped, and ask this server; nothing else.</summary>
    private static string PagePolicy(byte[] page)
    {
        string Hash(string element)
        {
            string text = Encoding.UTF8.GetString(page);
            int start = text.IndexOf($"<{element}>", StringComparison.Ordinal) + element.Length + 2, end = text.IndexOf($"</{element}>", StringComparison.Ordinal);
            return $"'sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(text[start..end])))}'";
        }

        return $"default-src 'none'; script-src {Hash("script")}; style-src {Hash("style")}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    }

    /// <summary>Marks an endpoint that anybody may ask.</summary>
    private sealed class NeedsNoKey;

    /// <summary>The command line looks after signals.</summary>
    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}

/// <summary>A server that listens.</summary>
internal sealed class RunningServer(WebApplication app, Scheduler scheduler, MeterProvider meters, Telemetry telemetry) : IAsyncDisposable
{
    /// <summary><c>http://127.0.0.1:8080</c>.</summary>
    public Uri Address { get; } = new(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());

    /// <summary>Methods and paths of all endpoints.</summary>
    public IEnumerable<string> Endpoints { get; } =
        [.. app.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>().Select(static endpoint => $"{endpoint.Metadata.GetMetadata<HttpMethodMetadata>()?.HttpMethods[0] ?? "GET"} {endpoint.RoutePattern.RawText!.Replace("**", "", StringComparison.Ordinal)}")];

    /// <summary>Takes no new connection, and ends when the requests in progress are finished or have had their time.</summary>
    public Task StopAsync() => app.StopAsync();

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await app.DisposeAsync();
        scheduler.Dispose();
        meters.Dispose();
        telemetry.Dispose();
    }
}

/// <summary>What the server logs.</summary>
internal static partial class Log
{
    [LoggerMessage(Level = LogLevel.Error, Message = "A request failed: {Kind}: {Message}")]
    public static partial void Failed(ILogger logger, string kind, string message);
}
