using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Schema;

namespace ClipEngine.Audit.Specs;

/// <summary>The JSON Schema (draft 2020-12) of specs, by which editors complete keys and mark mistakes.</summary>
internal static class SpecSchema
{
    private const string Resource = "audit-spec.schema.json";

    /// <summary>The schema's text, as <c>clipengine audit spec --schema</c> prints it.</summary>
    public static byte[] Text()
    {
        using Stream stream = typeof(SpecSchema).Assembly.GetManifestResourceStream(Resource)
            ?? throw new InvalidOperationException("the schema is not in the assembly");
        using var memory = new MemoryStream();
        stream.CopyTo(memory);
        return memory.ToArray();
    }

    /// <summary>Makes the schema from the types that specs are read into; the file in the repository is held against it by a test.</summary>
    /// <param name="describe">What a key means, from its documentation; null for nothing.</param>
    internal static string Make(Func<MemberInfo, string?> describe)
    {
        var options = new JsonSchemaExporterOptions
        {
            TreatNullObliviousAsNonNullable = true,
            TransformSchemaNode = (context, node) =>
            {
                if (node is not JsonObject schema)
                    return node;
                if (context.PropertyInfo is { AttributeProvider: MemberInfo member } && describe(member) is { } text)
                    schema.Insert(0, "description", text);
                return schema;
            },
        };
        var root = (JsonObject)SpecJson.Default.AuditSpec.GetJsonSchemaAsNode(options);
        root.Insert(0, "$schema", "https://json-schema.org/draft/2020-12/schema");
        root.Insert(1, "title", "Specification of an audit by ClipEngine");
        var json = new MemoryStream();
        using (var writer = new Utf8JsonWriter(json, new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
            root.WriteTo(writer);
        return Encoding.UTF8.GetString(json.ToArray()) + "\n";
    }
}
