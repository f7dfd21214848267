using System.Text.Json.Serialization;

namespace ClipEngine.Audit.Verification;

/// <summary>A published table and what declared pairings come to in it.</summary>
/// <param name="Table">The file's name.</param>
/// <param name="Labels">The labels.</param>
/// <param name="Rows">The models.</param>
/// <param name="Differences">The pairings whose models the table has.</param>
internal sealed record FrequencyReport(
    string Table, IReadOnlyList<string> Labels, IReadOnlyList<FrequencyRow> Rows, IReadOnlyList<FrequencyDifference> Differences);

/// <summary>The machine-readable form of verifications and comparisons.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true, WriteIndented = true, NewLine = "\n")]
[JsonSerializable(typeof(IReadOnlyList<VerifiedValue>))]
[JsonSerializable(typeof(IReadOnlyList<ModelChange>))]
[JsonSerializable(typeof(FrequencyReport[]))]
[JsonSerializable(typeof(IReadOnlyList<CheckedBound>))]
internal sealed partial class VerificationJson : JsonSerializerContext;
