using System.Collections.Immutable;
using System.Text.Json;
using ClipEngine.Files;
using ClipEngine.Imaging;

namespace ClipEngine.Models;

/// <summary>
/// The steps of transformers' <c>CLIPImageProcessor</c>, read from the files beside <c>config.json</c>. What OpenCLIP always does may
/// not be switched off, but for the normalisation, which mean 0 and deviation 1 leave out.
/// </summary>
internal static class TransformersProcessor
{
    internal const int PillowBilinear = 2;
    internal const int PillowBicubic = 3;

    private const string OldName = "preprocessor_config.json";
    private const string NewName = "processor_config.json";
    private const string ImageSection = "image_processor";

    // CLIPImageProcessor's own mean and deviation, for files that leave them out: OpenAI's.
    private static readonly float[] s_usualMean = [0.48145466f, 0.4578275f, 0.40821073f];
    private static readonly float[] s_usualDeviation = [0.26862954f, 0.26130258f, 0.27577711f];

    /// <summary>
    /// Finds the steps beside a configuration. Version 5 of transformers writes <c>processor_config.json</c>, whose <c>image_processor</c>
    /// wins over a <c>preprocessor_config.json</c> of an earlier save (transformers 5.24); a file without that section says nothing of images.
    /// </summary>
    /// <param name="configuration">The root of the model's <c>config.json</c>.</param>
    /// <param name="source">The file; a name of the catalogue has nothing beside it, and its configuration holds the section where a family's own steps are not those of the weights.</param>
    /// <returns>The section and the name of its file; null where there is neither.</returns>
    public static (JsonElement Steps, string File)? Find(JsonElement configuration, string source)
    {
        if (!FilePlace.IsFile(source))
            return configuration.TryGetProperty(ImageSection, out JsonElement own) ? (own, ImageSection) : null;
        string folder = Path.GetDirectoryName(Path.GetFullPath(source))!;
        string path = Path.Combine(folder, NewName);
        if (FilePlace.IsFile(path) && ConfigFile.Read(path).TryGetProperty(ImageSection, out JsonElement section) && section.ValueKind != JsonValueKind.Null)
        {
            return section.ValueKind == JsonValueKind.Object
                ? (section, NewName)
                : throw new BadInputException(path, $"{ImageSection}: expected an object, found {Show(section)}.");
        }

        path = Path.Combine(folder, OldName);
        return FilePlace.IsFile(path) ? (ConfigFile.Read(path), OldName) : null;
    }

    /// <summary>The steps of CLIP's processor: an image's shortest edge is brought to the model's size and its middle is cut out, or it is squashed.</summary>
    /// <param name="steps">The processor's section.</param>
    /// <param name="file">Its file's name, for messages.</param>
    /// <param name="imageSize">The model's side, which the steps must lead to.</param>
    /// <param name="source">What messages call the configuration.</param>
    /// <param name="type">How the processor's class begins.</param>
    public static PreprocessOptions ReadClip(JsonElement steps, string file, int imageSize, string source, string type) =>
        new Reader(steps, file, source, type).ReadClip(imageSize);

    /// <summary>The steps of a processor that squashes every image to the model's size (SigLIP's, BLIP's), over that model's own defaults.</summary>
    /// <param name="steps">The processor's section.</param>
    /// <param name="file">Its file's name, for messages.</param>
    /// <param name="usual">What the processor does where the section says nothing; its size is the model's.</param>
    /// <param name="source">What messages call the configuration.</param>
    /// <param name="type">How the processor's class begins.</param>
    public static PreprocessOptions ReadSquashing(JsonElement steps, string file, PreprocessOptions usual, string source, string type) =>
        new Reader(steps, file, source, type).ReadSquashing(usual);

    private static string Show(JsonElement value) => BadInputException.Escape(value.GetRawText(), 60);

    /// <summary>One processor's section, with what messages say of it.</summary>
    private readonly struct Reader(JsonElement steps, string file, string source, string processor)
    {
        private readonly JsonElement _steps = steps;

        public PreprocessOptions ReadClip(int imageSize)
        {
            RefuseOtherSteps();
            bool crops = Flag("do_center_crop");
            bool squashes = ReadSize(imageSize);
            if (!crops && !squashes)
            {
                throw Refuse("do_center_crop", "expected true where size is the shortest edge, found false: images would keep their shape, and the model needs square ones",
                    "A size of {\"height\", \"width\"} squashes them instead.");
            }

            if (crops && TryGet("crop_size", out JsonElement crop) && !Sides(crop, "height", "width").All(side => IsNumber(side, imageSize)))
                throw Refuse("crop_size", $"expected the model's image_size {imageSize}, found {Show(crop)}");
            bool normalizes = Flag("do_normalize");
            return new PreprocessOptions
            {
                Height = imageSize,
                Width = imageSize,
                Mean = normalizes ? Numbers("image_mean", [.. s_usualMean]) : [0, 0, 0],
                StandardDeviation = normalizes ? Numbers("image_std", [.. s_usualDeviation]) : [1, 1, 1],
                Interpolation = ReadInterpolation(Interpolation.Bicubic),
                ResizeMode = squashes ? ResizeMode.Squash : ResizeMode.Shortest,
            };
        }

        public PreprocessOptions ReadSquashing(PreprocessOptions usual)
        {
            RefuseOtherSteps();
            if (TryGet("size", out JsonElement size) && !(Sides(size, "height", "width").ToArray() is [JsonElement height, JsonElement width] && IsNumber(height, usual.Height) && IsNumber(width, usual.Width))
                && !IsNumber(size, usual.Height))
            {
                throw Refuse("size", $"expected the model's image_size as height and width, found {Show(size)}");
            }

            bool normalizes = Flag("do_normalize");
            return usual with
            {
                Mean = normalizes ? Numbers("image_mean", usual.Mean) : [0, 0, 0],
                StandardDeviation = normalizes ? Numbers("image_std", usual.StandardDeviation) : [1, 1, 1],
                Interpolation = ReadInterpolation(usual.Interpolation),
                ResizeMode = ResizeMode.Squash,
            };
        }

        private Interpolation ReadInterpolation(Interpolation usual) => !TryGet("resample", out JsonElement resample) ? usual
            : IsNumber(resample, PillowBicubic) ? Interpolation.Bicubic
            : IsNumber(resample, PillowBilinear) ? Interpolation.Bilinear
            : throw Refuse("resample", $"expected 2 (bilinear) or 3 (bicubic), found {Show(resample)}");

        private ImmutableArray<float> Numbers(string key, ImmutableArray<float> fallback)
        {
            if (!TryGet(key, out JsonElement numbers))
                return fallback;
            if (numbers.ValueKind != JsonValueKind.Array || numbers.GetArrayLength() != 3 || numbers.EnumerateArray().Any(static number => number.ValueKind != JsonValueKind.Number || !number.TryGetSingle(out _)))
                throw Refuse(key, $"expected three numbers, found {Show(numbers)}");
            return [.. numbers.EnumerateArray().Select(static number => number.GetSingle())];
        }

        private void RefuseOtherSteps()
        {
            const double Scale = 1 / 255.0;
            foreach (string type in (ReadOnlySpan<string>)["image_processor_type", "feature_extractor_type"])
            {
                if (TryGet(type, out JsonElement name) && (name.ValueKind != JsonValueKind.String || !name.GetString()!.StartsWith(processor, StringComparison.Ordinal)))
                    throw Refuse(type, $"expected {processor}ImageProcessor, found {Show(name)}, which works otherwise");
            }

            foreach (string key in (ReadOnlySpan<string>)["do_resize", "do_rescale"])
            {
                if (!Flag(key))
                    throw Refuse(key, "expected true, found false: images are always brought to the model's size and to [0, 1] here", "Feed prepared pixels with 'clipengine embed raw'.");
            }

            if (!Flag("do_convert_rgb"))
                throw Refuse("do_convert_rgb", "expected true, found false: images are always converted to RGB here");
            if (TryGet("rescale_factor", out JsonElement factor) && (factor.ValueKind != JsonValueKind.Number || Math.Abs(factor.GetDouble() - Scale) >= 1e-9))
                throw Refuse("rescale_factor", $"expected 1/255, found {Show(factor)}");
            if (TryGet("rescale_offset", out JsonElement offset) && offset.ValueKind != JsonValueKind.False)
                throw Refuse("rescale_offset", $"expected false, found {Show(offset)}");
            if (TryGet("do_pad", out JsonElement pads) && pads.ValueKind != JsonValueKind.False && TryGet("pad_size", out JsonElement padded))
                throw Refuse("pad_size", $"expected no padding, found {Show(padded)}");
        }

        /// <summary>Whether the size has both sides, to which the image is squashed, and not its shortest edge.</summary>
        private bool ReadSize(int imageSize)
        {
            if (!TryGet("size", out JsonElement size))
                return false;
            // A number in old files, else {"shortest_edge"} or {"height", "width"}.
            if (IsNumber(size, imageSize))
                return TryGet("default_to_square", out JsonElement square) && square.ValueKind == JsonValueKind.True;
            if (size.ValueKind == JsonValueKind.Object && size.EnumerateObject().Count() == 1 && Sides(size, "shortest_edge").All(side => IsNumber(side, imageSize)))
                return false;
            if (size.ValueKind == JsonValueKind.Object && size.EnumerateObject().Count(static side => side.Value.ValueKind != JsonValueKind.Null) == 2
                && Sides(size, "height", "width").All(side => IsNumber(side, imageSize)))
            {
                return true;
            }

            throw Refuse("size", $"expected the model's image_size {imageSize} as shortest_edge, or as height and width, found {Show(size)}");
        }

        private bool Flag(string key)
        {
            if (!TryGet(key, out JsonElement value))
                return true;
            return value.ValueKind is JsonValueKind.True or JsonValueKind.False
                ? value.ValueKind == JsonValueKind.True
                : throw Refuse(key, $"expected true or false, found {Show(value)}");
        }

        // Null means the processor's own value, as a key that is left out does.
        private bool TryGet(string key, out JsonElement value) => _steps.TryGetProperty(key, out value) && value.ValueKind != JsonValueKind.Null;

        private BadInputException Refuse(string key, string problem, string? remedy = null) =>
            new(source, $"{file} beside it: {key}: {problem}.", remedy ?? "Correct the file if it does not say what the model was trained with.");

        /// <summary>The sides of a size; what is missing is undefined, and a number stands for all of them.</summary>
        private static IEnumerable<JsonElement> Sides(JsonElement size, params string[] names) => size.ValueKind == JsonValueKind.Object
            ? names.Select(name => size.TryGetProperty(name, out JsonElement side) ? side : default)
            : [size];

        private static bool IsNumber(JsonElement value, int expected) => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number == expected;
    }
}
