using System.Formats.Tar;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ClipEngine.Files;

namespace ClipEngine.Audit.Balancing;

/// <summary>
/// Attributes in the sidecars of webdataset shards: a sample is a run of members that share a key (the path up to the first dot of its last part), a
/// row is a sample, and <c>key.json</c> holds the attributes as members of an object; one that is null or not there is missing.
/// </summary>
/// <param name="shards">The shards in their order.</param>
internal sealed class ShardAttributes(IReadOnlyList<string> shards) : AttributeTable(shards[0])
{
    private const string Sidecar = ".json";

    /// <summary>Larger ones are no sidecars of a sample.</summary>
    private const int MostSidecarBytes = 16 << 20;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Files => shards;

    /// <summary>Whether a path names a shard, by its extension.</summary>
    public static bool IsShard(string path) => System.IO.Path.GetExtension(path).Equals(".tar", StringComparison.OrdinalIgnoreCase);

    /// <summary>The shards of a folder, by name.</summary>
    /// <exception cref="BadInputException">There are none.</exception>
    public static string[] In(string folder)
    {
        string[] found = [.. Directory.EnumerateFiles(folder).Where(IsShard).Order(StringComparer.Ordinal)];
        return found.Length > 0 ? found : throw new BadInputException(folder, "is a folder without shards (.tar).", "Name a table, or a folder of webdataset shards.");
    }

    /// <inheritdoc/>
    public override void Read(IReadOnlyList<string> attributes, string? utility, Action<double[]> visit, CancellationToken cancellation)
    {
        var row = new double[attributes.Count + 1];
        var seen = new bool[attributes.Count + 1];
        long count = 0;
        foreach (string shard in shards)
        {
            foreach (Sample sample in Samples(shard, withBytes: false))
            {
                if ((++count & 0xFFF) == 0)
                    cancellation.ThrowIfCancellationRequested();
                using JsonDocument sidecar = Parse(shard, sample);
                for (int i = 0; i < attributes.Count; i++)
                {
                    row[i] = Number(sidecar.RootElement, attributes[i], ref seen[i], shard, sample);
                    if (!IsAttribute(row[i]))
                        throw NoAttribute($"{shard}, {sample.Key}{Sidecar}, '{attributes[i]}'", row[i]);
                }

                row[^1] = utility is null ? 1 : Number(sidecar.RootElement, utility, ref seen[^1], shard, sample);
                if (!IsUtility(row[^1]))
                    throw NoUtility($"{shard}, {sample.Key}{Sidecar}, '{utility}'", row[^1]);
                visit(row);
            }
        }

        if (count == 0)
            throw NoRows();
        for (int i = 0; i < attributes.Count; i++)
        {
            if (!seen[i])
                throw new BadInputException(Path, $"no sidecar has '{BadInputException.Escape(attributes[i])}'; the first has {string.Join(", ", FirstKeys().Take(30).Select(static key => $"'{BadInputException.Escape(key, 60)}'"))}.", "Name one of them (case matters).");
        }
    }

    /// <summary>
    /// <c>train/00000.tar</c> and so on, a shard for each shard, with the samples each as often as it shall be seen (copies have a number behind their
    /// key), and <c>train/sizes.json</c>, in which OpenCLIP's trainer finds how many samples each holds.
    /// </summary>
    public override void WriteExamples(IEnumerable<long> times, string directory, CancellationToken cancellation)
    {
        string folder = System.IO.Path.Combine(directory, TrainingList.ShardFolder);
        Directory.CreateDirectory(folder);
        using IEnumerator<long> next = times.GetEnumerator();
        var sizes = new JsonObject();
        for (int index = 0; index < shards.Count; index++)
        {
            string name = $"{index:d5}.tar";
            long written = 0;
            string shard = shards[index];
            AtomicFile.Write(System.IO.Path.Combine(folder, name), stream =>
            {
                using var writer = new TarWriter(stream, TarEntryFormat.Pax, leaveOpen: true);
                foreach (Sample sample in Samples(shard, withBytes: true))
                {
                    cancellation.ThrowIfCancellationRequested();
                    if (!next.MoveNext())
                        break;
                    for (long copy = 0; copy < next.Current; copy++, written++)
                    {
                        foreach ((string ending, byte[] bytes) in sample.Members)
                        {
                            string key = copy == 0 ? sample.Key : $"{sample.Key}-{copy}";
                            writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, key + ending) { DataStream = new MemoryStream(bytes, writable: false), ModificationTime = DateTimeOffset.UnixEpoch });
                        }
                    }
                }
            });
            sizes[name] = written;
        }

        AtomicFile.WriteAllText(System.IO.Path.Combine(folder, "sizes.json"), sizes.ToJsonString(new JsonSerializerOptions { WriteIndented = true, NewLine = "\n" }) + "\n");
    }

    private IEnumerable<string> FirstKeys()
    {
        (string shard, Sample first) = shards.SelectMany(static shard => Samples(shard, withBytes: false).Take(1), static (shard, sample) => (shard, sample)).First();
        using JsonDocument sidecar = Parse(shard, first);
        return [.. sidecar.RootElement.EnumerateObject().Select(static member => member.Name)];
    }

    private static JsonDocument Parse(string shard, Sample sample)
    {
        byte[] json = sample.Sidecar ?? throw new BadInputException(shard, $"sample '{BadInputException.Escape(sample.Key, 100)}' has no {BadInputException.Escape(sample.Key, 100)}{Sidecar}.", "Every sample needs a sidecar with its attributes; its members must stand together.");
        try
        {
            var document = JsonDocument.Parse(json);
            return document.RootElement.ValueKind == JsonValueKind.Object ? document : throw new JsonException("it is no object");
        }
        catch (JsonException exception)
        {
            throw new BadInputException(shard, $"{BadInputException.Escape(sample.Key, 100)}{Sidecar} is no JSON object: {BadInputException.Escape(exception.Message, 200)}", "Write {\"attribute\": 1}.", exception);
        }
    }

    private double Number(JsonElement sidecar, string name, ref bool seen, string shard, Sample sample)
    {
        if (!sidecar.TryGetProperty(name, out JsonElement value))
            return double.NaN;
        seen = true;
        return value.ValueKind switch
        {
            JsonValueKind.Null => double.NaN,
            JsonValueKind.True => 1,
            JsonValueKind.False => 0,
            JsonValueKind.Number => value.GetDouble(),
            _ => throw Refuse($"{shard}, {sample.Key}{Sidecar}, '{name}'", "a number or a truth value was expected", value.GetRawText()),
        };
    }

    /// <summary>The samples of a shard; with their members' bytes, or with their sidecars alone.</summary>
    private static IEnumerable<Sample> Samples(string shard, bool withBytes)
    {
        FilePlace.RequireFile(shard, "a webdataset shard (.tar)", takesStreams: false);
        using FileStream stream = File.OpenRead(shard);
        using var reader = new TarReader(stream);
        Sample? sample = null;
        while (Next(shard, reader) is { } entry)
        {
            if (entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile))
                continue;
            int dot = entry.Name.IndexOf('.', entry.Name.LastIndexOf('/') + 1);
            (string key, string ending) = dot < 0 ? (entry.Name, "") : (entry.Name[..dot], entry.Name[dot..]);
            if (sample is not null && sample.Key != key)
            {
                yield return sample;
                sample = null;
            }

            sample ??= new Sample(key);
            bool isSidecar = ending == Sidecar;
            if (!withBytes && !isSidecar)
                continue;
            if (isSidecar && entry.Length > MostSidecarBytes)
                throw new BadInputException(shard, $"{BadInputException.Escape(entry.Name, 100)} has {entry.Length} bytes; a sidecar of a sample was expected.");
            byte[] bytes = Bytes(shard, entry);
            if (isSidecar)
                sample.Sidecar = bytes;
            sample.Members.Add((ending, bytes));
        }

        if (sample is not null)
            yield return sample;
    }

    private static TarEntry? Next(string shard, TarReader reader)
    {
        try
        {
            return reader.GetNextEntry();
        }
        catch (Exception exception) when (exception is InvalidDataException or EndOfStreamException or FormatException)
        {
            throw new BadInputException(shard, $"is no tar archive, or is damaged: {BadInputException.Escape(exception.Message, 200)}", "Fetch or write it again; shards must not be compressed.", exception);
        }
    }

    private static byte[] Bytes(string shard, TarEntry entry)
    {
        try
        {
            var bytes = new MemoryStream();
            entry.DataStream?.CopyTo(bytes);
            return bytes.ToArray();
        }
        catch (Exception exception) when (exception is InvalidDataException or EndOfStreamException)
        {
            throw new BadInputException(shard, $"{BadInputException.Escape(entry.Name, 100)} is cut off.", "Fetch or write it again.", exception);
        }
    }

    /// <summary>A sample of a shard.</summary>
    private sealed class Sample(string key)
    {
        public string Key => key;

        /// <summary>What comes behind the key, with the bytes, in the shard's order.</summary>
        public List<(string Ending, byte[] Bytes)> Members { get; } = [];

        public byte[]? Sidecar { get; set; }
    }
}
