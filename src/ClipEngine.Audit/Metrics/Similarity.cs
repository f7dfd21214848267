using ClipEngine.Audit.Probes;

namespace ClipEngine.Audit.Metrics;

/// <summary>How alike features are among themselves.</summary>
internal static class Similarity
{
    /// <summary>Cosines of all pairs of unit rows.</summary>
    public static IReadOnlyList<IReadOnlyList<double>> Pairs(float[] features, int width)
    {
        int rows = features.Length / width;
        var cosines = new double[rows][];
        for (int i = 0; i < rows; i++)
        {
            cosines[i] = new double[rows];
            for (int j = 0; j < rows; j++)
            {
                for (int k = 0; k < width; k++)
                    cosines[i][j] += (double)features[(i * width) + k] * features[(j * width) + k];
            }
        }

        return cosines;
    }

    /// <summary>Mean cosine of unit rows of two groups, a row never with itself, weighted as all else. From the groups' sums: the mean over pairs of dot products is the dot product of means.</summary>
    /// <returns><c>[groups][groups]</c>; null where there are too many groups for all pairs.</returns>
    public static IReadOnlyList<IReadOnlyList<double?>>? Groups(float[] features, int width, Grouping grouping)
    {
        if (grouping.Keys.Count > Results.GroupMetricFrame.MostGroupsInPairs)
            return null;
        int groups = grouping.Keys.Count;
        var sums = new double[groups][];
        var squares = new double[groups];
        var weights = new double[groups];
        var squaredWeights = new double[groups];
        for (int group = 0; group < groups; group++)
        {
            sums[group] = new double[width];
            foreach (int row in grouping.Images[group])
            {
                double weight = grouping.Weights[row];
                weights[group] += weight;
                squaredWeights[group] += weight * weight;
                for (int k = 0; k < width; k++)
                {
                    double value = weight * features[((long)row * width) + k];
                    sums[group][k] += value;
                    squares[group] += value * value;
                }
            }
        }

        var means = new double?[groups][];
        for (int i = 0; i < groups; i++)
        {
            means[i] = new double?[groups];
            for (int j = 0; j < groups; j++)
            {
                double dot = 0;
                for (int k = 0; k < width; k++)
                    dot += sums[i][k] * sums[j][k];
                double pairs = (weights[i] * weights[j]) - (i == j ? squaredWeights[i] : 0);
                bool hasPairs = grouping.Images[i].Length > (i == j ? 1 : 0) && grouping.Images[j].Length > 0;
                means[i][j] = hasPairs ? (dot - (i == j ? squares[i] : 0)) / pairs : null;
            }
        }

        return means;
    }
}
