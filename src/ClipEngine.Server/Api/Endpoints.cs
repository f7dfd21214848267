using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Text.Json;
using ClipEngine.Cli.Commands;
using ClipEngine.Server.Scheduling;
using ClipEngine.Tensors;

namespace ClipEngine.Server.Api;

/// <summary>What clients ask for. Requests are read whole and checked before anything is computed, and answers are written when all of it is there.</summary>
internal sealed class Endpoints
{
    /// <summary>An image counts once in the queue for every so many pixels that were begun: large ones take long to decode.</summary>
    private const int PixelsOfACost = 4_000_000;

    private static readonly Dictionary<string, FieldKind> s_embeddingFields = new()
    {
        ["model"] = FieldKind.Text,
        ["input"] = FieldKind.Texts,
        ["modality"] = FieldKind.Text,
        ["encoding_format"] = FieldKind.Text,
        ["dimensions"] = FieldKind.Number,
        ["user"] = FieldKind.Text,
    };

    private static readonly Dictionary<string, FieldKind> s_classifyFields = new()
    {
        ["model"] = FieldKind.Text,
        ["input"] = FieldKind.Texts,
        ["labels"] = FieldKind.Texts,
        ["templates"] = FieldKind.Texts,
    };

    private static readonly Dictionary<string, FieldKind> s_scoreFields = new()
    {
        ["model"] = FieldKind.Text,
        ["images"] = FieldKind.Texts,
        ["texts"] = FieldKind.Texts,
    };

    private readonly ServeSettings _settings;
    private readonly IReadOnlyList<ServedModel> _models;
    private readonly Scheduler _scheduler;
    private readonly Telemetry _telemetry;
    private readonly BodyMemory _memory;
    private readonly long _created = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    /// <summary>Answers with these models.</summary>
    public Endpoints(ServeSettings settings, IReadOnlyList<ServedModel> models, Scheduler scheduler, Telemetry telemetry)
    {
        _settings = settings;
        _models = models;
        _scheduler = scheduler;
        _telemetry = telemetry;
        _memory = new BodyMemory(Math.Max(256L << 20, 2L * settings.MaximumBodyBytes));
    }

    /// <summary><c>POST /v1/embeddings</c>: OpenAI's, with images as data URLs, infinity's <c>modality</c>, or an image as the body.</summary>
    public async Task EmbedAsync(HttpContext context)
    {
        using Request request = await ReadAsync(context, s_embeddingFields, "input");
        ServedModel model = request.Model;
        bool isBase64 = request.Fields.Text("encoding_format") switch
        {
            null or "float" => false,
            "base64" => true,
            { } other => throw ApiException.BadValue("encoding_format", $"expected float or base64, found '{BadInputException.Escape(other, 40)}'."),
        };
        if (request.Fields.Number("dimensions") is { } dimensions && dimensions != model.Model.EmbedDimension)
            throw ApiException.BadValue("dimensions", $"features of '{model.Name}' have {model.Model.EmbedDimension} elements and are not shortened; found {dimensions}.");
        string? modality = request.Fields.Text("modality");
        if (modality is not (null or "text" or "image"))
            throw ApiException.BadValue("modality", $"expected text or image, found '{BadInputException.Escape(modality, 40)}'.");

        int count = request.Image is null ? request.Fields.Count("input") : 1;
        if (count == 0)
            throw new ApiException(StatusCodes.Status400BadRequest, "input: is missing.", "input", "missing_field");
        var images = new List<Item>();
        var texts = new List<Item>();
        var order = new Item[count];
        long pixels = 0;
        for (int i = 0; i < count; i++)
        {
            bool isImage = request.Image is not null || modality == "image" || (modality is null && request.Fields.IsImage("input", i));
            order[i] = isImage ? ImageItem(request, "input", i, ref pixels) : new TextItem(model.Model, request.Fields.NameOf("input", i), request.Fields.TextAt("input", i));
            (isImage ? images : texts).Add(order[i]);
        }

        await RunAsync(context, images.Count == 0 ? null : new Job(model.Images, images), texts.Count == 0 ? null : new Job(model.Texts, texts));

        int width = model.Model.EmbedDimension;
        float[] row = new float[width];
        using Utf8JsonWriter writer = Begin(context);
        writer.WriteString("object", "list");
        writer.WriteStartArray("data");
        for (int i = 0; i < count; i++)
        {
            // As the command line's embed writes them.
            FeatureMatrix.NormalizeRows(order[i].Features, width, row);
            writer.WriteStartObject();
            writer.WriteString("object", "embedding");
            writer.WriteNumber("index", i);
            if (isBase64)
                writer.WriteBase64String("embedding", MemoryMarshal.AsBytes(row.AsSpan()));
            else
                WriteNumbers(writer, "embedding", row);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteString("model", model.Name);
        WriteUsage(writer, model, order);
        WriteTruncated(writer, Truncated(order));
        writer.WriteEndObject();
        await EndAsync(context, writer);
    }

    /// <summary><c>POST /classify</c>: which of some labels fits each image, as the command line's <c>classify</c>.</summary>
    public async Task ClassifyAsync(HttpContext context)
    {
        using Request request = await ReadAsync(context, s_classifyFields, "input");
        ServedModel model = request.Model;
        string[] labels = request.Fields.AllTexts("labels"), templates = request.Fields.AllTexts("templates");
        if (labels.Length == 0)
            throw new ApiException(StatusCodes.Status400BadRequest, "labels: is missing; name what the images may show.", "labels", "missing_field");
        string[] prompts = ClipModel.LabelPrompts(labels, templates);
        if (prompts.Length > _settings.MaximumInputs)
            throw new ApiException(StatusCodes.Status400BadRequest, $"labels: {labels.Length} labels in {templates.Length} templates are {prompts.Length} sentences; this server takes {_settings.MaximumInputs}.", "labels", "too_many_inputs");
        List<Item> images = Images(request, "input");
        string key = string.Join('\0', [.. labels, "\u0001", .. templates]);
        FeatureMatrix? labelFeatures = model.FindLabels(key);
        Job? sentences = labelFeatures is not null ? null : new Job(model.Texts, [.. prompts.Select((prompt, i) => new TextItem(model.Model, $"labels: sentence {i + 1}", prompt))], needsNormalized: true);
        var job = new Job(model.Images, images, needsNormalized: true);
        await RunAsync(context, job, sentences);

        if (sentences is not null)
        {
            labelFeatures = ClipModel.MeansOfPrompts(new FeatureMatrix(sentences.Normalized, new Shape(prompts.Length, model.Model.EmbedDimension), [.. Truncated(sentences.Items)]), templates);
            model.KeepLabels(key, labelFeatures);
        }

        Classification result = model.Model.Classify(new FeatureMatrix(job.Normalized, new Shape(images.Count, model.Model.EmbedDimension)), labels, labelFeatures!, context.RequestAborted);
        using Utf8JsonWriter writer = Begin(context);
        writer.WriteString("object", "classify");
        writer.WriteStartArray("data");
        foreach (ImageClassification image in result)
        {
            writer.WriteStartArray();
            foreach (LabelProbability label in image)
            {
                writer.WriteStartObject();
                writer.WriteString("label", label.Label);
                writer.WriteNumber("score", label.Probability);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
        }

        writer.WriteEndArray();
        writer.WriteString("model", model.Name);
        WriteUsage(writer, model, images.Concat(sentences?.Items ?? []));
        WriteTruncated(writer, labelFeatures!.Truncated);
        writer.WriteEndObject();
        await EndAsync(context, writer);
    }

    /// <summary><c>POST /score</c>: how well each sentence fits each image: cosines, and probabilities as the command line's <c>score</c> with the model's own scale.</summary>
    public async Task ScoreAsync(HttpContext context)
    {
        using Request request = await ReadAsync(context, s_scoreFields, "images");
        ServedModel model = request.Model;
        string[] sentences = request.Fields.AllTexts("texts");
        if (sentences.Length == 0)
            throw new ApiException(StatusCodes.Status400BadRequest, "texts: is missing.", "texts", "missing_field");
        List<Item> images = Images(request, "images");
        var job = new Job(model.Images, images);
        var texts = new Job(model.Texts, [.. sentences.Select((text, i) => new TextItem(model.Model, request.Fields.NameOf("texts", i), text))]);
        await RunAsync(context, job, texts);

        int width = model.Model.EmbedDimension;
        FeatureMatrix imageFeatures = new FeatureMatrix(job.Features, new Shape(images.Count, width)).Normalized(), textFeatures = new FeatureMatrix(texts.Features, new Shape(sentences.Length, width)).Normalized();
        Classification result = model.Model.Classify(imageFeatures, sentences, textFeatures, context.RequestAborted);
        float[] cosines = new float[sentences.Length];
        using Utf8JsonWriter writer = Begin(context);
        writer.WriteString("object", "list");
        writer.WriteStartArray("data");
        for (int i = 0; i < images.Count; i++)
        {
            for (int j = 0; j < cosines.Length; j++)
                cosines[j] = TensorPrimitives.Dot(imageFeatures[i], textFeatures[j]);
            writer.WriteStartObject();
            writer.WriteString("object", "score");
            writer.WriteNumber("index", i);
            WriteNumbers(writer, "cosines", cosines);
            WriteNumbers(writer, "probabilities", result.Probabilities.Slice(i * sentences.Length, sentences.Length));
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteNumber("scale", model.Model.Encoder.LogitScale);
        if (model.Model.Encoder.LogitBias is { } bias)
            writer.WriteNumber("bias", bias);
        writer.WriteString("model", model.Name);
        WriteUsage(writer, model, images.Concat(texts.Items));
        WriteTruncated(writer, Truncated(texts.Items));
        writer.WriteEndObject();
        await EndAsync(context, writer);
    }

    /// <summary><c>GET /v1/models</c>.</summary>
    public async Task ListModelsAsync(HttpContext context)
    {
        using Utf8JsonWriter writer = Begin(context);
        writer.WriteString("object", "list");
        writer.WriteStartArray("data");
        foreach (ServedModel model in _models)
        {
            writer.WriteStartObject();
            WriteModel(writer, model);
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
        await EndAsync(context, writer);
    }

    /// <summary><c>GET /v1/models/NAME</c>.</summary>
    public async Task ShowModelAsync(HttpContext context)
    {
        ServedModel model = Find((string?)context.Request.RouteValues["name"]);
        using Utf8JsonWriter writer = Begin(context);
        WriteModel(writer, model);
        await EndAsync(context, writer);
    }

    /// <summary><c>GET /health</c>: 200, or 503 where the device fails or the server is being stopped.</summary>
    public async Task HealthAsync(HttpContext context, bool isStopping)
    {
        string status = isStopping ? "stopping" : _scheduler.IsFailing ? "failing" : "ok";
        context.Response.StatusCode = status == "ok" ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        using Utf8JsonWriter writer = Begin(context);
        writer.WriteString("status", status);
        writer.WriteEndObject();
        await EndAsync(context, writer);
    }

    /// <summary>Answers that a request was refused, in OpenAI's shape.</summary>
    public static async Task WriteErrorAsync(HttpContext context, ApiException error)
    {
        context.Response.StatusCode = error.Status;
        if (error.RetryAfter is { } seconds)
            context.Response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        using Utf8JsonWriter writer = Begin(context);
        writer.WriteStartObject("error");
        writer.WriteString("message", error.Message);
        writer.WriteString("type", error.Status switch
        {
            StatusCodes.Status401Unauthorized => "authentication_error",
            StatusCodes.Status429TooManyRequests => "rate_limit_error",
            >= 500 => "server_error",
            _ => "invalid_request_error",
        });
        writer.WriteString("param", error.Parameter);
        writer.WriteString("code", error.Code);
        writer.WriteEndObject();
        writer.WriteEndObject();
        await EndAsync(context, writer);
    }

    private static Utf8JsonWriter Begin(HttpContext context)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        var writer = new Utf8JsonWriter(context.Response.BodyWriter);
        writer.WriteStartObject();
        return writer;
    }

    private static async Task EndAsync(HttpContext context, Utf8JsonWriter writer)
    {
        await writer.FlushAsync(context.RequestAborted);
        await context.Response.BodyWriter.FlushAsync(context.RequestAborted);
    }

    private static void WriteNumbers(Utf8JsonWriter writer, string name, ReadOnlySpan<float> values)
    {
        writer.WriteStartArray(name);
        foreach (float value in values)
            writer.WriteNumberValue(value);
        writer.WriteEndArray();
    }

    /// <summary>The model's members; ends the object.</summary>
    private void WriteModel(Utf8JsonWriter writer, ServedModel model)
    {
        writer.WriteString("id", model.Name);
        writer.WriteString("object", "model");
        writer.WriteNumber("created", _created);
        writer.WriteString("owned_by", "clipengine");
        writer.WriteString("architecture", model.Model.Encoder.Architecture);
        writer.WriteNumber("dimensions", model.Model.EmbedDimension);
        writer.WriteNumber("context_length", model.Model.Tokenizer.ContextLength);
        writer.WriteString("device", model.Model.Backend.Name);
        writer.WriteEndObject();
    }

    private ServedModel Find(string? name) => name is null && _models.Count == 1 ? _models[0]
        : name is null ? throw new ApiException(StatusCodes.Status400BadRequest, $"model: is missing; there are {string.Join(", ", _models.Select(static model => model.Name))}.", "model", "missing_field")
        : _models.FirstOrDefault(model => model.Name == name)
            ?? throw new ApiException(StatusCodes.Status404NotFound, $"There is no model '{BadInputException.Escape(name, 200)}'; there are {string.Join(", ", _models.Select(static model => model.Name))}.", "model", "model_not_found");

    /// <summary>Reads a request: a JSON object, or an image as the body with the fields in the query.</summary>
    private async Task<Request> ReadAsync(HttpContext context, IReadOnlyDictionary<string, FieldKind> known, string imageField)
    {
        // Before the body is looked at: who cannot be served is told at once.
        if (!_scheduler.HasRoom)
            throw QueueIsFull();
        string type = context.Request.ContentType?.Split(';')[0].Trim() ?? "";
        bool isImage = type.StartsWith("image/", StringComparison.OrdinalIgnoreCase) || type.Equals("application/octet-stream", StringComparison.OrdinalIgnoreCase);
        if (!isImage && !type.Equals("application/json", StringComparison.OrdinalIgnoreCase))
            throw new ApiException(StatusCodes.Status415UnsupportedMediaType, $"Expected Content-Type application/json, or image/jpeg and the like with an image as the body; found '{BadInputException.Escape(type, 60)}'.", code: "unsupported_content_type");
        RequestBody body;
        try
        {
            body = await RequestBody.ReadAsync(context, _memory, _settings.MaximumBodyBytes);
        }
        catch (ApiException exception) when (exception.Status == StatusCodes.Status429TooManyRequests)
        {
            _telemetry.Refused("memory");
            throw;
        }

        try
        {
            RequestFields fields = isImage
                ? RequestFields.Read(context.Request.Query, known, imageField, _settings.MaximumInputs)
                : RequestFields.Read(body.Bytes, known, _settings.MaximumInputs);
            return new Request(body, fields, isImage ? (ReadOnlyMemory<byte>?)body.Bytes : null, Find(fields.Text("model")));
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }

    private List<Item> Images(Request request, string field)
    {
        int count = request.Image is null ? request.Fields.Count(field) : 1;
        if (count == 0)
            throw new ApiException(StatusCodes.Status400BadRequest, $"{field}: is missing; give images as data URLs.", field, "missing_field");
        long pixels = 0;
        var images = new List<Item>(count);
        for (int i = 0; i < count; i++)
            images.Add(ImageItem(request, field, i, ref pixels));
        return images;
    }

    /// <summary>An image whose header was read: what it would take is known before it is decoded.</summary>
    private ImageItem ImageItem(Request request, string field, int index, ref long pixels)
    {
        string name = request.Image is null ? request.Fields.NameOf(field, index) : field;
        ReadOnlyMemory<byte> encoded = request.Image ?? request.Fields.ImageAt(field, index);
        ImageHeader header = ImagePreprocessor.ReadHeader(encoded.Span, name);
        long own = (long)header.Width * header.Height;
        pixels += own;
        return pixels <= _settings.MaximumPixels
            ? new ImageItem(request.Model.Model, name, encoded, (int)(1 + ((own - 1) / PixelsOfACost)))
            : throw new ApiException(StatusCodes.Status413PayloadTooLarge, $"{name}: with its {header.Width} x {header.Height} pixels the images of this request have more than {_settings.MaximumPixels / 1_000_000} million, which is what this server takes.", field, "too_many_pixels");
    }

    /// <summary>Computes what a request needs, all of it or nothing.</summary>
    private async Task RunAsync(HttpContext context, params Job?[] jobs)
    {
        Job[] present = [.. jobs.OfType<Job>()];
        int cost = present.Sum(static job => job.Items.Sum(static item => item.Cost));
        if (!_scheduler.TryAdmit(cost))
            throw QueueIsFull();
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        // All are waited for, whatever happens to one: they read the request's body.
        await Task.WhenAll(present.Select(RunOneAsync));

        async Task RunOneAsync(Job job)
        {
            try
            {
                await _scheduler.RunAsync(job, ending.Token);
            }
            catch
            {
                await ending.CancelAsync();
                throw;
            }
        }
    }

    private ApiException QueueIsFull()
    {
        _telemetry.Refused("queue");
        return new ApiException(StatusCodes.Status429TooManyRequests, "The queue is full; try again later.", code: "rate_limit_exceeded") { RetryAfter = _scheduler.SecondsToWait };
    }

    /// <summary>OpenAI's <c>usage</c>: ids of the sentences, and what the image tower makes of an image.</summary>
    private static void WriteUsage(Utf8JsonWriter writer, ServedModel model, IEnumerable<Item> items)
    {
        int tokens = items.Sum(item => item is TextItem text ? text.IdCount : model.Model.Encoder.ImageTokens);
        writer.WriteStartObject("usage");
        writer.WriteNumber("prompt_tokens", tokens);
        writer.WriteNumber("total_tokens", tokens);
        writer.WriteEndObject();
    }

    /// <summary>Which sentences did not fit the model and lost their ends; nothing where all did.</summary>
    private static void WriteTruncated(Utf8JsonWriter writer, IEnumerable<int> indices)
    {
        int[] truncated = [.. indices];
        if (truncated.Length == 0)
            return;
        writer.WriteStartArray("truncated");
        foreach (int index in truncated)
            writer.WriteNumberValue(index);
        writer.WriteEndArray();
    }

    private static IEnumerable<int> Truncated(IReadOnlyList<Item> items) => Enumerable.Range(0, items.Count).Where(i => items[i] is TextItem { IsTruncated: true });

    /// <summary>A request that was read.</summary>
    private sealed record Request(RequestBody Body, RequestFields Fields, ReadOnlyMemory<byte>? Image, ServedModel Model) : IDisposable
    {
        public void Dispose() => Body.Dispose();
    }
}
