// VectorSearch MODEL FOLDER SENTENCE: images of a folder into a vector store, the three that fit a sentence best out of it.
using System.Globalization;
using ClipEngine;
using ClipEngine.Imaging;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.VectorData;
using VectorSearch;

if (args.Length != 3)
{
    Console.Error.WriteLine("usage: VectorSearch MODEL FOLDER SENTENCE");
    return 2;
}

using ClipModel model = await ClipModel.LoadAsync(args[0]);
using IEmbeddingGenerator<DataContent, Embedding<float>> images = model.AsImageEmbeddingGenerator();
using IEmbeddingGenerator<string, Embedding<float>> sentences = model.AsTextEmbeddingGenerator();

// Everything below speaks of Microsoft.Extensions.VectorData alone: in place of MemoryCollection, a real application takes the
// collection of its database's connector (Qdrant, PostgreSQL, Azure AI Search ...).
using VectorStoreCollection<string, Picture> pictures = new MemoryCollection<string, Picture>("pictures", picture => picture.Path, picture => picture.Embedding, sentences);
await pictures.EnsureCollectionExistsAsync();

foreach (string path in Directory.EnumerateFiles(args[1]).Where(ImageCollection.IsImage).Order(StringComparer.Ordinal))
{
    Embedding<float> embedding = await images.GenerateAsync(await DataContent.LoadFromAsync(path, "image/*"));
    await pictures.UpsertAsync(new Picture { Path = path, Embedding = embedding.Vector });
}

// Sentences and images lie in one space: the store's generator encodes the sentence.
await foreach (VectorSearchResult<Picture> found in pictures.SearchAsync(args[2], top: 3))
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{found.Score:F4} {found.Record.Path}"));
return 0;
