namespace ClipEngine.Models;

/// <summary>A configuration is that of a known kind of model that this version cannot run.</summary>
public sealed class UnsupportedFamilyException : BadInputException
{
    /// <summary>Names the family.</summary>
    /// <param name="source">The configuration, as the user named it.</param>
    /// <param name="family">What the model is, such as <c>ConvNeXt (convnext_base)</c>.</param>
    public UnsupportedFamilyException(string source, string family)
        : base(source, $"describes a model of the family {family}, which is not supported.", "Run it with the library that published it.") => Family = family;

    /// <summary>What the model is.</summary>
    public string Family { get; }
}
