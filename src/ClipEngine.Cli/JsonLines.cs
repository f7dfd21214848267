using System.Text.Json.Serialization;

namespace ClipEngine.Cli;

/// <summary>The types that are written as JSON in one go, generated so that trimming keeps them.</summary>
[JsonSerializable(typeof(string[]))]
[JsonSerializable(typeof(SortedDictionary<string, string>))]
internal sealed partial class JsonLines : JsonSerializerContext;
