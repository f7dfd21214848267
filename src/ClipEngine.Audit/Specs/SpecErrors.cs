using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace ClipEngine.Audit.Specs;

/// <summary>
/// Says what is wrong with a spec in its author's words. .NET's own messages name its types, and do not say which keys there are.
/// </summary>
internal static class SpecErrors
{
    /// <summary>Key, place, line, and what was expected there.</summary>
    /// <param name="exception">What the parser found.</param>
    /// <param name="root">What the document was read as.</param>
    public static string Describe(JsonException exception, JsonTypeInfo root)
    {
        string message = exception.Message;
        string[] quoted = message.Split('\'');
        string place = exception.Path is { Length: > 2 } path ? path[2..] : "the document";
        string line = exception.LineNumber is { } number ? $", line {number + 1}" : "";
        if (message.StartsWith("The JSON property", StringComparison.Ordinal) && message.Contains("could not be mapped", StringComparison.Ordinal))
        {
            string known = Find(root, quoted[3], []) is { } owner ? $"; the keys there are {string.Join(", ", Keys(owner))}" : "";
            return $"unknown key '{quoted[1]}'{(place == "the document" || place == quoted[1] ? "" : $" at {place}")}{line}{known}.";
        }

        if (message.Contains("missing required properties", StringComparison.Ordinal))
            return $"{place} lacks {string.Join(", ", quoted.Skip(3).Where(static (_, i) => i % 2 == 0).Select(static key => $"'{key}'"))}{line}.";
        if (message.Contains("null values", StringComparison.Ordinal) || message.Contains("setting null", StringComparison.Ordinal))
            return $"{place} is null{line}; a value was expected.";
        if (message.StartsWith("The JSON value could not be converted to", StringComparison.Ordinal))
            return $"{place}: {Expected(message, root)} was expected{line}.";
        // A new wording of the library must not bring its types in.
        return message.Contains("System.", StringComparison.Ordinal) || message.Contains(nameof(ClipEngine) + ".", StringComparison.Ordinal)
            ? $"{place}: another kind of value was expected{line}."
            : message;
    }

    /// <summary>The keys of an object, those that comments and editors use left out.</summary>
    public static IEnumerable<string> Keys(JsonTypeInfo type) => type.Properties.Where(static property => property.Set is not null && !property.Name.StartsWith('$')).Select(static property => property.Name);

    private static string Expected(string message, JsonTypeInfo root)
    {
        string name = message["The JSON value could not be converted to ".Length..].Split(". ")[0].TrimEnd('.');
        if (name.StartsWith("System.Nullable`1[", StringComparison.Ordinal))
            name = name["System.Nullable`1[".Length..].Split([',', ']'])[0];
        return name switch
        {
            "System.Int32" or "System.Int64" => "a whole number",
            "System.Double" => "a number",
            "System.String" => "a text in quotes",
            "System.Boolean" => "true or false",
            _ when name.Contains("Dictionary", StringComparison.Ordinal) => "an object { \"name\": value, ... }",
            _ when name.StartsWith("System.Collections", StringComparison.Ordinal) => "a list [ ... ]",
            _ when Find(root, name, []) is { Type.IsEnum: true } choice => $"one of {string.Join(", ", Enum.GetNames(choice.Type).Select(JsonNamingPolicy.CamelCase.ConvertName))}",
            _ => "an object { ... }",
        };
    }

    /// <summary>The part of a spec that is read as a type of that name.</summary>
    private static JsonTypeInfo? Find(JsonTypeInfo type, string name, HashSet<Type> seen)
    {
        if (type.Type.FullName == name)
            return type;
        if (!seen.Add(type.Type))
            return null;
        IEnumerable<Type> parts = type.Properties.Select(static property => property.PropertyType);
        if (type.ElementType is { } element)
            parts = parts.Append(element);
        foreach (Type part in parts)
        {
            if (type.Options.TryGetTypeInfo(Nullable.GetUnderlyingType(part) ?? part, out JsonTypeInfo? info) && Find(info, name, seen) is { } found)
                return found;
        }

        return null;
    }
}
