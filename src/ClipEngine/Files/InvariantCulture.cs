using System.Globalization;

namespace ClipEngine.Files;

/// <summary>
/// Files and reports have the same bytes whatever the culture of the host: numbers, upper and lower case and comparisons of this thread, and of
/// the tasks that it starts, follow the invariant culture until this is disposed.
/// </summary>
public readonly record struct InvariantCulture : IDisposable
{
    private readonly CultureInfo _before;

    private InvariantCulture(CultureInfo before) => _before = before;

    /// <summary>Begins; dispose on the same thread.</summary>
    public static InvariantCulture Begin()
    {
        CultureInfo before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        return new InvariantCulture(before);
    }

    /// <inheritdoc/>
    public void Dispose() => CultureInfo.CurrentCulture = _before;
}
