using System.Collections.Concurrent;
using System.Linq.Expressions;
using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.VectorData;

namespace VectorSearch;

/// <summary>
/// The smallest collection that Microsoft.Extensions.VectorData can be shown with: a dictionary that compares a search with every record.
/// It keeps nothing, has no index and reads no attributes. For a few ten thousand records in a demonstration; no database.
/// </summary>
internal sealed class MemoryCollection<TKey, TRecord>(
    string name, Func<TRecord, TKey> keyOf, Func<TRecord, ReadOnlyMemory<float>> vectorOf, IEmbeddingGenerator<string, Embedding<float>> sentences)
    : VectorStoreCollection<TKey, TRecord>
    where TKey : notnull
    where TRecord : class
{
    private readonly ConcurrentDictionary<TKey, TRecord> _records = [];

    public override string Name => name;

    public override Task<bool> CollectionExistsAsync(CancellationToken cancellationToken = default) => Task.FromResult(true);

    public override Task EnsureCollectionExistsAsync(CancellationToken cancellationToken = default) => Task.CompletedTask;

    public override Task EnsureCollectionDeletedAsync(CancellationToken cancellationToken = default)
    {
        _records.Clear();
        return Task.CompletedTask;
    }

    public override Task<TRecord?> GetAsync(TKey key, RecordRetrievalOptions? options = null, CancellationToken cancellationToken = default) =>
        Task.FromResult(_records.GetValueOrDefault(key));

    public override IAsyncEnumerable<TRecord> GetAsync(Expression<Func<TRecord, bool>> filter, int top, FilteredRecordRetrievalOptions<TRecord>? options = null, CancellationToken cancellationToken = default) =>
        _records.Values.Where(filter.Compile()).Take(top).ToAsyncEnumerable();

    public override Task DeleteAsync(TKey key, CancellationToken cancellationToken = default)
    {
        _records.TryRemove(key, out _);
        return Task.CompletedTask;
    }

    public override Task UpsertAsync(TRecord record, CancellationToken cancellationToken = default)
    {
        _records[keyOf(record)] = record;
        return Task.CompletedTask;
    }

    public override async Task UpsertAsync(IEnumerable<TRecord> records, CancellationToken cancellationToken = default)
    {
        foreach (TRecord record in records)
            await UpsertAsync(record, cancellationToken);
    }

    public override async IAsyncEnumerable<VectorSearchResult<TRecord>> SearchAsync<TInput>(
        TInput searchValue, int top, VectorSearchOptions<TRecord>? options = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ReadOnlyMemory<float> wanted = searchValue switch
        {
            string sentence => (await sentences.GenerateAsync(sentence, cancellationToken: cancellationToken)).Vector,
            ReadOnlyMemory<float> vector => vector,
            Embedding<float> embedding => embedding.Vector,
            _ => throw new NotSupportedException($"A search is a sentence or a vector, not a {typeof(TInput).Name}."),
        };
        Func<TRecord, bool>? filter = options?.Filter?.Compile();
        IEnumerable<VectorSearchResult<TRecord>> best = _records.Values
            .Where(record => filter is null || filter(record))
            .Select(record => new VectorSearchResult<TRecord>(record, TensorPrimitives.CosineSimilarity(vectorOf(record).Span, wanted.Span)))
            .OrderByDescending(result => result.Score)
            .Skip(options?.Skip ?? 0)
            .Take(top);
        foreach (VectorSearchResult<TRecord> result in best)
            yield return result;
    }

    public override object? GetService(Type serviceType, object? serviceKey = null) =>
        serviceKey is null && serviceType.IsInstanceOfType(this) ? this : null;
}
