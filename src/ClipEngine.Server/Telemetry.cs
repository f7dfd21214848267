using System.Diagnostics.Metrics;
using ClipEngine.Server.Scheduling;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace ClipEngine.Server;

/// <summary>
/// What the server measures of itself, beside what ASP.NET Core measures of requests: as text for Prometheus, and over OTLP where
/// <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> says where to.
/// </summary>
internal sealed class Telemetry : IDisposable
{
    /// <summary>The environment variables of OpenTelemetry that turn its exporter on.</summary>
    private static readonly string[] s_endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"];

    private readonly Meter _meter = new("ClipEngine.Server");
    private readonly Counter<long> _inputs, _refusals;
    private readonly Histogram<int> _batchSizes;
    private readonly Histogram<double> _stages;

    /// <summary>Declares the instruments.</summary>
    public Telemetry()
    {
        _inputs = _meter.CreateCounter<long>("clipengine.inputs", "{input}", "Images and sentences that went through a tower.");
        _refusals = _meter.CreateCounter<long>("clipengine.refusals", "{request}", "Requests that were answered 429, by what was full: queue or memory.");
        _batchSizes = _meter.CreateHistogram("clipengine.batch.size", "{input}", "Inputs that went through a tower at once.",
            advice: new InstrumentAdvice<int> { HistogramBucketBoundaries = [1, 2, 4, 6, 8, 10, 16, 24, 32, 64, 128] });
        _stages = _meter.CreateHistogram("clipengine.stage.duration", "s", "Time of a stage: prepare (decode, tokenise) and queue of an input, tower of a batch.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] });
    }

    /// <summary>Collects and exports, until it is disposed.</summary>
    public static MeterProvider CreateProvider()
    {
        MeterProviderBuilder builder = Sdk.CreateMeterProviderBuilder()
            .ConfigureResource(static resource => resource.AddService("clipengine"))
            .AddMeter("ClipEngine.Server", "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime")
            .AddPrometheusExporter();
        if (s_endpoints.Any(static name => Environment.GetEnvironmentVariable(name) is { Length: > 0 }))
            builder = builder.AddOtlpExporter();
        return builder.Build();
    }

    /// <summary>Shows how full the queue is.</summary>
    public void Watch(Scheduler scheduler, int capacity)
    {
        _meter.CreateObservableUpDownCounter("clipengine.queue.length", () => scheduler.Admitted, "{input}", "Inputs that wait or are computed, large images counted several times.");
        _meter.CreateObservableGauge("clipengine.queue.capacity", () => capacity, "{input}", "What the queue takes.");
    }

    /// <summary>A request was answered 429.</summary>
    /// <param name="full"><c>queue</c> or <c>memory</c>.</param>
    public void Refused(string full) => _refusals.Add(1, new KeyValuePair<string, object?>("full", full));

    /// <summary>An input was prepared.</summary>
    public void Stage(string stage, Lane lane, TimeSpan time) => _stages.Record(time.TotalSeconds, new("stage", stage), new("model", lane.Model), new("kind", lane.Kind));

    /// <summary>A batch went through its tower.</summary>
    public void Batch(Lane lane, IReadOnlyList<Item> batch, long start, TimeSpan time)
    {
        KeyValuePair<string, object?> model = new("model", lane.Model), kind = new("kind", lane.Kind);
        _inputs.Add(batch.Count, model, kind);
        _batchSizes.Record(batch.Count, model, kind);
        Stage("tower", lane, time);
        foreach (Item item in batch)
            Stage("queue", lane, System.Diagnostics.Stopwatch.GetElapsedTime(item.Submitted, start));
    }

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();
}
