using System.Text.Json;
using ClipEngine.Imaging;

namespace ClipEngine.Cli;

/// <summary>How verbs say in JSON which preprocessing they ran: docs/exactness.md explains the words.</summary>
internal static class PreprocessJson
{
    /// <summary>Writes the members into the object that is open.</summary>
    public static void WriteMembers(Utf8JsonWriter writer, PreprocessOptions options)
    {
        writer.WriteNumber("height", options.Height);
        writer.WriteNumber("width", options.Width);
        writer.WriteString("mode", PreprocessNames.NameOf(options.ResizeMode));
        writer.WriteString("interpolation", PreprocessNames.NameOf(options.Interpolation));
        writer.WriteString("resampler", PreprocessNames.NameOf(options.Resampler));
        writer.WriteString("rgb", PreprocessNames.NameOf(options.RgbOrder));
        writer.WriteString("alpha", PreprocessNames.NameOf(options.Alpha));
        writer.WriteString("crop", PreprocessNames.NameOf(options.CropStart));
    }
}
