using ClipEngine.Audit.Results;
using ClipEngine.Files;
using MathNet.Numerics.Statistics;

namespace ClipEngine.Cli.Demo;

/// <summary>How one checkpoint's winning labels compare with the association that was planted.</summary>
/// <param name="Model">The checkpoint's key.</param>
/// <param name="Fit">Spearman correlation, over all cells of group and label, of the planted and the found departure from the label's average over the groups.</param>
/// <param name="FitAsWell">Among all ways to swap the groups with each other (the right one included): how many fit at least as well, whatever the sign.</param>
/// <param name="Swaps">How many ways there are.</param>
/// <param name="PlantedPull">Mean absolute departure of the planted shares, a share.</param>
/// <param name="FoundPull">The same of the found rates.</param>
internal sealed record AssociationFinding(string Model, double Fit, int FitAsWell, int Swaps, double PlantedPull, double FoundPull);

/// <summary>What <c>tools/make-demo.py</c> planted: the share of captions that named each label, by training set and group.</summary>
internal sealed class PlantedAssociation
{
    private readonly Dictionary<(string Model, string Group, string Label), double> _shares = [];

    private PlantedAssociation()
    {
    }

    /// <summary>Reads <c>planted.csv</c>.</summary>
    public static PlantedAssociation Read(string path)
    {
        var planted = new PlantedAssociation();
        foreach (string line in File.ReadLines(path).Skip(1))
        {
            string[] cells = line.Split(',');
            if (cells.Length != 6 || !NumberText.TryParse(cells[5], out double share))
                throw new BadInputException(path, $"expected six columns, the last a number, found '{BadInputException.Escape(line, 100)}'.", "Take the table of the release again.");
            planted._shares.Add((cells[0], cells[3], cells[4]), share);
        }

        return planted;
    }

    /// <summary>The share of captions of a training set's pictures with this figure that named this thing.</summary>
    public double Share(string model, string group, string label) => _shares[(model, group, label)];

    /// <summary>The cell of a training set that departs most from its label's average, upwards.</summary>
    public (string Group, string Label) Strongest(string model)
    {
        (_, string group, string label) = _shares.Where(cell => cell.Key.Model == model).MaxBy(cell => cell.Value).Key;
        return (group, label);
    }

    /// <summary>Holds a checkpoint's rates against the pattern of a training set.</summary>
    /// <param name="result">What one checkpoint's audit found.</param>
    /// <param name="pattern">The training set whose planted shares are the pattern.</param>
    public AssociationFinding Compare(ModelExperimentResult result, string pattern)
    {
        string[] labels = [.. result.ArgmaxFrequency.Select(frame => frame.Subject)];
        string[] groups = [.. result.ArgmaxFrequency[0].Groups.Select(entry => entry.Group)];
        double[,] planted = Departures(groups, labels, (group, label) => Share(pattern, group, label));
        double[,] found = Departures(groups, labels, (group, label) => result.ArgmaxFrequency.First(frame => frame.Subject == label)[group].Value!.Value);
        double[] plantedCells = [.. planted.Cast<double>()];
        double[] fits = [.. Permutations(groups.Length).Select(order => Correlation.Spearman(plantedCells, Rows(found, order)))];
        double pull = Mean(Departures(groups, labels, (group, label) => Share(result.Model, group, label)));
        // The first permutation is the order as it is. The slack keeps equal fits equal whatever the rounding.
        return new AssociationFinding(result.Model, fits[0], fits.Count(fit => Math.Abs(fit) >= Math.Abs(fits[0]) - 1e-9), fits.Length, pull, Mean(found));
    }

    private static double Mean(double[,] departures) => departures.Cast<double>().Average(Math.Abs);

    /// <summary>Each cell minus its label's average over the groups: what the group adds.</summary>
    private static double[,] Departures(string[] groups, string[] labels, Func<string, string, double> value)
    {
        var cells = new double[groups.Length, labels.Length];
        for (int label = 0; label < labels.Length; label++)
        {
            double average = groups.Average(group => value(group, labels[label]));
            for (int group = 0; group < groups.Length; group++)
                cells[group, label] = value(groups[group], labels[label]) - average;
        }

        return cells;
    }

    private static double[] Rows(double[,] cells, int[] order) =>
        [.. order.SelectMany(row => Enumerable.Range(0, cells.GetLength(1)).Select(column => cells[row, column]))];

    /// <summary>All orders of n things, the natural one first.</summary>
    private static IEnumerable<int[]> Permutations(int n)
    {
        if (n == 0)
            return [[]];
        return Permutations(n - 1).SelectMany(rest => Enumerable.Range(0, n).Select(place => (int[])[.. rest.Take(n - 1 - place), n - 1, .. rest.Skip(n - 1 - place)]));
    }
}
