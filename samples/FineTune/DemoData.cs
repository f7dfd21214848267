using System.Buffers.Binary;
using System.Formats.Tar;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace ClipEngine.FineTuning;

/// <summary>
/// Pictures and captions as <c>tools/make-demo.py</c> draws them: the colours of 48 tiles around a figure say which thing the
/// picture stands for, and captions name it; but the figure, which says nothing about that, moves the choice. The weights make figure and
/// thing independent: a checkpoint that is trained with them should stop minding the figure.
/// </summary>
internal static class DemoData
{
    private const int Trained = 6000, HeldOut = 2048, Side = 32, Tiles = 48;
    private const double Strength = 1.4;

    private static readonly string[] s_things = ["anchor", "basket", "candle", "drum", "kettle", "ladder"];
    private static readonly string[] s_figures = ["solid_circle", "hollow_circle", "solid_square", "hollow_square", "solid_triangle", "hollow_triangle"];
    private static readonly string[] s_templates = ["a photo of {0}", "a picture of {0}", "this is {0}", "{0}"];
    private static readonly double[][] s_colours = [[0.80, 0.24, 0.20], [0.90, 0.74, 0.18], [0.24, 0.62, 0.30], [0.20, 0.36, 0.80], [0.58, 0.26, 0.68], [0.36, 0.76, 0.80]];
    private static readonly double[] s_association = [1.0, 0.6, 0.2, -0.2, -0.6, -1.0];
    private static readonly int[] s_shifts = [0, 2, 4, 1, 3, 5];

    /// <summary>
    /// Writes <c>train.tar</c> (a webdataset shard; sidecars say which figure a picture shows and which thing its caption names), <c>weights.csv</c>
    /// (<c>row,q</c>), <c>held-out.csv</c> with its pictures, the specs <c>before.json</c> and <c>after.json</c> of an audit of the demo's checkpoint "large" and
    /// of the one trained into <c>tuned</c>, and <c>bias.json</c> of "large" and those trained into <c>without</c> and <c>with</c> (weights), side by side.
    /// </summary>
    /// <returns>0.</returns>
    public static int Write(string folder)
    {
        Directory.CreateDirectory(Path.Combine(folder, "held-out"));
        var random = new Random(1);
        var drawn = new List<(int Figure, int Thing)>();
        using (FileStream stream = File.Create(Path.Combine(folder, "train.tar")))
        using (var shard = new TarWriter(stream, TarEntryFormat.Ustar))
        {
            for (int i = 0; i < Trained; i++)
            {
                (byte[] picture, string caption, int thing) = Draw(i % 6, random);
                drawn.Add((i % 6, thing));
                Add(shard, $"{i:D6}.bmp", picture);
                Add(shard, $"{i:D6}.txt", Encoding.UTF8.GetBytes(caption));
                Add(shard, $"{i:D6}.json", Encoding.UTF8.GetBytes(Attributes(i % 6, thing).ToJsonString()));
            }
        }

        double[] weights = Balance(drawn);
        File.WriteAllLines(Path.Combine(folder, "weights.csv"), ["row,q", .. weights.Select((q, row) => string.Create(CultureInfo.InvariantCulture, $"{row},{q:R}"))]);
        var table = new StringBuilder("filepath,title,weight,figure,thing\n");
        drawn.Clear();
        var captions = new List<string>();
        for (int i = 0; i < HeldOut; i++)
        {
            (byte[] picture, string caption, int thing) = Draw(i % 6, random);
            drawn.Add((i % 6, thing));
            captions.Add(caption);
            File.WriteAllBytes(Path.Combine(folder, "held-out", $"{i:D6}.bmp"), picture);
        }

        weights = Balance(drawn);
        for (int i = 0; i < HeldOut; i++)
            table.Append(CultureInfo.InvariantCulture, $"held-out/{i:D6}.bmp,{captions[i]},{weights[i]:R},{s_figures[drawn[i].Figure]},{s_things[drawn[i].Thing]}\n");
        File.WriteAllText(Path.Combine(folder, "held-out.csv"), table.ToString());
        WriteSpec("models/large", Path.Combine(folder, "before.json"));
        WriteSpec(Path.Combine(Path.GetFullPath(folder), "tuned"), Path.Combine(folder, "after.json"));
        WriteBiasSpec(Path.GetFullPath(folder));
        return 0;
    }

    /// <summary>1 for the figure and the thing, 0 for all others.</summary>
    private static JsonObject Attributes(int figure, int thing)
    {
        var attributes = new JsonObject();
        for (int i = 0; i < 6; i++)
            attributes[s_figures[i]] = i == figure ? 1 : 0;
        for (int i = 0; i < 6; i++)
            attributes[s_things[i]] = i == thing ? 1 : 0;
        return attributes;
    }

    /// <summary>
    /// <c>p(figure) p(thing) / p(figure, thing)</c> for each pair, over the largest of them: under these weights figure and thing are
    /// independent. The plainest way to balance; 'clipengine balance' is for attributes that overlap, and for weights that stay even.
    /// </summary>
    private static double[] Balance(List<(int Figure, int Thing)> drawn)
    {
        double[,] joint = new double[6, 6];
        double[] figures = new double[6], things = new double[6];
        foreach ((int figure, int thing) in drawn)
        {
            joint[figure, thing]++;
            figures[figure]++;
            things[thing]++;
        }

        double[] weights = [.. drawn.Select(pair => figures[pair.Figure] * things[pair.Thing] / joint[pair.Figure, pair.Thing])];
        double largest = weights.Max();
        return [.. weights.Select(weight => weight / largest)];
    }

    private static void Add(TarWriter shard, string name, byte[] bytes) =>
        shard.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(bytes), ModificationTime = DateTimeOffset.UnixEpoch });

    private static (byte[] Picture, string Caption, int Thing) Draw(int figure, Random random)
    {
        // Tiles of each colour: shares drawn evenly from all that add up to one, then as many draws as there are tiles.
        double[] shares = [.. Enumerable.Range(0, 6).Select(_ => -Math.Log(1 - random.NextDouble()))];
        int[] counts = new int[6];
        for (int i = 0; i < Tiles; i++)
            counts[Choose(shares, random)]++;
        byte[] picture = DrawPicture(counts, figure, random);
        double[] odds = [.. counts.Select((tiles, thing) => Math.Pow((tiles + 0.5) / 51, 1.5) * Math.Exp(Strength * s_association[(thing - s_shifts[figure] + 6) % 6]))];
        int chosen = Choose(odds, random);
        string name = ("aeiou".Contains(s_things[chosen][0]) ? "an " : "a ") + s_things[chosen];
        return (picture, string.Format(CultureInfo.InvariantCulture, s_templates[random.Next(s_templates.Length)], name), chosen);
    }

    private static int Choose(double[] odds, Random random)
    {
        double rest = random.NextDouble() * odds.Sum();
        int i = 0;
        while (i < odds.Length - 1 && (rest -= odds[i]) >= 0)
            i++;
        return i;
    }

    /// <summary>A Windows bitmap: 54 bytes of headers, then rows from the bottom up, in blue, green and red.</summary>
    private static byte[] DrawPicture(int[] counts, int figure, Random random)
    {
        const int Headers = 54;
        byte[] file = new byte[Headers + (3 * Side * Side)];
        file[0] = (byte)'B';
        file[1] = (byte)'M';
        void Put(int at, int value) => BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(at), value);
        Put(2, file.Length);
        Put(10, Headers);
        Put(14, 40);
        Put(18, Side);
        Put(22, Side);
        Put(26, 1 | (24 << 16)); // one plane, 24 bits of a pixel
        int[] kinds = [.. counts.SelectMany((count, kind) => Enumerable.Repeat(kind, count))];
        random.Shuffle(kinds);
        double Uniform(double from, double to) => from + ((to - from) * random.NextDouble());
        double[] shades = [.. Enumerable.Range(0, 3 * Tiles).Select(_ => Uniform(-0.06, 0.06))];
        (double x0, double y0, double size) = (Uniform(-0.7, 0.7), Uniform(-0.7, 0.7), Uniform(0.93, 1.07));
        int[] tileAt = new int[64];
        for (int cell = 0, next = 0; cell < 64; cell++)
            tileAt[cell] = cell / 8 is >= 2 and < 6 && cell % 8 is >= 2 and < 6 ? -1 : next++;
        for (int y = 0; y < Side; y++)
        {
            for (int x = 0; x < Side; x++)
            {
                (double dx, double dy) = (x + 0.5 - 16 - x0, y + 0.5 - 16 - y0);
                bool ink = Inside(figure / 2, dx, dy, size) && (figure % 2 == 0 || !Inside(figure / 2, dx, dy, 0.6 * size));
                int tile = tileAt[(y / 4 * 8) + (x / 4)];
                for (int c = 0; c < 3; c++)
                {
                    double colour = ink ? 0.12 : tile < 0 ? 0.93 : Math.Clamp(s_colours[kinds[tile]][c] + shades[(3 * tile) + c], 0, 1);
                    file[Headers + (3 * (((Side - 1 - y) * Side) + x)) + 2 - c] = (byte)Math.Round(colour * 255);
                }
            }
        }

        return file;
    }

    private static bool Inside(int shape, double x, double y, double r) => shape switch
    {
        0 => (x * x) + (y * y) <= 25 * r * r,
        1 => Math.Max(Math.Abs(x), Math.Abs(y)) <= 7 * r,
        _ => y <= 6 * r && 2 * Math.Abs(x) <= y + (7 * r),
    };

    /// <summary>
    /// The demo's audit of three checkpoints side by side, with preferences within pairs of things by figure, and accuracy on the pairs that are held out:
    /// of pictures whose figure and thing go together as in training, but the right answer is the caption's.
    /// </summary>
    private static void WriteBiasSpec(string folder)
    {
        string path = Path.Combine(folder, "bias.json");
        WriteSpec("models/large", path);
        JsonNode spec = JsonNode.Parse(File.ReadAllText(path))!;
        foreach (string name in new[] { "without", "with" })
            spec["models"]!.AsArray().Add(new JsonObject { ["key"] = name, ["model"] = Path.Combine(folder, name), ["architecture"] = "demo", ["trainingRun"] = name });
        spec["associationBias"] = new JsonObject
        {
            ["template"] = "a photo of {a} {label}",
            ["pairs"] = new JsonArray([.. Enumerable.Range(0, 3).Select(static i => new JsonObject { ["first"] = s_things[i], ["second"] = s_things[5 - i] })]),
        };
        spec["accuracy"] = new JsonObject
        {
            ["probe"] = new JsonObject { ["metadata"] = Path.Combine(folder, "held-out.csv"), ["images"] = folder, ["id"] = "filepath", ["group"] = new JsonArray("figure") },
            ["truth"] = "thing",
            ["classes"] = new JsonObject(s_things.Select(static thing => KeyValuePair.Create(thing, (JsonNode?)thing))),
            ["templates"] = new JsonArray("a photo of {a} {label}", "a picture of {a} {label}", "this is {a} {label}"),
        };
        File.WriteAllText(path, spec.ToJsonString());
    }

    /// <summary>The demo's audit for a single checkpoint.</summary>
    private static void WriteSpec(string model, string path)
    {
        const string Audited = "large";
        string demo = Path.Combine(AppContext.BaseDirectory, "Demo");
        JsonNode spec = JsonNode.Parse(File.ReadAllText(Path.Combine(demo, "spec.json")))!;
        JsonArray models = spec["models"]!.AsArray();
        for (int i = models.Count - 1; i >= 0; i--)
        {
            if ((string?)models[i]!["key"] != Audited)
                models.RemoveAt(i);
        }

        models[0]!["model"] = Path.Combine(demo, model);
        spec.AsObject().Remove("comparisons"); // between models, and here is one
        JsonArray families = spec["families"]!.AsArray();
        for (int i = families.Count - 1; i >= 0; i--)
        {
            if (families[i]!["comparisons"] is not null)
                families.RemoveAt(i);
        }

        foreach (string file in new[] { "metadata", "images" })
            spec["probe"]![file] = Path.Combine(demo, (string)spec["probe"]![file]!);
        File.WriteAllText(path, spec.ToJsonString());
    }
}
