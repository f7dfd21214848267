namespace ClipEngine.Audit.Results;

/// <summary>How a model's scores become probabilities.</summary>
public enum ScoreReading
{
    /// <summary>A softmax over the labels of a set: the labels compete, and the probabilities of an image add up to one. What CLIP was trained with.</summary>
    Softmax,

    /// <summary>A sigmoid of each image and sentence by itself: the probability that they belong together, whatever the other labels are. What SigLIP was trained with.</summary>
    Sigmoid,
}

/// <summary>A dense matrix of scores, one row an image, one column a label.</summary>
public sealed class ScoreMatrix
{
    /// <summary>Takes over the values.</summary>
    /// <param name="rows">Images.</param>
    /// <param name="columns">Labels.</param>
    /// <param name="values"><c>[rows, columns]</c>, row-major; not copied.</param>
    public ScoreMatrix(int rows, int columns, float[] values)
    {
        ArgumentNullException.ThrowIfNull(values);
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(columns);
        if ((long)rows * columns != values.Length)
            throw new ArgumentException($"{rows} x {columns} values were announced, {values.Length} were given", nameof(values));
        Rows = rows;
        Columns = columns;
        Values = values;
    }

    /// <summary>How the scores of a row belong together.</summary>
    public ScoreReading Reading { get; init; }

    /// <summary>Images.</summary>
    public int Rows { get; }

    /// <summary>Labels.</summary>
    public int Columns { get; }

    /// <summary><c>[Rows, Columns]</c>, row-major.</summary>
    public float[] Values { get; }

    /// <summary>One value.</summary>
    public float this[int row, int column] => Values[((long)row * Columns) + column];

    /// <summary>One image's scores.</summary>
    public ReadOnlySpan<float> Row(int row) => Values.AsSpan(row * Columns, Columns);

    /// <summary>The column of the largest score of a row; the first of equal ones, as the reference's argmax.</summary>
    public int Argmax(int row)
    {
        ReadOnlySpan<float> scores = Row(row);
        int best = 0;
        for (int column = 1; column < scores.Length; column++)
        {
            if (scores[column] > scores[best])
                best = column;
        }

        return best;
    }

    /// <summary>Whether the largest score of a row is that of two columns or more, to the last bit.</summary>
    internal bool IsTied(int row)
    {
        ReadOnlySpan<float> scores = Row(row);
        return scores.Count(scores[Argmax(row)]) > 1;
    }
}
