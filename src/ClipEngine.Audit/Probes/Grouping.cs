using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Probes;

/// <summary>Which rows belong to which group, and within it to which person, and what each counts.</summary>
internal sealed class Grouping
{
    public Grouping(IReadOnlyList<string> keys, IReadOnlyList<ProbeImage> images, Weighting weighting = Weighting.Person, string? reference = null)
    {
        Keys = keys;
        RowCount = images.Count;
        Images = new int[keys.Count][];
        Persons = new int[keys.Count][][];
        GroupOf = new int[images.Count];
        Weights = new double[images.Count];
        AllWeights = new double[images.Count];
        CaseWeights = Own(images);
        ILookup<string, int> rows = Enumerable.Range(0, images.Count).ToLookup(row => images[row].Group);
        for (int group = 0; group < keys.Count; group++)
        {
            Images[group] = [.. rows[keys[group]]];
            Persons[group] = ByPerson(images, Images[group]);
            Weigh(Persons[group], weighting, Weights);
            foreach (int row in Images[group])
                GroupOf[row] = group;
        }

        Reference = Math.Max(0, Enumerable.Range(0, keys.Count).ToList().FindIndex(group => reference is null || !keys.Contains(reference) ? Images[group].Length == Images.Max(own => own.Length) : keys[group] == reference));
        AllPersons = ByPerson(images, Enumerable.Range(0, images.Count));
        Weigh(AllPersons, weighting, AllWeights);
        PersonOf = new int[images.Count];
        for (int person = 0; person < AllPersons.Length; person++)
        {
            foreach (int row in AllPersons[person])
                PersonOf[row] = person;
        }

        HasSharedPersons = Persons.Sum(persons => persons.Length) > AllPersons.Length;
    }

    /// <summary>The groups' keys.</summary>
    public IReadOnlyList<string> Keys { get; }

    /// <summary>The group that others are compared with where there are too many for all pairs, by index: the one that was named, else the largest.</summary>
    public int Reference { get; }

    /// <summary>Rows of the probe.</summary>
    public int RowCount { get; }

    /// <summary>Each group's rows.</summary>
    public int[][] Images { get; }

    /// <summary>Each group's persons, each with its rows.</summary>
    public int[][][] Persons { get; }

    /// <summary>All persons with their rows, whatever their group.</summary>
    public int[][] AllPersons { get; }

    /// <summary>The group of each row.</summary>
    public int[] GroupOf { get; }

    /// <summary>The person of each row, numbered as in <see cref="AllPersons"/>: the same number in every group.</summary>
    public int[] PersonOf { get; }

    /// <summary>The rows' own weights over their mean; null where the images have none.</summary>
    public double[]? CaseWeights { get; }

    /// <summary>What each row counts within its group: its own weight, and where persons count the same over the number of the person's images in the group.</summary>
    public double[] Weights { get; }

    /// <summary>What each row counts among all images together.</summary>
    public double[] AllWeights { get; }

    /// <summary>Whether somebody stands in more than one group.</summary>
    public bool HasSharedPersons { get; }

    private static int[][] ByPerson(IReadOnlyList<ProbeImage> images, IEnumerable<int> rows) =>
        [.. rows.GroupBy(row => images[row].Person).Select(person => person.ToArray())];

    /// <summary>Kish's effective number of a group's persons: (Σ W)² / Σ W², W the sum of the weights of a person's images.</summary>
    /// <remarks>Kish (1965), Survey Sampling, section 11.7.</remarks>
    public static double Effective(int[][] persons, ReadOnlySpan<double> weights)
    {
        double total = 0, squares = 0;
        foreach (int[] rows in persons)
        {
            double own = 0;
            foreach (int row in rows)
                own += weights[row];
            total += own;
            squares += own * own;
        }

        return squares > 0 ? total * total / squares : 0;
    }

    /// <summary>Only the ratios of weights matter: over their mean, whatever unit they come in, sums stay of the size of counts.</summary>
    private static double[]? Own(IReadOnlyList<ProbeImage> images)
    {
        if (images.All(static image => image.Weight is null))
            return null;
        double mean = images.Average(static image => image.Weight!.Value);
        return [.. images.Select(image => image.Weight!.Value / mean)];
    }

    private void Weigh(int[][] persons, Weighting weighting, double[] weights)
    {
        foreach (int[] rows in persons)
        {
            foreach (int row in rows)
                weights[row] = (weighting == Weighting.Person ? 1.0 / rows.Length : 1) * (CaseWeights?[row] ?? 1);
        }
    }
}
