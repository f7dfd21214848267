using ClipEngine.Audit.Results;
using ClipEngine.Audit.Tables;
using ClipEngine.Files;

namespace ClipEngine.Audit.Probes;

/// <summary>Which columns of a metadata table mean what.</summary>
internal sealed record ProbeColumns
{
    /// <summary>The id of the row; unique. Null: the table's first column.</summary>
    public string? Id { get; init; }

    /// <summary>Whom the image shows. Null: every row is another person.</summary>
    public string? Person { get; init; }

    /// <summary>The image's file, relative to the images' folder. Null: the id stands for it.</summary>
    public string? File { get; init; }

    /// <summary>What counts the same in every number.</summary>
    public Weighting Weighting { get; init; }

    /// <summary>The column that weighs images. Null: they have no weights of their own.</summary>
    public string? Weight { get; init; }

    /// <summary>The group that others are compared with where there are too many for all pairs. Null: the largest.</summary>
    public string? Reference { get; init; }

    /// <summary>Columns by which results are given on their own, beside the groups. Null: those of <see cref="Group"/> where it has several.</summary>
    public IReadOnlyList<string>? Marginals { get; init; }

    /// <summary>How columns of numbers become groups. A column of many numbers without bins is refused.</summary>
    public IReadOnlyDictionary<string, ColumnBins> Bins { get; init; } = new Dictionary<string, ColumnBins>();

    /// <summary>What groups are made of: one column, or several whose combinations are the groups.</summary>
    public required IReadOnlyList<string> Group { get; init; }
}

/// <summary>Images with their people, groups and attributes, in the order of the rows of all score matrices.</summary>
internal sealed class Probe
{
    private readonly Dictionary<string, string[]> _attributes;
    private readonly string? _reference;

    internal Probe(
        string name, string source, string groupAttribute, IReadOnlyList<ProbeImage> images, Dictionary<string, string[]> attributes,
        IReadOnlyList<string> warnings, Weighting weighting = Weighting.Person, IReadOnlyList<Marginal>? marginals = null,
        IReadOnlyDictionary<string, string>? order = null, string? weightColumn = null, string? reference = null)
    {
        Name = name;
        WeightColumn = weightColumn;
        Source = source;
        GroupAttribute = groupAttribute;
        Images = images;
        Warnings = warnings;
        Weighting = weighting;
        _attributes = attributes;
        Marginals = [.. (marginals ?? []).Where(marginal => marginal.Attribute != groupAttribute)];
        Order = order ?? new Dictionary<string, string>();
        GroupKeys = [.. images.Select(image => image.Group).Distinct().OrderBy(key => Order.GetValueOrDefault(key, key), StringComparer.Ordinal)];
        _reference = reference;
        Grouping = new Grouping(GroupKeys, images, weighting, reference);
        GroupSets = [new GroupSet(groupAttribute, Grouping), .. Marginals.Select(Set)];
        if (reference is not null && Find(reference) is null)
        {
            throw new BadInputException(source, $"there is no group '{BadInputException.Escape(reference)}' to compare with; there are {string.Join(", ", GroupSets.SelectMany(set => set.Grouping.Keys).Take(40))}.",
                "Groups are named by their keys, those of a single attribute as attribute=value.");
        }
    }

    /// <summary>What the probe is called.</summary>
    public string Name { get; }

    /// <summary>The file that it was read from, for messages.</summary>
    public string Source { get; }

    /// <summary>The column or columns that groups are made of.</summary>
    public string GroupAttribute { get; }

    /// <summary>The images.</summary>
    public IReadOnlyList<ProbeImage> Images { get; }

    /// <summary>The groups' keys in ordinal order, bins in that of their numbers.</summary>
    public IReadOnlyList<string> GroupKeys { get; }

    /// <summary>What counts the same in every number.</summary>
    public Weighting Weighting { get; }

    /// <summary>The column that weighs images; null where there is none.</summary>
    public string? WeightColumn { get; }

    /// <summary>Oddities that were found and left alone, and rows that the spec left out.</summary>
    public IReadOnlyList<string> Warnings { get; private init; }

    /// <summary>Which rows of the metadata the images are; null: all.</summary>
    internal RowSelection? Selection { get; private init; }

    /// <summary>The names of all attributes.</summary>
    public IReadOnlyCollection<string> AttributeNames => _attributes.Keys;

    internal Grouping Grouping { get; }

    /// <summary>The single attributes that results are also given by.</summary>
    internal IReadOnlyList<Marginal> Marginals { get; }

    /// <summary>What groups are sorted by where it is not their key.</summary>
    internal IReadOnlyDictionary<string, string> Order { get; }

    /// <summary>The groups, and for each single attribute (race, gender) its own, with keys such as <c>gender=F</c>.</summary>
    internal IReadOnlyList<GroupSet> GroupSets { get; }

    /// <summary>Rows of matrices and features that were computed elsewhere: one for each row of the metadata.</summary>
    internal int SourceRows => Selection?.Total ?? Images.Count;

    /// <summary>Of a matrix with <see cref="SourceRows"/> rows, those of the images.</summary>
    internal ScoreMatrix Select(ScoreMatrix matrix) => Selection?.Select(matrix) ?? matrix;

    /// <summary>The probe of chosen rows.</summary>
    /// <param name="rows">Which.</param>
    /// <param name="sameRows">Whether its images are those rows, one each.</param>
    internal Probe From(RowSelection rows, bool sameRows = true) =>
        new(Name, Source, GroupAttribute, Images, _attributes, [.. Warnings, .. rows.Notes], Weighting, Marginals, Order, WeightColumn, _reference) { Selection = sameRows ? rows : null };

    /// <summary>A group by its key; null where there is none.</summary>
    internal (GroupSet Set, int Group)? Find(string key)
    {
        foreach (GroupSet set in GroupSets)
        {
            int group = set.Grouping.Keys.ToList().IndexOf(key);
            if (group >= 0)
                return (set, group);
        }

        return null;
    }

    /// <summary>An attribute of every image, as the metadata writes it.</summary>
    /// <exception cref="BadInputException">There is no such attribute.</exception>
    public IReadOnlyList<string> Attribute(string name) => _attributes.TryGetValue(name, out string[]? values)
        ? values
        : throw new BadInputException(Source, $"there is no attribute '{BadInputException.Escape(name)}'; there are {string.Join(", ", _attributes.Keys.Take(30))}.", "Name one of them (case matters).");

    /// <summary>An attribute as numbers; null where a cell is empty or says that there is no value (NaN, NA).</summary>
    /// <exception cref="BadInputException">There is no such attribute, or a cell of it is no finite number.</exception>
    public IReadOnlyList<double?> NumericAttribute(string name)
    {
        IReadOnlyList<string> cells = Attribute(name);
        var values = new double?[cells.Count];
        for (int row = 0; row < values.Length; row++)
        {
            if (Gaps.IsGap(cells[row]))
                continue;
            if (!NumberText.TryParse(cells[row].AsSpan().Trim(), out double value))
                throw new BadInputException(Source, $"column '{name}' of image '{BadInputException.Escape(Images[row].Id)}' is '{BadInputException.Escape(cells[row], 40)}', a finite number was expected.", $"Write {NumberText.Form}, or leave the cell empty.");
            values[row] = value;
        }

        return values;
    }

    /// <summary>The values that the images of a group have in an attribute, each once.</summary>
    internal string[] AttributeOf(string group, string name)
    {
        IReadOnlyList<string> cells = Attribute(name);
        return [.. Enumerable.Range(0, Images.Count).Where(row => Images[row].Group == group).Select(row => cells[row]).Distinct()];
    }

    private GroupSet Set(Marginal marginal)
    {
        ProbeImage[] images = [.. Images.Select((image, row) => image with { Group = Gaps.IsGap(marginal.Values[row].Value) ? "" : $"{marginal.Attribute}={marginal.Values[row].Value}" })];
        string[] keys = [.. images.Select((image, row) => (image.Group, marginal.Values[row].Order)).Where(entry => entry.Group.Length > 0).DistinctBy(entry => entry.Group).OrderBy(entry => entry.Order, StringComparer.Ordinal).Select(entry => entry.Group)];
        return new GroupSet(marginal.Attribute, new Grouping(keys, images, Weighting, _reference));
    }

    internal ProbeSummary Summary(IReadOnlyDictionary<string, string> descriptions) => new()
    {
        Name = Name,
        GroupAttribute = GroupAttribute,
        Groups = [.. GroupKeys.Select((key, group) => Summary(key, descriptions.GetValueOrDefault(key, key), Grouping, group))],
        Marginals = [.. GroupSets.Skip(1).Select(set => new MarginalSummary(set.Attribute,
            [.. set.Grouping.Keys.Select((key, group) => Summary(key, key, set.Grouping, group))]))],
        Images = Images,
        PersonCount = Images.Select(image => image.Person).Distinct().Count(),
        Weighting = Weighting,
        WeightColumn = WeightColumn,
        ReferenceGroup = GroupKeys.Count == 0 ? null : GroupKeys[Grouping.Reference],
        EffectivePersons = WeightColumn is null ? null : Grouping.Effective(Grouping.AllPersons, Grouping.AllWeights),
        Warnings = Warnings,
    };

    private static GroupSummary Summary(string key, string description, Grouping grouping, int group) => new(key, description, grouping.Images[group].Length, grouping.Persons[group].Length)
    {
        EffectivePersons = grouping.CaseWeights is null ? null : Grouping.Effective(grouping.Persons[group], grouping.Weights),
    };
}

/// <summary>Groups by one attribute or one combination of attributes.</summary>
/// <param name="Attribute">What the groups are made of.</param>
/// <param name="Grouping">The groups.</param>
internal sealed record GroupSet(string Attribute, Grouping Grouping);

/// <summary>A single attribute that results are also given by.</summary>
/// <param name="Attribute">Its name.</param>
/// <param name="Values">For every image its value as a group, and what the group is sorted by.</param>
internal sealed record Marginal(string Attribute, IReadOnlyList<(string Value, string Order)> Values);
