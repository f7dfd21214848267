using ClipEngine.Audit.Results;
using ClipEngine.Files;
using ClipEngine.Tensors;

namespace ClipEngine.Audit.Scores;

/// <summary>
/// Reads matrices of scores that were computed elsewhere and refuses those that cannot be what they are said to be. A missing
/// or unreadable matrix is an error: zeros in its place would give every image the first label.
/// </summary>
internal static class ScoreMatrixReader
{
    /// <summary>How far from one a row may add up that was written with few digits: tables have four or more, float16 one part in 2048.</summary>
    internal const double LooseTolerance = 1e-3;

    /// <summary>Reads probabilities.</summary>
    /// <param name="path">A <c>.npy</c> file, <c>[images, labels]</c>, floating-point.</param>
    /// <param name="rows">How many images it must have.</param>
    /// <param name="columns">How many labels it must have.</param>
    /// <param name="reading">Whether a row adds up to one.</param>
    /// <param name="tolerance">How far from one a row may add up; by default what the file's type can hold.</param>
    /// <exception cref="BadInputException">Missing, another shape or type, a value that is not finite or outside [0, 1], or a row that does not add up to one; names row and column, counted from 0.</exception>
    public static ScoreMatrix ReadProbabilities(string path, int rows, int columns, ScoreReading reading = ScoreReading.Softmax, double? tolerance = null)
    {
        (ScoreMatrix matrix, ElementType type) = Read(path, rows, columns);
        // float16 stores a probability to one part in 2048; float32 far better than what summation asks for.
        matrix = new ScoreMatrix(matrix.Rows, matrix.Columns, matrix.Values) { Reading = reading };
        CheckProbabilities(matrix, path, tolerance ?? (type == ElementType.Float16 ? LooseTolerance : 1e-5));
        return matrix;
    }

    /// <summary>Reads cosines (or other scores of which only finiteness can be asked).</summary>
    /// <param name="path">A <c>.npy</c> file, <c>[images, labels]</c>, floating-point.</param>
    /// <param name="rows">How many images it must have.</param>
    /// <param name="columns">How many labels it must have.</param>
    /// <exception cref="BadInputException">Missing, another shape or type, or a value that is not finite or beyond ±1.001.</exception>
    public static ScoreMatrix ReadCosines(string path, int rows, int columns)
    {
        (ScoreMatrix matrix, _) = Read(path, rows, columns);
        for (int row = 0; row < matrix.Rows; row++)
        {
            for (int column = 0; column < matrix.Columns; column++)
            {
                if (!(Math.Abs(matrix[row, column]) <= 1.001f))
                    throw new BadInputException(path, $"row {row}, column {column} is {matrix[row, column]}; a cosine lies in [-1, 1].", "Give cosines of normalised features, not logits.");
            }
        }

        return matrix;
    }

    internal static void CheckProbabilities(ScoreMatrix matrix, string path, double tolerance)
    {
        for (int row = 0; row < matrix.Rows; row++)
        {
            double sum = 0;
            for (int column = 0; column < matrix.Columns; column++)
            {
                float value = matrix[row, column];
                if (!float.IsFinite(value))
                    throw new BadInputException(path, $"row {row}, column {column} is {value}; a finite probability was expected.", "Find out where the matrix was made; it cannot be audited.");
                if (value < 0 || value > 1 + tolerance)
                    throw new BadInputException(path, $"row {row}, column {column} is {value:R}; a probability lies in [0, 1].", "Give the softmax, not cosines or logits.");
                sum += value;
            }

            if (matrix.Reading == ScoreReading.Softmax && !(Math.Abs(sum - 1) <= tolerance))
                throw new BadInputException(path, $"row {row} adds up to {sum:R}, expected 1 within {tolerance:R}.", "Give the softmax over exactly the labels that are named; a column may be missing or the matrix may hold something else.");
        }
    }

    private static (ScoreMatrix Matrix, ElementType Type) Read(string path, int rows, int columns)
    {
        using NpyFile file = NpyFile.Open(path);
        if (file.Dimensions.Length != 2)
            throw new BadInputException(path, $"the array has the shape [{string.Join(", ", file.Dimensions)}]; [{rows}, {columns}] (images, labels) was expected.");
        if (file.Dimensions[0] != rows)
            throw new BadInputException(path, $"the matrix has {file.Dimensions[0]} rows, the metadata has {rows}.", "Rows must be the metadata's images in the metadata's order.");
        if (file.Dimensions[1] != columns)
            throw new BadInputException(path, $"the matrix has {file.Dimensions[1]} columns, {columns} labels were named.", "Name the labels in the order of the columns, each once.");
        if (!file.Type.IsFloatingPoint())
            throw new BadInputException(path, $"the elements are {file.Type}; a floating-point type was expected.");
        var values = new float[(long)rows * columns];
        file.ReadAsSingle(0, values);
        return (new ScoreMatrix(rows, columns, values), file.Type);
    }
}
