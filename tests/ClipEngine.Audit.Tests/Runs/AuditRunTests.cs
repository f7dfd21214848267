using System.Net.Sockets;
using ClipEngine.Audit.Report;
using ClipEngine.Audit.Results;
using ClipEngine.Audit.Runs;
using ClipEngine.Files;
using ClipEngine.Testing;
using Microsoft.Data.Sqlite;

namespace ClipEngine.Audit.Tests.Runs;

/// <summary>Whole runs over small files that stand for images, with models that are functions of bytes.</summary>
public class AuditRunTests
{
    private const int Images = 300;

    [Fact]
    public void AnInterruptedRunEndsWithTheBytesOfAnUndisturbedOne()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        new AuditRun(spec, folder.File("whole"), new FakeModels(), new ReportWriter()).Execute();
        Dictionary<string, string> expected = Contents(folder.File("whole"));
        Assert.Contains("results.sqlite", expected.Keys);
        Assert.Contains("report.html", expected.Keys);

        // Each time one step further before everything stops, as if killed there.
        int calls = 0;
        int stops = 0;
        for (int limit = 0; ; limit++)
        {
            calls = 0;
            try
            {
                new AuditRun(spec, folder.File("killed"), new FakeModels(_ =>
                {
                    if (calls++ >= 1 && limit < 5)
                        throw new InvalidOperationException("killed");
                }), new ReportWriter()).Execute();
                break;
            }
            catch (InvalidOperationException)
            {
                stops++;
            }
        }

        Assert.True(stops >= 3);
        Assert.Equal(expected, Contents(folder.File("killed")));
    }

    [Fact]
    public void AFinishedRunEncodesNothingAgainAndAChangedPromptOnlySentences()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        var encoded = new List<string>();
        var models = new FakeModels(encoded.Add);
        new AuditRun(spec, folder.File("out"), models, new ReportWriter()).Execute();
        Dictionary<string, string> before = Contents(folder.File("out"));
        encoded.Clear();
        new AuditRun(spec, folder.File("out"), models, new ReportWriter()).Execute();
        Assert.Empty(encoded);
        Assert.Equal(before, Contents(folder.File("out")));

        File.WriteAllText(spec, File.ReadAllText(spec).Replace("A photo of", "A picture of", StringComparison.Ordinal));
        new AuditRun(spec, folder.File("out"), models, new ReportWriter()).Execute();
        Assert.Equal(["one texts", "two texts"], encoded);

        // A damaged stage is not taken for a finished one.
        encoded.Clear();
        string features = Directory.GetFiles(folder.File("out", "embeddings"), "one*images*").Single();
        File.WriteAllBytes(features, File.ReadAllBytes(features)[..^4]);
        new AuditRun(spec, folder.File("out"), models, new ReportWriter()).Execute();
        Assert.Equal((Images + AuditRun.ChunkImages - 1) / AuditRun.ChunkImages, encoded.Count(entry => entry.StartsWith("one images", StringComparison.Ordinal)));
    }

    [Fact]
    public void AFinishedAnalysisIsTakenAsItIsUntilWhatItDependsOnChanges()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        string ledger = folder.File("out", StageLedger.FileName);
        void Run() => new AuditRun(spec, folder.File("out"), new FakeModels(), new ReportWriter()).Execute();
        Run();
        string stored = folder.File("out", "analysis", "model.one.json");
        string comparisons = folder.File("out", "analysis", "comparisons.json");
        string honest = File.ReadAllText(stored);

        // A planted number, entered as what the stage made, comes back: nothing is analysed again.
        string planted = honest.Replace("\"count\":100,", "\"count\":101,", StringComparison.Ordinal);
        Assert.NotEqual(honest, planted);
        File.WriteAllText(stored, planted);
        File.WriteAllText(ledger, File.ReadAllText(ledger).Replace(Hash(honest), Hash(planted), StringComparison.Ordinal));
        Run();
        Assert.Equal(planted, File.ReadAllText(stored));
        Assert.Contains(",101,", File.ReadAllText(folder.File("out", "tables", "groups.csv")));

        // Words that only readers see change nothing; a comparison's change leaves the models' analyses alone.
        DateTime compared = File.GetLastWriteTimeUtc(comparisons);
        File.WriteAllText(spec, File.ReadAllText(spec).Replace("\"title\": \"Test\"", "\"title\": \"Another title\"", StringComparison.Ordinal));
        Run();
        Assert.Equal(compared, File.GetLastWriteTimeUtc(comparisons));
        File.WriteAllText(spec, File.ReadAllText(spec).Replace("one to two", "one against two", StringComparison.Ordinal));
        Run();
        Assert.Equal(planted, File.ReadAllText(stored));
        Assert.Contains("one against two", File.ReadAllText(comparisons));

        File.WriteAllText(spec, File.ReadAllText(spec).Replace("\"resamples\": 199", "\"resamples\": 299", StringComparison.Ordinal));
        Run();
        Assert.DoesNotContain("\"count\":101,", File.ReadAllText(stored));
        File.WriteAllText(folder.File("probe.csv"), File.ReadAllText(folder.File("probe.csv")).Replace("001,001.bin,B", "001,001.bin,A", StringComparison.Ordinal));
        Run();
        Assert.Contains("\"count\":101,", File.ReadAllText(stored));
    }

    [Fact]
    public void AModelThatFailsLaterKeepsWhatItHasDone()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        var encoded = new List<string>();
        new AuditRun(spec, folder.File("out"), new FakeModels(), new ReportWriter()).Execute();
        Dictionary<string, string> before = Contents(folder.File("out"));
        File.Move(folder.File("one"), folder.File("away"));
        Assert.NotNull(new AuditRun(spec, folder.File("out"), new FakeModels(), new ReportWriter()).Execute().Models[0].Failure);
        File.Move(folder.File("away"), folder.File("one"));
        new AuditRun(spec, folder.File("out"), new FakeModels(encoded.Add), new ReportWriter()).Execute();
        Assert.Empty(encoded);
        Assert.Equal(before, Contents(folder.File("out")));
    }

    [Fact]
    public void AMissingImageIsSaidBeforeAnyModelIsOpened()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        File.Delete(folder.File("images", "007.bin"));
        var encoded = new List<string>();
        BadInputException refused = Assert.Throws<BadInputException>(() => new AuditRun(spec, folder.File("out"), new FakeModels(encoded.Add), new ReportWriter()).Execute());
        Assert.Contains("007.bin", refused.Message);
        Assert.Empty(encoded);

        // A finished run stays finished when it is asked for again with an input that is at fault.
        File.WriteAllText(folder.File("images", "007.bin"), "image 7");
        new AuditRun(spec, folder.File("out"), new FakeModels(), new ReportWriter()).Execute();
        Dictionary<string, string> before = Contents(folder.File("out"));
        File.Delete(folder.File("images", "007.bin"));
        Assert.Throws<BadInputException>(() => new AuditRun(spec, folder.File("out"), new FakeModels(), new ReportWriter()).Execute());
        Assert.Equal(before, Contents(folder.File("out")));
    }

    [Fact]
    public void AFolderThatIsSomebodysOwnIsLeftAlone()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        Directory.CreateDirectory(folder.File("mine", "tables"));
        File.WriteAllText(folder.File("mine", "tables", "accounts.csv"), "mine");
        Assert.Contains("tables", Assert.Throws<BadInputException>(() => new AuditRun(spec, folder.File("mine"), new FakeModels(), new ReportWriter()).Execute()).Message);
        Assert.Equal(["mine"], Directory.GetFiles(folder.File("mine"), "*", SearchOption.AllDirectories).Select(File.ReadAllText));

        // Files that a run does not touch may lie there: the spec itself, or somebody's unfinished download.
        File.WriteAllText(folder.File("download.partial"), "mine");
        new AuditRun(spec, folder.Root, new FakeModels(), new ReportWriter()).Execute();
        Assert.Equal("mine", File.ReadAllText(folder.File("download.partial")));
    }

    [Fact]
    public void AnAttributeThatGroupsDoNotDecideIsLeftOutWithTheReason()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        string[] lines = File.ReadAllLines(folder.File("probe.csv"));
        File.WriteAllLines(folder.File("probe.csv"), lines.Select((line, row) => row == 0 ? line + ",half,group_too" : $"{line},{(row % 2 == 0 ? "even" : "odd")},{line[^1]}"));
        string json = File.ReadAllText(spec);
        File.WriteAllText(spec, (json[..json.IndexOf("\"comparisons\"", StringComparison.Ordinal)].TrimEnd().TrimEnd(',') + "}")
            .Replace("\"text\": \"animal\"", "\"text\": \"animal\", \"group\": \"A\"", StringComparison.Ordinal)
            .Replace("\"text\": \"person\"", "\"text\": \"person\", \"group\": \"B\"", StringComparison.Ordinal)
            .Replace("\"text\": \"stone\"", "\"text\": \"stone\", \"group\": \"B\"", StringComparison.Ordinal)
            .Replace("\"merged\"", "\"factors\": [\"half\", \"group_too\"], \"merged\"", StringComparison.Ordinal));
        AuditResult result = new AuditRun(spec, folder.File("out"), new FakeModels(), new ReportWriter()).Execute();
        Confusion confusion = result.Experiments[0].Models[0].Confusion!;
        Assert.Equal(["group_too"], confusion.MisclassifiedByAttribute.Select(frame => frame.Subject));
        Assert.Equal(confusion.Misclassified.Overall.Value, confusion.MisclassifiedByAttribute[0].Overall.Value);
        Assert.Contains("'half'", Assert.Single(confusion.AttributesLeftOut));
        Assert.Contains("No rate of names that are wrong in", File.ReadAllText(folder.File("out", "report.html")));

        // One that the manifest lacks is a mistake of the spec.
        File.WriteAllText(spec, File.ReadAllText(spec).Replace("\"half\"", "\"halv\"", StringComparison.Ordinal));
        Assert.Contains("halv", Assert.Throws<BadInputException>(() => new AuditRun(spec, folder.File("else"), new FakeModels(), new ReportWriter()).Execute()).Message);
    }

    [Fact]
    public void OneFailingModelIsNamedAndTheOthersHaveTheirResults()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        File.Delete(folder.File("one"));
        AuditResult result = new AuditRun(spec, folder.File("out"), new FakeModels(), new ReportWriter()).Execute();
        Assert.Contains("no such model", result.Models[0].Failure);
        Assert.Null(result.Models[1].Failure);
        Assert.Equal(["two"], result.Experiments[0].Models.Select(model => model.Model));
        Assert.Empty(result.Comparisons);
        Assert.Contains(result.Notes, note => note.Text.Contains("one to two", StringComparison.Ordinal));
    }

    /// <summary>A socket's name cannot be opened, whoever tries: waiting would not help.</summary>
    [Fact]
    public void ALockThatCannotBeOpenedIsNoOtherProcess()
    {
        using var folder = new TemporaryFolder();
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(folder.File(".lock")));
        var exception = Assert.ThrowsAny<IOException>(() => ResultDirectory.Hold(folder.Root));
        Assert.Contains("cannot be written there", exception.Message, StringComparison.Ordinal);
        Assert.Contains(folder.Root, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TwoRunsIntoOneFolderAreRefused()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        string? refusal = null;
        new AuditRun(spec, folder.File("out"), new FakeModels(_ => refusal ??= Assert.Throws<BadInputException>(
            () => new AuditRun(spec, folder.File("out"), new FakeModels(), new ReportWriter()).Execute()).Message), new ReportWriter()).Execute();
        Assert.Contains("another process", refusal);
    }

    [Fact]
    public void FeaturesComputedElsewhereGiveTheSameNumbers()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        AuditResult own = new AuditRun(spec, folder.File("own"), new FakeModels(), new ReportWriter()).Execute();
        // The run's own features and probabilities, taken for those of others.
        string json = File.ReadAllText(spec)
            .Replace("\"model\": \"one\"", "\"imageFeatures\": \"own/embeddings/one.images.safetensors\", \"textFeatures\": { \"words\": \"texts.npy\" }", StringComparison.Ordinal)
            .Replace("\"model\": \"two\"", "\"scores\": { \"words\": { \"softmax\": \"own/scores/two.words.softmax.npy\" } }", StringComparison.Ordinal);
        var models = new FakeModels();
        using (var model = (IProbeEncoder)models.Open(models.Find(folder.File("one"), acceptActivationMismatch: false), "fp32"))
            NpyFile.Write<float>(folder.File("texts.npy"), model.EncodeTexts(["A photo of an animal", "A photo of a person", "A photo of a stone"], default), 3, 16);
        File.WriteAllText(folder.File("else.json"), json[..json.IndexOf("\"sensitivity\"", StringComparison.Ordinal)].TrimEnd().TrimEnd(',') + "}");
        AuditResult other = new AuditRun(folder.File("else.json"), folder.File("other"), new FakeModels(), new ReportWriter()).Execute();
        for (int model = 0; model < 2; model++)
        {
            ModelExperimentResult first = own.Experiments[0].Models[model];
            ModelExperimentResult second = other.Experiments[0].Models[model];
            for (int i = 0; i < first.Probabilities!.Values.Length; i++)
                Assert.Equal(first.Probabilities.Values[i], second.Probabilities!.Values[i], 1e-5f);
            Assert.Equal(first.ArgmaxFrequency[0]["A"], second.ArgmaxFrequency[0]["A"]);
        }
    }

    [Fact]
    public void TheDatabaseHoldsTheTables()
    {
        using var folder = new TemporaryFolder();
        AuditResult result = new AuditRun(Probe(folder), folder.File("out"), new FakeModels(), new ReportWriter()).Execute();
        using var connection = new SqliteConnection($"Data Source={folder.File("out", "results.sqlite")};Mode=ReadOnly;Pooling=False");
        connection.Open();
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = "SELECT estimate FROM groups WHERE model = 'two' AND metric = 'ArgmaxFrequency' AND subject = 'animal' AND \"group\" = 'B'";
        Assert.Equal(result.Experiments[0].Models[1].ArgmaxFrequency[0]["B"].Value, command.ExecuteScalar());
        command.CommandText = "SELECT COUNT(*) FROM documentation";
        Assert.True((long)command.ExecuteScalar()! > 8);
    }

    [Fact]
    public void SeveralImagesOfAPersonAreNotSeveralPeople()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        // Every image of the few persons of a group is the same: the group's shares are all 0 or 1.
        string[] lines = File.ReadAllLines(folder.File("probe.csv"));
        File.WriteAllLines(folder.File("probe.csv"), lines.Select((line, row) => row == 0 ? line + ",person" : $"{line[..^1]}{(row % 3 == 0 ? "C" : line[^1])},{(row % 3 == 0 ? $"c{row % 4}" : $"{line[^1]}{row / 12}")}"));
        foreach (int row in Enumerable.Range(1, Images).Where(row => row % 3 == 0))
            File.WriteAllText(folder.File("images", $"{row - 1:d3}.bin"), "always the same");
        File.WriteAllText(spec, File.ReadAllText(spec).Replace("\"file\": \"file\"", "\"file\": \"file\", \"person\": \"person\"", StringComparison.Ordinal));
        AuditResult result = new AuditRun(spec, folder.File("out"), new FakeModels(), new ReportWriter()).Execute();
        foreach (ModelExperimentResult model in result.Experiments[0].Models)
        {
            foreach (GroupMetricFrame frame in model.ArgmaxFrequency)
            {
                Assert.All(frame.Groups.Select(entry => entry.Estimate).Append(frame.Overall).Concat(frame.Gaps.Select(gap => gap.Difference)), estimate =>
                {
                    Assert.NotNull(estimate.Interval);
                    Assert.True(estimate.Interval.Lower < estimate.Interval.Upper);
                    Assert.InRange(estimate.Value!.Value, estimate.Interval.Lower, estimate.Interval.Upper);
                });
                // Wilson's interval of 0 of 4: 0 to z^2 / (4 + z^2), z = 1.959964.
                Estimate same = frame["C"];
                Assert.Equal((100, "Wilson, over persons"), (same.Count, same.Interval!.Method));
                Assert.Equal(0.489891, same.Interval.Upper - same.Interval.Lower, 1e-6);
            }
        }

        // The same share stands with the same interval wherever it stands.
        Assert.All(result.Comparisons.Where(comparison => comparison.Group != ArmComparison.AverageOverGroups), comparison =>
        {
            Estimate Of(ModelExperimentResult model) => model.ArgmaxFrequency.Concat(model.MergedArgmaxFrequency).Single(frame => frame.Subject == comparison.Label)[comparison.Group];
            Assert.Equal(Of(result.Experiments[0].Models[0]), comparison.FirstRate);
            Assert.Equal(Of(result.Experiments[0].Models[1]), comparison.SecondRate);
            Assert.NotNull(comparison.RateDifference.Interval);
            Assert.Null(comparison.McNemar);
        });
    }

    [Fact]
    public void ComparisonsArePairedByFaceAndCorrectedInTheirFamilies()
    {
        using var folder = new TemporaryFolder();
        AuditResult result = new AuditRun(Probe(folder), folder.File("out"), new FakeModels(), new ReportWriter()).Execute();
        ArmComparison entry = result.Comparisons.Single(comparison => comparison.Label == "animal" && comparison.Group == "A");
        ModelExperimentResult one = result.Experiments[0].Models[0];
        ModelExperimentResult two = result.Experiments[0].Models[1];
        Assert.Equal(two.ArgmaxFrequency[0]["A"].Value!.Value - one.ArgmaxFrequency[0]["A"].Value!.Value, entry.RateDifference.Value!.Value, 12);
        int[] rows = [.. Enumerable.Range(0, Images).Where(row => result.Probe.Images[row].Group == "A")];
        Assert.Equal(rows.Count(row => one.Probabilities!.Argmax(row) == 0 && two.Probabilities!.Argmax(row) != 0), entry.McNemar!.OnlyFirst);
        Assert.Equal(rows.Count(row => one.Probabilities!.Argmax(row) != 0 && two.Probabilities!.Argmax(row) == 0), entry.McNemar.OnlySecond);
        Assert.True(entry.RateTest!.IsPrimary);
        // Primary: one label in two groups. The rest of the experiment is exploratory: two labels and a merged one in two groups.
        Assert.Equal(2, entry.RateTest.FamilySize);
        Assert.Equal(6, result.Comparisons.First(comparison => comparison.Label == "person").RateTest!.FamilySize);
    }

    /// <summary>Correlations over persons in a run: over all, within groups and in each group, corrected over columns, with a heading that names the columns; several runs of an arm.</summary>
    [Fact]
    public void CorrelationsAndRunsStandInTheReport()
    {
        using var folder = new TemporaryFolder();
        string spec = Probe(folder);
        string[] lines = File.ReadAllLines(folder.File("probe.csv"));
        File.WriteAllLines(folder.File("probe.csv"), lines.Select((line, row) => row == 0 ? line + ",age,height" : $"{line},{row * 7 % 61},{(row % 10 == 0 ? "" : $"{row * 11 % 17}")}"));
        File.WriteAllText(spec, File.ReadAllText(spec)
            .Replace("\"resamples\": 199", "\"resamples\": 99", StringComparison.Ordinal)
            .Replace("{ \"key\": \"one\", \"model\": \"one\" }", "{ \"key\": \"one\", \"model\": \"one\", \"trainingRun\": \"first\" }", StringComparison.Ordinal)
            .Replace("{ \"key\": \"two\", \"model\": \"two\" }", "{ \"key\": \"two\", \"model\": \"two\", \"trainingRun\": \"second\" }", StringComparison.Ordinal)
            .Replace("\"models\": [\"two\"] } }", "\"models\": [\"one\", \"two\"] } }", StringComparison.Ordinal)
            .Replace("\"sensitivity\":", """
                "correlations": [{ "experiment": "words", "label": "animal", "attribute": "age" }, { "experiment": "words", "label": "animal", "attribute": "height" }, { "experiment": "words", "label": "any thing", "attribute": "age" }],
                "sensitivity":
                """, StringComparison.Ordinal));
        AuditResult result = new AuditRun(spec, folder.File("out"), new FakeModels(), new ReportWriter()).Execute();

        // Two models, three correlations, each over all, within groups and in A and B.
        Assert.Equal(2 * 3 * 4, result.Correlations.Count);
        AttributeCorrelation height = result.Correlations.First(entry => entry is { Attribute: "height", Group: "" });
        Assert.Equal((30, 270), (height.ImagesWithout, height.Pearson.Count));
        // Two columns and two models of one label.
        Assert.Equal(4, height.SpearmanTest!.FamilySize);
        Assert.True(height.SpearmanTest.Holm >= height.SpearmanTest.PValue);
        Assert.Equal(8, result.Correlations.First(entry => entry is { Attribute: "age", Label: "animal", Group: "A" }).SpearmanTest!.FamilySize);
        string page = File.ReadAllText(folder.File("out", "report.html"));
        Assert.Contains("Labels against 'age' and 'height'", System.Net.WebUtility.HtmlDecode(page), StringComparison.Ordinal);
        Assert.Contains("'height' is missing for 30 images", System.Net.WebUtility.HtmlDecode(page), StringComparison.Ordinal);
        foreach (string heading in new[] { "What is estimated", "What counts the same (weighting)", "Images of one person (clustering)", "How well the intervals hold (coverage)", "Several tests (multiplicity)", "What is missing (missing data)" })
            Assert.Contains($"<h3>{heading}</h3>", page, StringComparison.Ordinal);

        RunAverages runs = result.Comparisons.First(entry => entry is { Label: "animal", Group: "A" }).Runs!;
        Assert.Equal((1, 2), (runs.First.Count, runs.Second.Count));
        Assert.Equal(runs.First[0], runs.Second[0]);
        Assert.Null(runs.Test);
        Assert.Contains("Over training runs", page, StringComparison.Ordinal);
    }

    internal static string Probe(TemporaryFolder folder)
    {
        Directory.CreateDirectory(folder.File("images"));
        using (var table = new StreamWriter(folder.File("probe.csv")))
        {
            table.Write("id,file,group\n");
            for (int i = 0; i < Images; i++)
            {
                File.WriteAllText(folder.File("images", $"{i:d3}.bin"), $"image {i}");
                table.Write($"{i:d3},{i:d3}.bin,{(i % 3 == 0 ? "A" : "B")}\n");
            }
        }

        File.WriteAllText(folder.File("one"), "one");
        File.WriteAllText(folder.File("two"), "two");
        File.WriteAllText(folder.File("spec.json"), """
            {
              "title": "Test",
              "probe": { "metadata": "probe.csv", "images": "images", "file": "file", "group": ["group"] },
              "models": [{ "key": "one", "model": "one" }, { "key": "two", "model": "two" }],
              "experiments": [{ "key": "words", "title": "Words", "template": "A photo of {a} {label}",
                "labels": [{ "text": "animal" }, { "text": "person" }, { "text": "stone" }],
                "merged": [{ "name": "any thing", "labels": ["animal", "stone"] }] }],
              "scale": "10",
              "intervals": { "resamples": 199 },
              "cosineError": 0.001,
              "comparisons": [{ "name": "one to two", "first": { "name": "one", "models": ["one"] }, "second": { "name": "two", "models": ["two"] } }],
              "families": [{ "name": "primary", "primary": true, "comparisons": ["one to two"], "experiment": "words", "labels": ["animal"] }],
              "sensitivity": { "experiment": "words", "templates": ["{label}"], "synonyms": { "animal": ["beast", "creature"] },
                "labelSets": [{ "name": "two", "labels": ["animal", "person"] }],
                "neutralSets": [{ "name": "neutral", "labels": ["animal", "person", "stone", "thing"] }], "bagOfWords": true }
            }
            """);
        return folder.File("spec.json");
    }

    private static string Hash(string text) => Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(text)));

    /// <summary>Every file's content, but for the clock times.</summary>
    internal static Dictionary<string, string> Contents(string directory) =>
        Directory.GetFiles(directory, "*", SearchOption.AllDirectories)
            .Where(file => Path.GetFileName(file) != "timings.json")
            .ToDictionary(file => Path.GetRelativePath(directory, file), file => Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(file))));
}
