using ClipEngine.Audit.Results;
using ClipEngine.Audit.Specs;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;
using ClipEngine.Imaging;

namespace ClipEngine.Audit.Probes;

/// <summary>Reads the probe of a spec: a CSV manifest, or one of the layouts that public probes come in.</summary>
internal static class ProbeLayouts
{
    private static readonly string[] _utkGenders = ["male", "female"];
    private static readonly string[] _utkRaces = ["White", "Black", "Asian", "Indian", "Others"];

    /// <summary>Reads the probe.</summary>
    /// <param name="spec">Where it is and how it is laid out; paths as the spec writes them.</param>
    /// <param name="resolve">Turns a path of the spec into one that can be opened.</param>
    /// <param name="needsGroups">Whether a table without columns for groups is refused; else its images are one group, "all".</param>
    /// <exception cref="BadInputException">Something is missing or contradicts itself; names file, line and column.</exception>
    public static Probe Read(ProbeSpec spec, Func<string, string> resolve, bool needsGroups = true)
    {
        if (spec.Layout == ProbeLayout.UtkFace)
        {
            return spec.Where.Count == 0 && spec.MissingValues.Count == 0 && spec.MissingGroup is null && spec.Weight is null
                ? UtkFace(spec, resolve)
                : throw new BadInputException("probe", "where, missingValues, missingGroup and weight need a table, and utkFace has none.", "Take them out, or write the images into a CSV file.");
        }

        string metadata = resolve(spec.Metadata ?? throw new BadInputException("probe.metadata", $"the layout {spec.Layout} needs a metadata file.", "Name it in the spec."));
        CsvTable table = CsvTable.Read(metadata);
        string[] grouping = spec.Layout switch
        {
            ProbeLayout.Cfd => [.. CfdColumns(spec, table).Group, .. CfdColumns(spec, table).Marginals ?? []],
            ProbeLayout.FairFace => [.. Columns(spec, null, null, null, "race", "gender").Group, .. spec.Marginals ?? []],
            _ => [.. spec.Group, .. spec.Marginals ?? []],
        };
        RowSelection rows = RowSelection.Of(table, spec, grouping);
        table = rows.Table;
        string name = spec.Name ?? Path.GetFileNameWithoutExtension(metadata);
        switch (spec.Layout)
        {
            case ProbeLayout.Cfd when spec.Expressions is not ["N"]:
                return CfdExpressions(spec, table, name, resolve).From(rows, sameRows: false);
            case ProbeLayout.Cfd:
                return ProbeReader.Create(table, CfdColumns(spec, table), name).From(rows);
            case ProbeLayout.FairFace:
                return ProbeReader.Create(table, Columns(spec, "file", null, "file", "race", "gender"), name).From(rows);
            default:
                if (spec.Group.Count == 0 && needsGroups)
                    throw new BadInputException("probe.group", "no column is named to make groups of.", $"The columns of {metadata} are {string.Join(", ", table.Header)}.");
                return ProbeReader.Create(table, Columns(spec, null, null, null), name, needsGroups).From(rows);
        }
    }

    /// <summary>The images' paths, in the probe's order.</summary>
    /// <param name="spec">The probe's part of the spec.</param>
    /// <param name="probe">The probe.</param>
    /// <param name="resolve">Turns a path of the spec into one that can be opened.</param>
    /// <exception cref="BadInputException">No folder is named, or files are missing; the message lists the first.</exception>
    public static string[] Files(ProbeSpec spec, Probe probe, Func<string, string> resolve)
    {
        string folder = Folder(spec, resolve);
        // The database keeps each person's pictures in a folder of their own; names are unique.
        Dictionary<string, string>? byName = spec.Layout == ProbeLayout.Cfd ? ByName(folder) : null;
        var files = new string[probe.Images.Count];
        var missing = new List<string>();
        for (int row = 0; row < files.Length; row++)
        {
            string file = probe.Images[row].File;
            if (byName is not null && byName.TryGetValue(file, out string? found))
            {
                files[row] = found;
                continue;
            }

            files[row] = Path.GetFullPath(Path.Combine(folder, file));
            if (Path.IsPathRooted(file) || !files[row].StartsWith(Path.GetFullPath(folder) + Path.DirectorySeparatorChar, StringComparison.Ordinal))
                throw new BadInputException(probe.Source, $"the file '{BadInputException.Escape(file)}' of image '{BadInputException.Escape(probe.Images[row].Id)}' leads out of the images' folder.", "Paths must be relative and stay below it.");
            if (!FilePlace.IsFile(files[row]))
                missing.Add(file);
        }

        if (missing.Count > 0)
            throw new BadInputException(folder, $"{missing.Count} of {files.Length} images are missing, the first: {string.Join(", ", missing.Take(5).Select(file => BadInputException.Escape(file, 100)))}.", "Every row of the metadata needs its image.");
        return files;
    }

    private static ProbeColumns Columns(ProbeSpec spec, string? id, string? person, string? file, params string[] group) => new()
    {
        Weighting = spec.Weighting,
        Weight = spec.Weight,
        Reference = spec.Reference,
        Marginals = spec.Marginals,
        Bins = spec.Bins,
        Id = spec.Id ?? id,
        Person = spec.Person ?? person,
        File = spec.File ?? file,
        Group = spec.Group.Count > 0 ? spec.Group : group,
    };

    /// <summary>The database's groups are races and genders in one column; both are columns of their own too.</summary>
    private static ProbeColumns CfdColumns(ProbeSpec spec, CsvTable table)
    {
        ProbeColumns columns = Columns(spec, "person_id", "person_id", "img_neutral", "r_g");
        bool hasBoth = table.Header.Contains("race") && table.Header.Contains("gender");
        return spec.Marginals is null && spec.Group.Count == 0 && hasBoth ? columns with { Marginals = ["race", "gender"] } : columns;
    }

    private static string Folder(ProbeSpec spec, Func<string, string> resolve)
    {
        string folder = resolve(spec.Images ?? throw new BadInputException("probe.images", "no folder of images is named, but a model needs them.", "Name it in the spec, or give scores or features."));
        return FilePlace.IsFolder(folder) ? folder : throw new BadInputException(folder, "there is no such folder.", "probe.images names the images' folder.");
    }

    private static Dictionary<string, string> ByName(string folder)
    {
        var byName = new Dictionary<string, string>();
        foreach (string file in ImageCollection.FindFiles(folder))
            byName.TryAdd(Path.GetFileName(file), file);
        return byName;
    }

    /// <summary>One row for each wanted picture: <c>CFD-AF-200-228-N.jpg</c> is person AF-200 with a neutral face.</summary>
    private static Probe CfdExpressions(ProbeSpec spec, CsvTable table, string name, Func<string, string> resolve)
    {
        string[] known = ["N", "A", "F", "HC", "HO"];
        if (spec.Expressions.Count == 0 || spec.Expressions.Any(expression => !known.Contains(expression)))
            throw new BadInputException("probe.expressions", $"'{string.Join(", ", spec.Expressions)}' was found; one or more of {string.Join(", ", known)} were expected.");
        Probe neutral = ProbeReader.Create(table, CfdColumns(spec, table), name);
        string[] pictures = [.. ByName(Folder(spec, resolve)).Keys.Order(StringComparer.Ordinal)];
        var images = new List<ProbeImage>();
        var rows = new List<int>();
        var expressions = new List<string>();
        for (int row = 0; row < neutral.Images.Count; row++)
        {
            ProbeImage person = neutral.Images[row];
            foreach (string expression in spec.Expressions)
            {
                string[] own = [.. pictures.Where(picture => picture.StartsWith($"CFD-{person.Person}-", StringComparison.Ordinal) && Path.GetFileNameWithoutExtension(picture).EndsWith($"-{expression}", StringComparison.Ordinal))];
                foreach (string picture in own)
                {
                    images.Add(person with { Id = picture, File = picture });
                    rows.Add(row);
                    expressions.Add(expression);
                }
            }
        }

        if (images.Count == 0)
            throw new BadInputException(spec.Images!, $"no picture of the expressions {string.Join(", ", spec.Expressions)} was found.", "Names look like CFD-AF-200-228-N.jpg.");
        var attributes = neutral.AttributeNames.ToDictionary(attribute => attribute, attribute => rows.Select(row => neutral.Attribute(attribute)[row]).ToArray());
        attributes["expression"] = [.. expressions];
        return new Probe(name, table.Path, neutral.GroupAttribute, images, attributes, neutral.Warnings, spec.Weighting,
            [.. neutral.Marginals.Select(marginal => new Marginal(marginal.Attribute, [.. rows.Select(row => marginal.Values[row])]))], neutral.Order, neutral.WeightColumn, spec.Reference);
    }

    /// <summary>Everything is in the names: <c>age_gender_race_date.jpg</c>.</summary>
    private static Probe UtkFace(ProbeSpec spec, Func<string, string> resolve)
    {
        string folder = Folder(spec, resolve);
        var images = new List<ProbeImage>();
        var attributes = new Dictionary<string, List<string>> { ["age"] = [], ["gender"] = [], ["race"] = [] };
        var odd = new List<string>();
        string[] wanted = spec.Group.Count > 0 ? [.. spec.Group] : ["race", "gender"];
        if (wanted.FirstOrDefault(attribute => !attributes.ContainsKey(attribute)) is { } unknown)
            throw new BadInputException("probe.group", $"UTKFace has no attribute '{BadInputException.Escape(unknown)}'; it has age, gender and race.");
        foreach (string path in Directory.EnumerateFiles(folder, "*.jpg").Order(StringComparer.Ordinal))
        {
            string file = Path.GetFileName(path);
            string[] parts = file.Split('_');
            if (parts.Length != 4 || !NumberText.TryParse(parts[0], out int age) || !Index(parts[1], _utkGenders, out string gender) || !Index(parts[2], _utkRaces, out string race))
            {
                odd.Add(file);
                continue;
            }

            var values = new Dictionary<string, string> { ["age"] = $"{age}", ["gender"] = gender, ["race"] = race };
            images.Add(new ProbeImage(file, file, file, ""));
            foreach ((string attribute, string value) in values)
                attributes[attribute].Add(value);
        }

        if (images.Count == 0)
            throw new BadInputException(folder, "no file is named age_gender_race_date.jpg.", "Name the folder that holds the UTKFace images.");
        string[] warnings = odd.Count == 0 ? [] : [$"{odd.Count} images are left out because their names do not say age, gender and race: {string.Join(", ", odd.Take(10).Select(file => BadInputException.Escape(file, 80)))}."];
        string[] alone = spec.Marginals is { } declared ? [.. declared] : wanted.Length > 1 ? wanted : [];
        if (alone.Concat(spec.Bins.Keys).FirstOrDefault(attribute => !attributes.ContainsKey(attribute)) is { } none)
            throw new BadInputException("probe", $"UTKFace has no attribute '{BadInputException.Escape(none)}'; it has age, gender and race.");
        Dictionary<string, (string Value, string Order)[]> grouped = wanted.Concat(alone).Distinct().ToDictionary(attribute => attribute, attribute => Binning.Values(folder, attribute, attributes[attribute], spec.Bins));
        var order = new Dictionary<string, string>();
        for (int row = 0; row < images.Count; row++)
        {
            images[row] = images[row] with { Group = string.Join(' ', wanted.Select(attribute => grouped[attribute][row].Value)) };
            order[images[row].Group] = string.Join(' ', wanted.Select(attribute => grouped[attribute][row].Order));
        }

        return new Probe(spec.Name ?? "UTKFace", folder, string.Join(" x ", wanted), images, attributes.ToDictionary(entry => entry.Key, entry => entry.Value.ToArray()), warnings, spec.Weighting,
            [.. alone.Select(attribute => new Marginal(attribute, grouped[attribute]))], order, reference: spec.Reference);
    }

    private static bool Index(string text, string[] names, out string name)
    {
        bool isKnown = NumberText.TryParse(text, out int index) && index < names.Length;
        name = isKnown ? names[index] : "";
        return isKnown;
    }
}
