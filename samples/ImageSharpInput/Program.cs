// ImageSharpInput MODEL IMAGE: an ImageSharp image goes into a model as it lies in memory, after whatever was done to it.
using System.Globalization;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using ClipEngine;
using ClipEngine.Imaging;
using SixLabors.ImageSharp;
using SixLabors.ImageSharp.PixelFormats;
using SixLabors.ImageSharp.Processing;

if (args.Length != 2)
{
    Console.Error.WriteLine("usage: ImageSharpInput MODEL IMAGE");
    return 2;
}

// One run of memory for the whole image; larger ones would be kept in pieces.
Configuration configuration = Configuration.Default.Clone();
configuration.PreferContiguousImageBuffers = true;
using Image<Rgb24> image = Image.Load<Rgb24>(configuration, args[1]);
using ClipModel model = ClipModel.Load(args[0]);

float[] upright = Encode(image);
image.Mutate(context => context.Flip(FlipMode.Horizontal));
float[] mirrored = Encode(image);
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"cosine between the image and its mirror image: {TensorPrimitives.Dot(upright, mirrored):F4}"));
return 0;

float[] Encode(Image<Rgb24> pixels)
{
    if (!pixels.DangerousTryGetSinglePixelMemory(out Memory<Rgb24> memory))
        throw new InvalidOperationException("The image lies in pieces; copy it with CopyPixelDataTo first.");
    float[] features = new float[model.EmbedDimension];
    model.EncodeImage(new ImagePixels(MemoryMarshal.AsBytes(memory.Span), pixels.Width, pixels.Height), features);
    return features;
}
