using System.Text.Json.Serialization;

namespace ClipEngine.Audit.Results;

/// <summary>What counts the same in every rate, mean, difference and test of a run, before the images' own weights where they have such.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<Weighting>))]
public enum Weighting
{
    /// <summary>Every person of a group, with however many images: each image counts one over the person's images in the group.</summary>
    Person,

    /// <summary>Every image: a person with many images counts as many times.</summary>
    Image,
}
