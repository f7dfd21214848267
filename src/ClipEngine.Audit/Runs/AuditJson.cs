using System.Text.Json;
using System.Text.Json.Serialization;
using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Runs;

/// <summary>The stored form of results: <c>results.json</c>, from which a report can be made again.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    RespectNullableAnnotations = true,
    UseStringEnumConverter = true,
    NewLine = "\n")]
[JsonSerializable(typeof(AuditResult))]
[JsonSerializable(typeof(ModelAnalysis))]
[JsonSerializable(typeof(ModelBias))]
[JsonSerializable(typeof(PairAnalysis))]
[JsonSerializable(typeof(RunRecord))]
[JsonSerializable(typeof(string[]))]
[JsonSerializable(typeof(TimingRecord))]
internal sealed partial class AuditJson : JsonSerializerContext;
