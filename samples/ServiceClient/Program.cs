// ServiceClient http://127.0.0.1:8080/v1 SENTENCE IMAGE...: images by their likeness to a sentence, asked of 'clipengine serve' through OpenAI's library.
// An API key is taken from the variable OPENAI_API_KEY; a server without one takes any.
using System.ClientModel;
using System.Numerics.Tensors;
using OpenAI;
using OpenAI.Embeddings;
using OpenAI.Models;

if (args.Length < 3 || !Uri.TryCreate(args[0], UriKind.Absolute, out Uri? address))
{
    Console.Error.WriteLine("usage: ServiceClient http://127.0.0.1:8080/v1 SENTENCE IMAGE...");
    return 2;
}

var client = new OpenAIClient(new ApiKeyCredential(Environment.GetEnvironmentVariable("OPENAI_API_KEY") ?? "none"), new OpenAIClientOptions { Endpoint = address });
try
{
    OpenAIModelCollection models = await client.GetOpenAIModelClient().GetModelsAsync();
    EmbeddingClient embeddings = client.GetEmbeddingClient(models[0].Id);
    // An image is a data URL; the server looks at the bytes, not at the type that is named.
    string[] images = [.. args.Skip(2).Select(file => $"data:image/jpeg;base64,{Convert.ToBase64String(File.ReadAllBytes(file))}")];
    OpenAIEmbeddingCollection features = await embeddings.GenerateEmbeddingsAsync([args[1], .. images]);
    foreach ((string file, float cosine) in args.Skip(2).Zip(features.Skip(1), (file, image) => (file, TensorPrimitives.Dot(features[0].ToFloats().Span, image.ToFloats().Span))).OrderByDescending(pair => pair.Item2))
        Console.WriteLine($"{cosine:F4} {file}");
    return 0;
}
catch (Exception exception) when (exception is ClientResultException or IOException)
{
    Console.Error.WriteLine(exception.Message);
    return 1;
}
