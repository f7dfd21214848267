using System.Buffers;
using System.Buffers.Text;
using System.Text;
using System.Text.Json;

namespace ClipEngine.Server.Api;

/// <summary>What the value of a field is.</summary>
internal enum FieldKind
{
    /// <summary>A string.</summary>
    Text,

    /// <summary>A string or an array of strings.</summary>
    Texts,

    /// <summary>A whole number.</summary>
    Number,
}

/// <summary>
/// The fields of a request's JSON object. Strings stay where they are in the body until they are asked for: images are decoded from base64 in
/// place, and no copy of them is made.
/// </summary>
internal sealed class RequestFields
{
    private const string DataUrl = "data:";
    private const string Base64Mark = ";base64";

    /// <summary>What an image's media type and parameters take before the comma, at most.</summary>
    private const int LongestPrefix = 256;

    private static readonly UTF8Encoding s_strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly Dictionary<string, Field> _fields = [];
    private readonly Memory<byte> _body;

    private RequestFields(Memory<byte> body) => _body = body;

    /// <summary>Reads a JSON object.</summary>
    /// <param name="body">UTF-8; belongs to the result until the request is done.</param>
    /// <param name="known">The fields that the endpoint knows. Others are refused, as OpenAI does, and so are those that come twice.</param>
    /// <param name="maximumTexts">Strings of one array.</param>
    /// <exception cref="ApiException">It is no such object.</exception>
    public static RequestFields Read(Memory<byte> body, IReadOnlyDictionary<string, FieldKind> known, int maximumTexts)
    {
        var result = new RequestFields(body);
        try
        {
            var reader = new Utf8JsonReader(body.Span, new JsonReaderOptions { MaxDepth = 8 });
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                throw new ApiException(StatusCodes.Status400BadRequest, "The body is not a JSON object.", code: "invalid_json");
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
                result.ReadField(ref reader, known, maximumTexts);
            if (reader.Read())
                throw new ApiException(StatusCodes.Status400BadRequest, "The body has more than one JSON value.", code: "invalid_json");
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new ApiException(StatusCodes.Status400BadRequest, $"The body is not valid JSON: {BadInputException.Escape(exception.Message, 200)}", code: "invalid_json");
        }

        return result;
    }

    /// <summary>Fields out of a query string, where the body is an image.</summary>
    /// <param name="query">The query.</param>
    /// <param name="known">The fields that the endpoint knows.</param>
    /// <param name="image">The field that the body stands for.</param>
    /// <param name="maximumTexts">Values of one field.</param>
    /// <exception cref="ApiException">An unknown field, or a value that makes no sense.</exception>
    public static RequestFields Read(IQueryCollection query, IReadOnlyDictionary<string, FieldKind> known, string image, int maximumTexts)
    {
        var result = new RequestFields(default);
        foreach ((string name, Microsoft.Extensions.Primitives.StringValues values) in query)
        {
            FieldKind kind = KindOf(known, name);
            if (name == image || name == "modality")
                throw ApiException.BadValue(name, "is given although the body is an image.");
            if (kind != FieldKind.Texts && values.Count > 1)
                throw ApiException.BadValue(name, "is given twice.");
            if (values.Count > maximumTexts)
                throw TooMany(name, values.Count, maximumTexts);
            result._fields[name] = new Field(false, [.. values.Select(static value => new JsonText(0, 0, value ?? ""))], kind == FieldKind.Number ? NumberOf(name, values[0]) : 0);
        }

        return result;
    }

    /// <summary>Whether a field was given, and not null.</summary>
    public bool Has(string name) => _fields.ContainsKey(name);

    /// <summary>A string; null where it was not given.</summary>
    public string? Text(string name) => _fields.TryGetValue(name, out Field? field) ? StringOf(field.Texts[0], name) : null;

    /// <summary>A whole number; null where it was not given.</summary>
    public long? Number(string name) => _fields.TryGetValue(name, out Field? field) ? field.Number : null;

    /// <summary>How many strings were given.</summary>
    public int Count(string name) => _fields.TryGetValue(name, out Field? field) ? field.Texts.Length : 0;

    /// <summary>What messages call one of the strings: <c>input[3]</c>.</summary>
    public string NameOf(string name, int index) => _fields[name].IsArray ? $"{name}[{index}]" : name;

    /// <summary>One of the strings of a field.</summary>
    /// <exception cref="ApiException">It is no valid text.</exception>
    public string TextAt(string name, int index) => StringOf(_fields[name].Texts[index], NameOf(name, index));

    /// <summary>All strings of a field; none where it was not given.</summary>
    public string[] AllTexts(string name) => [.. Enumerable.Range(0, Count(name)).Select(index => TextAt(name, index))];

    /// <summary>Whether a string is a data URL of an image.</summary>
    public bool IsImage(string name, int index) => StartsWith(_fields[name].Texts[index], "data:image/");

    /// <summary>The bytes of a data URL, decoded where they lie; can be asked for once.</summary>
    /// <exception cref="ApiException">It is no data URL in base64. Other URLs are never fetched.</exception>
    public Memory<byte> ImageAt(string name, int index)
    {
        JsonText text = _fields[name].Texts[index];
        string called = NameOf(name, index);
        if (!StartsWith(text, DataUrl))
        {
            bool isUrl = StartsWith(text, "http:") || StartsWith(text, "https:") || StartsWith(text, "file:") || StartsWith(text, "ftp:");
            throw ApiException.BadValue(called, $"expected an image as a data URL{(isUrl ? "; this server fetches no URLs" : "")}. Send data:image/jpeg;base64,... with the bytes of the file.");
        }

        Memory<byte> place = BytesOf(text);
        int comma = place.Span[..Math.Min(place.Length, LongestPrefix)].IndexOf((byte)',');
        if (comma < 0 || !Encoding.ASCII.GetString(place.Span[..comma]).EndsWith(Base64Mark, StringComparison.OrdinalIgnoreCase))
            throw ApiException.BadValue(called, "expected a data URL in base64: data:image/jpeg;base64,...");
        place = place[(comma + 1)..];
        if (Base64.DecodeFromUtf8InPlace(place.Span, out int written) != OperationStatus.Done)
            throw ApiException.BadValue(called, "its base64 is damaged or cut off.");
        return place[..written];
    }

    private static FieldKind KindOf(IReadOnlyDictionary<string, FieldKind> known, string name) => known.TryGetValue(name, out FieldKind kind) ? kind
        : throw new ApiException(StatusCodes.Status400BadRequest, $"There is no field '{BadInputException.Escape(name, 60)}' here; there are {string.Join(", ", known.Keys)}.", BadInputException.Escape(name, 60), "unknown_field");

    private static ApiException TooMany(string name, int count, int maximum) =>
        new(StatusCodes.Status400BadRequest, $"{name}: has {count} or more values; this server takes {maximum} in one request. Send them in several.", name, "too_many_inputs");

    private static long NumberOf(string name, string? text) => long.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out long number) ? number
        : throw ApiException.BadValue(name, $"expected a whole number, found '{BadInputException.Escape(text ?? "", 40)}'.");

    private void ReadField(ref Utf8JsonReader reader, IReadOnlyDictionary<string, FieldKind> known, int maximumTexts)
    {
        string name = reader.GetString()!;
        FieldKind kind = KindOf(known, name);
        if (_fields.ContainsKey(name))
            throw ApiException.BadValue(name, "is given twice.");
        reader.Read();
        switch (reader.TokenType, kind)
        {
            case (JsonTokenType.Null, _):
                return;
            case (JsonTokenType.Number, FieldKind.Number):
                _fields[name] = new Field(false, [], reader.TryGetInt64(out long number) ? number : throw ApiException.BadValue(name, "expected a whole number."));
                return;
            case (JsonTokenType.String, FieldKind.Text or FieldKind.Texts):
                _fields[name] = new Field(false, [Read(ref reader, name)], 0);
                return;
            case (JsonTokenType.StartArray, FieldKind.Texts):
                var texts = new List<JsonText>();
                while (reader.Read() && reader.TokenType == JsonTokenType.String)
                {
                    if (texts.Count == maximumTexts)
                        throw TooMany(name, texts.Count + 1, maximumTexts);
                    texts.Add(Read(ref reader, name));
                }

                if (reader.TokenType is JsonTokenType.Number or JsonTokenType.StartArray)
                    throw ApiException.BadValue(name, "expected strings. Token ids are not taken: they are another tokenizer's; send the sentences.");
                if (reader.TokenType != JsonTokenType.EndArray)
                    throw ApiException.BadValue(name, "expected strings.");
                if (texts.Count == 0)
                    throw ApiException.BadValue(name, "is empty.");
                _fields[name] = new Field(true, [.. texts], 0);
                return;
            default:
                throw ApiException.BadValue(name, $"expected {kind switch { FieldKind.Text => "a string", FieldKind.Texts => "a string or an array of strings", _ => "a whole number" }}.");
        }
    }

    /// <summary>The string that the reader stands on. Its escapes are resolved where it lies, which never makes it longer, and behind the reader.</summary>
    private JsonText Read(ref Utf8JsonReader reader, string name)
    {
        int start = (int)reader.TokenStartIndex + 1, length = reader.ValueSpan.Length;
        if (reader.ValueIsEscaped)
        {
            byte[] copy = ArrayPool<byte>.Shared.Rent(length);
            try
            {
                int written = reader.CopyString(copy);
                copy.AsSpan(0, written).CopyTo(_body.Span[start..]);
                return new JsonText(start, written, null);
            }
            catch (InvalidOperationException)
            {
                throw ApiException.BadValue(name, "holds half of a surrogate pair, which is no text.");
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(copy);
            }
        }

        return new JsonText(start, length, null);
    }

    private bool StartsWith(JsonText text, string prefix)
    {
        ReadOnlySpan<byte> bytes = BytesOf(text).Span;
        return bytes.Length >= prefix.Length && Ascii.EqualsIgnoreCase(bytes[..prefix.Length], prefix);
    }

    private Memory<byte> BytesOf(JsonText text) => text.Value is { } value ? Encoding.UTF8.GetBytes(value) : _body.Slice(text.Start, text.Length);

    private string StringOf(JsonText text, string called)
    {
        try
        {
            return text.Value ?? s_strict.GetString(BytesOf(text).Span);
        }
        catch (DecoderFallbackException)
        {
            throw ApiException.BadValue(called, "is not valid UTF-8.");
        }
    }

    private sealed record Field(bool IsArray, JsonText[] Texts, long Number);

    /// <summary>A string: where it lies in the body, or itself.</summary>
    private readonly record struct JsonText(int Start, int Length, string? Value);
}
