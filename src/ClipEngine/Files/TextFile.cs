using System.Text;

namespace ClipEngine.Files;

/// <summary>
/// Files of text: UTF-8, or UTF-16 or UTF-32 with a byte order mark, read with bounds. What is not text is refused with the line where it
/// stops being it, and with what it is; nothing is replaced.
/// </summary>
public static class TextFile
{
    /// <summary>The longest line, in bytes. A file of zeros is one line without an end.</summary>
    internal const int LongestLine = 1 << 20;

    /// <summary>The most that a list of text may take in memory, in bytes.</summary>
    public const long MemoryLimit = 1L << 30;

    /// <summary>The largest file that is read whole (specifications, results): real ones have kilobytes.</summary>
    internal const int LongestDocument = 64 << 20;

    private const int BufferLength = 1 << 16;

    /// <summary>The lines, without their ends, one after the other; memory does not grow with their number.</summary>
    /// <param name="path">A file; standard input and pipes of the shell may stand for it.</param>
    /// <param name="what">What was expected, for messages: <c>a list of images</c>.</param>
    /// <exception cref="BadInputException">There is no such file, it is not text, or a line is too long; names the line.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static IEnumerable<string> ReadLines(string path, string what)
    {
        FilePlace.RequireFile(path, what, takesStreams: true);
        return Lines(path, what);
    }

    /// <summary>A reader of all of the text, for parsers that need one.</summary>
    /// <remarks>Where the bytes are not text it throws <see cref="BadInputException"/>, as <see cref="ReadLines"/>.</remarks>
    public static TextReader Open(string path, string what) => new LineReader(ReadLines(path, what));

    /// <summary>The bytes of a table of any length, for parsers of UTF-8.</summary>
    /// <exception cref="BadInputException">There is no such file, it is of another kind, or text in another encoding.</exception>
    public static FileStream OpenUtf8(string path, string what)
    {
        FilePlace.RequireFile(path, what);
        FileStream stream = File.OpenRead(path);
        try
        {
            Span<byte> start = stackalloc byte[FileNature.Length];
            start = start[..stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false)];
            stream.Position = 0;
            RequirePlainText(path, what, start);
            return Detect(start).Encoding is UTF8Encoding ? stream
                : throw new BadInputException(path, $"begins with the byte order mark of UTF-16 or UTF-32; {what} in UTF-8 was expected.", "Save it as UTF-8.");
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>A small document as bytes.</summary>
    /// <exception cref="BadInputException">There is no such file, or it is larger than any such document.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static byte[] ReadDocument(string path, string what)
    {
        FilePlace.RequireFile(path, what, takesStreams: true);
        using FileStream stream = OpenStream(path);
        using var bytes = new MemoryStream();
        byte[] buffer = new byte[BufferLength];
        for (int count = stream.Read(buffer); count > 0; count = stream.Read(buffer))
        {
            bytes.Write(buffer, 0, count);
            if (bytes.Length > LongestDocument)
                throw new BadInputException(path, $"holds more than {LongestDocument} bytes; {what} was expected.", "Check that it is the right file.");
        }

        return bytes.ToArray();
    }

    private static FileStream OpenStream(string path) => new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);

    private static IEnumerable<string> Lines(string path, string what)
    {
        using FileStream stream = OpenStream(path);
        byte[] buffer = new byte[BufferLength];
        int start = 0, end = 0;
        bool isOver = false;
        long number = 0;
        while (end < 4 && !isOver)
            isOver = !Fill(stream, ref buffer, ref start, ref end);
        RequirePlainText(path, what, buffer.AsSpan(0, Math.Min(end, FileNature.Length)));
        (Encoding encoding, int mark, byte[] lineEnd) = Detect(buffer.AsSpan(0, end));
        start = mark;
        while (true)
        {
            int length = IndexOf(buffer.AsSpan(start, end - start), lineEnd);
            if (length < 0 && !isOver)
            {
                if (end - start > LongestLine)
                    throw new BadInputException(path, $"line {number + 1} has more than {LongestLine} bytes; {what} was expected.", "Check that it is the right file.");
                isOver = !Fill(stream, ref buffer, ref start, ref end);
                continue;
            }

            if (length < 0 && start == end)
                yield break;
            number++;
            int byteCount = length < 0 ? end - start : length;
            string line = Decode(path, what, number, encoding, buffer.AsSpan(start, byteCount));
            start = length < 0 ? end : start + length + lineEnd.Length;
            if (line.EndsWith('\r'))
                line = line[..^1];
            if (!line.Contains('\r'))
            {
                yield return line;
                continue;
            }

            // Line ends of old systems.
            foreach (string part in line.Split('\r'))
                yield return part;
        }
    }

    private static void RequirePlainText(string path, string what, ReadOnlySpan<byte> start)
    {
        string? nature = FileNature.Of(start);
        if (nature is not null)
            throw new BadInputException(path, $"is {nature}, which is not read here; {what} was expected.", "Save it as plain text in UTF-8, a table as CSV.");
    }

    private static string Decode(string path, string what, long number, Encoding encoding, ReadOnlySpan<byte> bytes)
    {
        string line;
        try
        {
            line = encoding.GetString(bytes);
        }
        catch (DecoderFallbackException exception)
        {
            string found = exception.BytesUnknown is { Length: > 0 } unknown ? $" (byte {Convert.ToHexString(unknown.AsSpan(0, 1))}{(exception.Index >= 0 ? $" behind {exception.Index} others" : "")})" : "";
            string name = encoding is UTF8Encoding ? "UTF-8" : "the text that its byte order mark announces";
            throw new BadInputException(path, $"line {number} is not {name}{found}; {what} was expected.", "Save it as UTF-8; of a file in Latin-1, 'iconv -f latin1 -t utf-8' makes one.", exception);
        }

        return line.Contains('\0', StringComparison.Ordinal)
            ? throw new BadInputException(path, $"line {number} holds a NUL character, so that it is no text; {what} was expected.", "Save it as UTF-8; UTF-16 needs its byte order mark.")
            : line;
    }

    private static (Encoding Encoding, int Mark, byte[] LineEnd) Detect(ReadOnlySpan<byte> start)
    {
        if (start.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xFE, 0, 0]))
            return (new UTF32Encoding(bigEndian: false, byteOrderMark: false, throwOnInvalidCharacters: true), 4, [(byte)'\n', 0, 0, 0]);
        if (start.StartsWith((ReadOnlySpan<byte>)[0, 0, 0xFE, 0xFF]))
            return (new UTF32Encoding(bigEndian: true, byteOrderMark: false, throwOnInvalidCharacters: true), 4, [0, 0, 0, (byte)'\n']);
        if (start.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xFE]))
            return (new UnicodeEncoding(bigEndian: false, byteOrderMark: false, throwOnInvalidBytes: true), 2, [(byte)'\n', 0]);
        if (start.StartsWith((ReadOnlySpan<byte>)[0xFE, 0xFF]))
            return (new UnicodeEncoding(bigEndian: true, byteOrderMark: false, throwOnInvalidBytes: true), 2, [0, (byte)'\n']);
        return (new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true), start.StartsWith((ReadOnlySpan<byte>)[0xEF, 0xBB, 0xBF]) ? 3 : 0, [(byte)'\n']);
    }

    /// <summary>Where the line's end is, at a whole number of its units.</summary>
    private static int IndexOf(ReadOnlySpan<byte> bytes, byte[] lineEnd)
    {
        int from = 0;
        while (true)
        {
            int at = bytes[from..].IndexOf(lineEnd);
            if (at < 0 || (from + at) % lineEnd.Length == 0)
                return at < 0 ? -1 : from + at;
            from += at + 1;
        }
    }

    private static bool Fill(FileStream stream, ref byte[] buffer, ref int start, ref int end)
    {
        if (start > 0)
        {
            buffer.AsSpan(start, end - start).CopyTo(buffer);
            end -= start;
            start = 0;
        }

        if (end == buffer.Length)
            Array.Resize(ref buffer, buffer.Length * 2);
        int count = stream.Read(buffer, end, buffer.Length - end);
        end += count;
        return count > 0;
    }

    /// <summary>Lines as a stream of characters, each with a line feed behind it.</summary>
    private sealed class LineReader(IEnumerable<string> lines) : TextReader
    {
        private readonly IEnumerator<string> _lines = lines.GetEnumerator();
        private string _rest = "";
        private int _position;

        public override int Peek() => Advance() ? _rest[_position] : -1;

        public override int Read() => Advance() ? _rest[_position++] : -1;

        public override int Read(char[] buffer, int index, int count) => Read(buffer.AsSpan(index, count));

        public override int Read(Span<char> buffer)
        {
            if (buffer.IsEmpty || !Advance())
                return 0;
            int count = Math.Min(buffer.Length, _rest.Length - _position);
            _rest.AsSpan(_position, count).CopyTo(buffer);
            _position += count;
            return count;
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                _lines.Dispose();
            base.Dispose(disposing);
        }

        private bool Advance()
        {
            while (_position == _rest.Length)
            {
                if (!_lines.MoveNext())
                    return false;
                _rest = _lines.Current + "\n";
                _position = 0;
            }

            return true;
        }
    }
}
