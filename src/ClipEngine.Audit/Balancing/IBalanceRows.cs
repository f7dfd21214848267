namespace ClipEngine.Audit.Balancing;

/// <summary>The rows of a balancing problem, read as often as the solver asks, in the same order each time.</summary>
internal interface IBalanceRows
{
    /// <summary>Rows of the data, repeated ones counted as often as they occur.</summary>
    long Count { get; }

    /// <summary>Hands over all rows in blocks.</summary>
    /// <param name="visit">Gets rows of m + c + 1 numbers one behind the other, and how often each occurs.</param>
    void Read(RowVisitor visit);
}

/// <summary>Takes a block of rows.</summary>
/// <param name="rows">[n, m + c + 1], row-major.</param>
/// <param name="counts">[n]: how often each occurs in the data.</param>
internal delegate void RowVisitor(ReadOnlyMemory<double> rows, ReadOnlyMemory<long> counts);
