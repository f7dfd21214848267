using System.Security.Cryptography;

namespace ClipEngine.Testing;

/// <summary>Answers as the hub and as a release host do, for files that it is given; a test changes the answers it wants to be wrong.</summary>
public sealed class LoopbackHub
{
    /// <summary>The commit of every repository before anything is pushed.</summary>
    public const string Commit = "0123456789abcdef0123456789abcdef01234567";

    private readonly Dictionary<string, byte[]> _files = [];
    private readonly HashSet<string> _small = [];
    private string _head = Commit;

    /// <summary>Adds a file of a repository.</summary>
    public LoopbackHub Add(string repository, string file, byte[] content)
    {
        _files[$"/{repository}/resolve/main/{file}"] = content;
        _files[$"/{repository}/resolve/{_head}/{file}"] = content;
        return this;
    }

    /// <summary>Adds a small file of a repository, of which the hub states git's hash alone.</summary>
    public LoopbackHub AddSmall(string repository, string file, byte[] content)
    {
        _small.Add($"/{repository}/resolve/main/{file}");
        _small.Add($"/{repository}/resolve/{_head}/{file}");
        return Add(repository, file, content);
    }

    /// <summary>Begins another commit of every repository, with all files as they are; what is added from here on changes it.</summary>
    /// <param name="commit">Its hash.</param>
    public void Push(string commit)
    {
        string before = $"/resolve/{_head}/", after = $"/resolve/{commit}/";
        foreach (string path in _files.Keys.Where(path => path.Contains(before, StringComparison.Ordinal)).ToArray())
        {
            string pushed = path.Replace(before, after, StringComparison.Ordinal);
            _files[pushed] = _files[path];
            if (_small.Contains(path))
                _small.Add(pushed);
        }

        _head = commit;
    }

    /// <summary>Adds a release file under the path of its address.</summary>
    public LoopbackHub AddRelease(Uri address, byte[] content)
    {
        _files[address.AbsolutePath] = content;
        return this;
    }

    /// <summary>The honest answer.</summary>
    public LoopbackAnswer Answer(LoopbackRequest request)
    {
        if (!_files.TryGetValue(request.Path, out byte[]? content))
            return new LoopbackAnswer(404, []);
        bool isSmall = _small.Contains(request.Path);
        string hash = Convert.ToHexStringLower(isSmall ? GitHash(content) : SHA256.HashData(content));
        var headers = new Dictionary<string, string> { ["ETag"] = $"\"{hash}\"", ["Content-Type"] = "application/octet-stream" };
        if (request.Path.Contains("/resolve/", StringComparison.Ordinal))
        {
            if (!isSmall)
            {
                headers["X-Linked-Etag"] = $"\"{hash}\"";
                headers["X-Linked-Size"] = content.Length.ToString();
            }

            headers["X-Repo-Commit"] = _head;
        }

        int start = request.RangeStart;
        if (start == 0)
            return new LoopbackAnswer(200, content) { Headers = headers };
        if (start >= content.Length)
            return new LoopbackAnswer(416, []) { Headers = headers };
        headers["Content-Range"] = $"bytes {start}-{content.Length - 1}/{content.Length}";
        return new LoopbackAnswer(206, content[start..]) { Headers = headers };
    }

    /// <summary>Of a git blob.</summary>
    private static byte[] GitHash(byte[] content) => SHA1.HashData([.. System.Text.Encoding.ASCII.GetBytes($"blob {content.Length}\0"), .. content]);
}
