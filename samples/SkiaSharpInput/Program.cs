// SkiaSharpInput MODEL LABEL,LABEL... [IMAGE]: a SkiaSharp bitmap, decoded from a file or drawn here, is classified as it lies in memory.
using System.Globalization;
using ClipEngine;
using ClipEngine.Imaging;
using SkiaSharp;

if (args.Length is not (2 or 3))
{
    Console.Error.WriteLine("usage: SkiaSharpInput MODEL LABEL,LABEL... [IMAGE]");
    return 2;
}

using SKBitmap bitmap = args.Length == 3 ? SKBitmap.Decode(args[2]) ?? throw new IOException($"{args[2]} is no image that SkiaSharp reads.") : Draw();
using ClipModel model = ClipModel.Load(args[0]);
using ZeroShotClassifier classifier = model.CreateClassifier(args[1].Split(','));

// Skia keeps four bytes a pixel; the fourth is not looked at. RowBytes may be more than the pixels of a row take.
PixelLayout layout = bitmap.ColorType switch
{
    SKColorType.Rgba8888 or SKColorType.Rgb888x => PixelLayout.Rgba,
    SKColorType.Bgra8888 => PixelLayout.Bgra,
    _ => throw new NotSupportedException($"Copy the bitmap to {SKColorType.Rgba8888} first; it is {bitmap.ColorType}."),
};
float[] features = new float[model.EmbedDimension];
model.EncodeImage(new ImagePixels(bitmap.GetPixelSpan(), bitmap.Width, bitmap.Height, layout, bitmap.RowBytes), features);

foreach ((string label, float probability) in classifier.Classify(new FeatureMatrix(features, new(1, features.Length)))[0])
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{probability:F4} {label}"));
return 0;

static SKBitmap Draw()
{
    var drawn = new SKBitmap(new SKImageInfo(200, 150, SKColorType.Rgba8888, SKAlphaType.Opaque));
    using var canvas = new SKCanvas(drawn);
    using var paint = new SKPaint { Color = SKColors.Firebrick };
    canvas.Clear(SKColors.White);
    canvas.DrawCircle(100, 75, 50, paint);
    return drawn;
}
