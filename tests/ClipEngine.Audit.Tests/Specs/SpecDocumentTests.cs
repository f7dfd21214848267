using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using ClipEngine.Audit.Specs;
using ClipEngine.Testing;

namespace ClipEngine.Audit.Tests.Specs;

/// <summary>
/// The schema and docs/audit-spec.md say what the types that specs are read into say, key by key. Both are made from them: with
/// CLIPENGINE_WRITE_DOCUMENTS=1 these tests write the files in place of comparing them.
/// </summary>
public partial class SpecDocumentTests
{
    private static readonly string s_root = TestData.RepositoryRoot;

    private static readonly Dictionary<string, string> s_documentation = XDocument.Load(Path.Combine(AppContext.BaseDirectory, "ClipEngine.Audit.xml")).Descendants("member")
        .Where(static member => member.Element("summary") is not null)
        .ToDictionary(static member => member.Attribute("name")!.Value, static member => Plain(member.Element("summary")!));

    /// <summary>A spec in which every key is used once, or more.</summary>
    private static string Example => File.ReadAllText(TestData.Path("audit", "every-key.json"));

    [Fact]
    public void TheSchemaIsThatOfTheTypes() => Same(Path.Combine(s_root, "src", "ClipEngine.Audit", "Specs", "audit-spec.schema.json"), SpecSchema.Make(static member => Describe(member)));

    [Fact]
    public void TheDocumentNamesEveryKeyWithAnExample() => Same(Path.Combine(s_root, "docs", "audit-spec.md"), Document());

    [Fact]
    public void TheExampleIsAValidSpec()
    {
        AuditSpec spec = SpecReader.Parse("every-key.json", Encoding.UTF8.GetBytes(Example));
        Assert.NotEmpty(spec.Title);
    }

    [Fact]
    public void ThePrintedSchemaIsTheFile()
    {
        using JsonDocument schema = JsonDocument.Parse(SpecSchema.Text());
        Assert.Equal("object", schema.RootElement.GetProperty("type").GetString());
        Assert.True(schema.RootElement.GetProperty("properties").TryGetProperty("probe", out _));
        Assert.False(schema.RootElement.GetProperty("additionalProperties").GetBoolean());
    }

    /// <summary>Whatever stands under a key that should be something else: the message names key and line, and no type of this program or of .NET.</summary>
    [Fact]
    public void NoMessageNamesAType()
    {
        string[] wrong = ["1", "1.5", "\"text\"", "true", "[]", "[1]", "{}", "{\"x\": 1}", "null", "[null]"];
        foreach ((JsonTypeInfo owner, JsonPropertyInfo key, _, string json) in Keys())
        {
            foreach (string value in wrong)
            {
                string message = "";
                try
                {
                    SpecReader.Parse("spec.json", Encoding.UTF8.GetBytes(Replace(json, owner, key, value)));
                }
                catch (BadInputException exception)
                {
                    message = exception.Message;
                }

                Assert.False(TypeName().IsMatch(message), $"{key.Name}: {value}: {message}");
            }
        }
    }

    [Fact]
    public void AnUnknownKeyIsRefusedWithThoseThereAre()
    {
        string message = Assert.Throws<BadInputException>(() => SpecReader.Parse("spec.json", Encoding.UTF8.GetBytes(Example.Replace("\"metadata\"", "\"metadta\"", StringComparison.Ordinal)))).Message;
        Assert.Contains("unknown key 'metadta'", message, StringComparison.Ordinal);
        Assert.Contains("metadata, images, id, person", message, StringComparison.Ordinal);
    }

    [Fact]
    public void ASynonymThatIsAnotherLabelIsRefused()
    {
        string message = Assert.Throws<BadInputException>(() => SpecReader.Parse("spec.json", Encoding.UTF8.GetBytes(Example.Replace("\"lawbreaker\"", "\"a thief\"", StringComparison.Ordinal)))).Message;
        Assert.Contains("the synonym 'a thief'", message, StringComparison.Ordinal);
    }

    private static string Replace(string json, JsonTypeInfo owner, JsonPropertyInfo key, string value)
    {
        // The first place at which the key stands in an object of its own kind: keys that kinds share are tried where they come first.
        Match match = Regex.Match(json, $"\"{Regex.Escape(key.Name)}\":\\s*", RegexOptions.None, TimeSpan.FromSeconds(10));
        Assert.True(match.Success, $"{owner.Type.Name}.{key.Name} is not in every-key.json");
        int start = match.Index + match.Length;
        var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(json[start..]), new JsonReaderOptions { AllowMultipleValues = true, CommentHandling = JsonCommentHandling.Skip });
        reader.Read();
        reader.Skip();
        return json[..start] + value + json[(start + (int)reader.BytesConsumed)..];
    }

    private static IEnumerable<(JsonTypeInfo Owner, JsonPropertyInfo Key, JsonElement Value, string Json)> Keys()
    {
        string json = Example;
        using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
        var values = new Dictionary<(Type, string), JsonElement>();
        Walk(SpecJson.Default.AuditSpec, document.RootElement, values);
        foreach (JsonTypeInfo type in Types())
        {
            foreach (JsonPropertyInfo property in Properties(type))
            {
                Assert.True(values.TryGetValue((type.Type, property.Name), out JsonElement value), $"tests/data/audit/every-key.json does not use {type.Type.Name}'s '{property.Name}'");
                yield return (type, property, value.Clone(), json);
            }
        }
    }

    private static IEnumerable<JsonPropertyInfo> Properties(JsonTypeInfo type) => type.Properties.Where(static property => property.Set is not null || property.IsRequired);

    private static void Walk(JsonTypeInfo type, JsonElement value, Dictionary<(Type, string), JsonElement> values)
    {
        if (type.Kind == JsonTypeInfoKind.Object && value.ValueKind == JsonValueKind.Object)
        {
            foreach (JsonPropertyInfo property in Properties(type).Where(property => value.TryGetProperty(property.Name, out _)))
            {
                values.TryAdd((type.Type, property.Name), value.GetProperty(property.Name));
                Walk(Info(property.PropertyType), value.GetProperty(property.Name), values);
            }
        }
        else if (type.ElementType is { } element)
        {
            IEnumerable<JsonElement> items = value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : value.ValueKind == JsonValueKind.Object ? value.EnumerateObject().Select(static item => item.Value) : [];
            foreach (JsonElement item in items)
                Walk(Info(element), item, values);
        }
    }

    private static JsonTypeInfo Info(Type type) => SpecJson.Default.Options.GetTypeInfo(Nullable.GetUnderlyingType(type) ?? type);

    /// <summary>The kinds of object, in the order in which a reader meets them.</summary>
    private static List<JsonTypeInfo> Types()
    {
        var types = new List<JsonTypeInfo>();
        void Add(JsonTypeInfo type)
        {
            if (type.ElementType is { } element)
                Add(Info(element));
            if (type.Kind != JsonTypeInfoKind.Object || types.Contains(type))
                return;
            types.Add(type);
            foreach (JsonPropertyInfo property in Properties(type))
                Add(Info(property.PropertyType));
        }

        Add(SpecJson.Default.AuditSpec);
        return types;
    }

    private static string Document()
    {
        var text = new StringBuilder("""
            # The keys of an audit's spec

            A spec is JSON; comments and trailing commas are allowed, unknown keys are refused, paths are relative to the spec's own folder. How an audit is
            run and read stands in [audit.md](audit.md).

                clipengine audit spec --from people.csv > spec.json   # one to begin with, made from a table's columns
                clipengine audit spec > paper.json                    # the published study's: 14 models, two label sets
                clipengine audit spec --schema > audit-spec.schema.json

            With the schema beside a spec and `"$schema": "audit-spec.schema.json"` in it, editors complete keys and mark mistakes.

            This page is made from the program's own definition (`tests/ClipEngine.Audit.Tests/Specs/SpecDocumentTests.cs`). The examples come from one
            spec in which every key is used, `tests/data/audit/every-key.json`. Its labels are insults that the published study asked models about: an
            audit counts how often a model gives them to whom.

            """.ReplaceLineEndings("\n")).Append('\n');
        Dictionary<(Type, string), JsonElement> values = Keys().ToDictionary(static entry => (entry.Owner.Type, entry.Key.Name), static entry => entry.Value);
        foreach (JsonTypeInfo type in Types())
        {
            text.Append($"## {Title(type.Type)}\n\n{s_documentation[$"T:{type.Type.FullName}"]}\n\n| key | what | example |\n|---|---|---|\n");
            foreach (JsonPropertyInfo property in Properties(type))
            {
                string meaning = Describe((MemberInfo)property.AttributeProvider!)!.Replace("|", "\\|", StringComparison.Ordinal);
                text.Append($"| `{property.Name}`{(property.IsRequired ? " (required)" : "")} | {meaning} | {Code(Compact(values[(type.Type, property.Name)]))} |\n");
            }

            text.Append('\n');
        }

        return text.ToString().TrimEnd('\n') + "\n";
    }

    private static string Title(Type type) => type == typeof(AuditSpec) ? "The spec" : $"{type.Name.Replace("Spec", "", StringComparison.Ordinal)}: {Place(type)}";

    /// <summary>Where objects of a kind stand.</summary>
    private static string Place(Type wanted) => string.Join(", ", Types().SelectMany(owner => Properties(owner)
        .Where(property => property.PropertyType == wanted || Info(property.PropertyType).ElementType == wanted)
        .Select(property => $"`{property.Name}`{(owner.Type == typeof(AuditSpec) ? "" : $" of `{owner.Type.Name.Replace("Spec", "", StringComparison.Ordinal).ToLowerInvariant()}`")}")));

    private static string Compact(JsonElement value)
    {
        string text = JsonSerializer.Serialize(value, new JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        return text.Length <= 100 ? text : text[..96] + " ...";
    }

    private static string Code(string text) => $"`{text.Replace("|", "\\|", StringComparison.Ordinal)}`";

    private static string? Describe(MemberInfo member) => s_documentation.GetValueOrDefault($"P:{member.DeclaringType!.FullName}.{member.Name}");

    /// <summary>Documentation as text: code in backticks, references by the key that they name.</summary>
    private static string Plain(XElement summary)
    {
        string text = string.Concat(summary.Nodes().Select(static node => node switch
        {
            XText words => words.Value,
            XElement { Name.LocalName: "c" } code => $"`{code.Value}`",
            XElement element when element.Attribute("cref") is { } reference => $"`{JsonNamingPolicy.CamelCase.ConvertName(reference.Value.Split('.')[^1])}`",
            XElement element => element.Value,
            _ => "",
        }));
        return Spaces().Replace(text, " ").Trim();
    }

    private static void Same(string path, string expected)
    {
        if (Environment.GetEnvironmentVariable("CLIPENGINE_WRITE_DOCUMENTS") == "1")
            File.WriteAllText(path, expected);
        Assert.True(File.Exists(path) && File.ReadAllText(path) == expected,
            $"{Path.GetFileName(path)} is not what the types say. Write it anew: CLIPENGINE_WRITE_DOCUMENTS=1 dotnet test tests/ClipEngine.Audit.Tests -c Release --filter SpecDocument");
    }

    [GeneratedRegex(@"System\.|ClipEngine\.|`1|Version=", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex TypeName();

    [GeneratedRegex(@"\s+", RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Spaces();
}
