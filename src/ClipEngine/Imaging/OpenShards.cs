using Microsoft.Win32.SafeHandles;

namespace ClipEngine.Imaging;

/// <summary>The shards that are being read. Few are open at a time, however many there are: those that threads read from, and the last ones that they left.</summary>
internal sealed class OpenShards : IDisposable
{
    /// <summary>Shards that stay open although nobody reads from them: images follow one another.</summary>
    private const int Idle = 2;

    private readonly Lock _lock = new();
    private readonly Dictionary<TarShard, (SafeFileHandle Handle, int Readers)> _open = [];
    private readonly List<TarShard> _idle = new(Idle + 1); // the one that was left last comes last
    private bool _isDisposed;

    /// <summary>How many are open.</summary>
    internal int Count
    {
        get
        {
            lock (_lock)
                return _open.Count;
        }
    }

    /// <summary>Opens a shard, unless it is open, for somebody who reads from it until <see cref="Leave"/>.</summary>
    /// <exception cref="BadInputException">It cannot be opened.</exception>
    /// <exception cref="ObjectDisposedException">All were closed: nobody would close this one.</exception>
    public SafeFileHandle Enter(TarShard shard)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            (SafeFileHandle Handle, int Readers) entry = _open.TryGetValue(shard, out var known) ? known : (shard.OpenHandle(), 0);
            if (entry.Readers == 0)
                _idle.Remove(shard);
            _open[shard] = (entry.Handle, entry.Readers + 1);
            return entry.Handle;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            _isDisposed = true;
            foreach ((SafeFileHandle handle, _) in _open.Values)
                handle.Dispose();
            _open.Clear();
            _idle.Clear();
        }
    }

    /// <summary>Ends what <see cref="Enter"/> began.</summary>
    public void Leave(TarShard shard)
    {
        lock (_lock)
        {
            if (!_open.TryGetValue(shard, out (SafeFileHandle Handle, int Readers) entry))
                return; // all were closed meanwhile
            _open[shard] = (entry.Handle, entry.Readers - 1);
            if (entry.Readers > 1)
                return;
            _idle.Add(shard);
            if (_idle.Count <= Idle)
                return;
            TarShard oldest = _idle[0];
            _idle.RemoveAt(0);
            _open.Remove(oldest, out entry);
            entry.Handle.Dispose();
        }
    }
}
