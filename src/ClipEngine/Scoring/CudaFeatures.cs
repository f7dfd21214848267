using System.Collections.Immutable;
using ClipEngine.Native;

namespace ClipEngine.Scoring;

/// <summary>Rows of features in the memory of GPUs, with their groups.</summary>
internal sealed unsafe class CudaFeatures : IDisposable
{
    /// <summary>Runs over the rows begin and end at multiples of this many chunks.</summary>
    internal const int ChunksOfABatch = 8;

    private readonly CudaDevices _devices;
    private readonly int _groupCount;

    private CudaFeatures(CudaDevices devices, int groupCount, CudaDevicesObject handle)
    {
        _devices = devices;
        _groupCount = groupCount;
        Handle = handle;
    }

    /// <summary>A run holds a reference on it.</summary>
    internal CudaDevicesObject Handle { get; }

    /// <summary>Copies rows to the devices.</summary>
    /// <param name="source">The rows.</param>
    /// <param name="devices">Where to.</param>
    /// <param name="groups">Of the rows; empty: all in group 0.</param>
    /// <param name="groupCount">Groups; 0 for none.</param>
    /// <param name="repeated">0, or how many rows there are to be, the source's again and again (then without groups).</param>
    internal static CudaFeatures Load(FeatureSource source, CudaDevices devices, ReadOnlySpan<int> groups, int groupCount, long repeated = 0)
    {
        ImmutableArray<HandleReference> held = devices.Hold();
        try
        {
            nint[] handles = [.. held.Select(static device => device.Value)];
            nint features;
            using FeatureSource.Access access = source.Pin();
            fixed (nint* list = handles)
            fixed (int* group = groups)
            {
                var rows = new NativeSweepBatch
                {
                    Rows = (void*)access.Address,
                    RowCount = source.Rows,
                    File = access.File,
                    FileOffset = access.FileOffset,
                    RowType = SweepEngine.NativeType(source.Type),
                    Groups = groups.IsEmpty ? null : group,
                };
                NativeStatus status = repeated > 0
                    ? devices.Library.FeaturesRepeat(list, handles.Length, &rows, repeated, source.Width, groupCount, &features)
                    : devices.Library.FeaturesCreate(list, handles.Length, &rows, source.Width, groupCount, &features);
                devices.Library.Check(status, source.Name);
            }

            return new CudaFeatures(devices, groupCount, new CudaDevicesObject(features, devices.Library.FeaturesDestroy, held));
        }
        catch
        {
            CudaDevices.Release(held);
            throw;
        }
    }

    /// <summary>Throws where a run cannot take its rows from here.</summary>
    internal void Check(SweepEngine engine, ProbeSweepInput input, long count, int groupCount)
    {
        FeatureSource images = input.Images;
        if (engine is not CudaSweepEngine cuda || cuda.Devices != _devices)
            throw new ArgumentException($"{images.Name} lies on {_devices.Name}; a sweep over it must be made with the same devices.", nameof(input));
        if (!input.Groups.IsEmpty || (groupCount > 0 && groupCount != _groupCount))
            throw new ArgumentException($"{images.Name} was brought to the GPUs with {_groupCount} groups: leave the input's groups empty, and ask for as many or for none.", nameof(input));
        const int step = ChunksOfABatch * ProbeSweep.ChunkRows;
        if (input.FirstRow % step != 0 || (count % step != 0 && input.FirstRow + count != images.Rows))
            throw new ArgumentException($"A run over rows on GPUs begins and ends at multiples of {step}.", nameof(input));
    }

    /// <summary>Frees the memory once no run reads it.</summary>
    public void Dispose() => Handle.Dispose();
}
