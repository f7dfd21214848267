using ClipEngine.Audit.Results;

namespace ClipEngine.Audit.Probes;

/// <summary>Which rows belong to which group, and within it to which person, and what each counts.</summary>
internal sealed class Grouping
{
    public Grouping(IReadOnlyList<string> keys, IReadOnlyList<ProbeImage> images, Weighting weighting = Weighting.Person)
    {
        Keys = keys;
        RowCount = images.Count;
        Images = new int[keys.Count][];
        Persons = new int[keys.Count][][];
        GroupOf = new int[images.Count];
        Weights = new double[images.Count];
        AllWeights = new double[images.Count];
        for (int group = 0; group < keys.Count; group++)
        {
            Images[group] = [.. Enumerable.Range(0, images.Count).Where(row => images[row].Group == keys[group])];
            Persons[group] = ByPerson(images, Images[group]);
            Weigh(Persons[group], weighting, Weights);
            foreach (int row in Images[group])
                GroupOf[row] = group;
        }

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

    /// <summary>What each row counts within its group.</summary>
    public double[] Weights { get; }

    /// <summary>What each row counts among all images together.</summary>
    public double[] AllWeights { get; }

    /// <summary>Whether somebody stands in more than one group.</summary>
    public bool HasSharedPersons { get; }

    private static int[][] ByPerson(IReadOnlyList<ProbeImage> images, IEnumerable<int> rows) =>
        [.. rows.GroupBy(row => images[row].Person).Select(person => person.ToArray())];

    private static void Weigh(int[][] persons, Weighting weighting, double[] weights)
    {
        foreach (int[] rows in persons)
        {
            foreach (int row in rows)
                weights[row] = weighting == Weighting.Person ? 1.0 / rows.Length : 1;
        }
    }
}
