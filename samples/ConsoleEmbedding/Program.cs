// ConsoleEmbedding MODEL SENTENCE IMAGE...: how well each image fits the sentence, the best first.
using System.Globalization;
using System.Numerics.Tensors;
using ClipEngine;

if (args.Length < 3)
{
    Console.Error.WriteLine("usage: ConsoleEmbedding MODEL SENTENCE IMAGE...");
    return 2;
}

using var cancellation = new CancellationTokenSource();
Console.CancelKeyPress += (_, pressed) =>
{
    pressed.Cancel = true; // let the call below end by itself
    cancellation.Cancel();
};

try
{
    using ClipModel model = await ClipModel.LoadAsync(args[0], cancellationToken: cancellation.Token);
    FeatureMatrix sentence = await model.EncodeTextsAsync([args[1]], cancellationToken: cancellation.Token);
    FeatureMatrix images = await model.EncodeImagesAsync(args[2..], cancellationToken: cancellation.Token);

    // Features have length 1, so that their dot product is the cosine of the angle between them.
    foreach ((int image, float cosine) in Enumerable.Range(0, images.Count).Select(i => (i, TensorPrimitives.Dot(images[i], sentence[0]))).OrderByDescending(pair => pair.Item2))
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{cosine:F4} {args[2 + image]}"));
    return 0;
}
catch (BadInputException exception)
{
    Console.Error.WriteLine(exception.Message); // names the file, what is wrong with it and what to do
    return 2;
}
catch (OperationCanceledException)
{
    return 1;
}
