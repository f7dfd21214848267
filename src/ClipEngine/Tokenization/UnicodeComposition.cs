using System.Text;

namespace ClipEngine.Tokenization;

/// <summary>
/// Unicode normalization form C (UAX #15). The runtime's own is switched off by invariant globalization, which the engine runs
/// under so that no result depends on a machine's culture data.
/// </summary>
public static class UnicodeComposition
{
    private const int HangulBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TrailBase = 0x11A7;
    private const int LeadCount = 19, VowelCount = 21, TrailCount = 28, HangulCount = LeadCount * VowelCount * TrailCount;

    /// <summary>Below this code point everything is composed already and nothing combines.</summary>
    private const char FirstCombining = '\u0300';

    private static readonly Lazy<Tables> s_tables = new(Tables.Load);

    /// <summary>Normalizes; returns the same instance where nothing changes. Lone surrogates pass through.</summary>
    public static string Compose(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (!text.AsSpan().ContainsAnyInRange(FirstCombining, char.MaxValue))
            return text;

        Tables tables = s_tables.Value;
        if (!tables.MayChange(text))
            return text;

        List<int> codes = tables.Decompose(text);
        tables.Order(codes);
        tables.Compose(codes);
        return ToText(codes, text);
    }

    /// <summary>Form D: taken apart, marks in their order; the same instance where nothing changes.</summary>
    internal static string Decompose(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\u00C0', char.MaxValue))
            return text;

        Tables tables = s_tables.Value;
        List<int> codes = tables.Decompose(text);
        tables.Order(codes);
        return ToText(codes, text);
    }

    private static string ToText(List<int> codes, string original)
    {
        var builder = new StringBuilder(codes.Count);
        foreach (int code in codes)
        {
            if (code < 0x10000)
                builder.Append((char)code);
            else
                builder.Append(char.ConvertFromUtf32(code));
        }

        return builder.Equals(original) ? original : builder.ToString();
    }

    private sealed class Tables
    {
        private readonly Dictionary<int, (int First, int Second)> _decompositions = [];
        private readonly Dictionary<(int First, int Second), int> _compositions = [];
        private readonly Dictionary<int, byte> _classes = [];

        /// <summary>Characters of the basic plane that may take part in a change: decomposable into something else, combining, or second in a pair.</summary>
        private readonly System.Collections.BitArray _active = new(0x10000);

        public static Tables Load()
        {
            var tables = new Tables();
            var excluded = new HashSet<int>();
            foreach (string line in EmbeddedTable.Lines("unicode-composition.tsv"))
            {
                string[] fields = line.Split(' ');
                switch (fields[0])
                {
                    case "D":
                        tables._decompositions.Add(EmbeddedTable.Code(fields[1]),
                            (EmbeddedTable.Code(fields[2]), fields.Length > 3 ? EmbeddedTable.Code(fields[3]) : -1));
                        break;
                    case "X":
                        excluded.Add(EmbeddedTable.Code(fields[1]));
                        break;
                    default:
                        for (int code = EmbeddedTable.Code(fields[2]); code <= EmbeddedTable.Code(fields[3]); code++)
                            tables._classes.Add(code, byte.Parse(fields[1]));
                        break;
                }
            }

            foreach ((int code, (int first, int second)) in tables._decompositions)
            {
                if (second >= 0 && !excluded.Contains(code))
                {
                    tables._compositions.Add((first, second), code);
                    tables.Activate(second);
                }
            }

            foreach (int code in excluded)
                tables.Activate(code);
            foreach (int code in tables._classes.Keys)
                tables.Activate(code);
            for (int code = VowelBase; code < TrailBase + TrailCount; code++)
                tables.Activate(code);
            return tables;
        }

        public bool MayChange(string text)
        {
            foreach (char character in text)
            {
                // A surrogate may stand for anything outside the basic plane.
                if (char.IsSurrogate(character) || _active[character])
                    return true;
            }

            return false;
        }

        public List<int> Decompose(string text)
        {
            var codes = new List<int>(text.Length);
            for (int i = 0; i < text.Length;)
            {
                Decompose(UnicodeKinds.CodePoint(text.AsSpan(i), out int width), codes);
                i += width;
            }

            return codes;
        }

        private void Decompose(int code, List<int> output)
        {
            int hangul = code - HangulBase;
            if (hangul is >= 0 and < HangulCount)
            {
                output.Add(LeadBase + (hangul / (VowelCount * TrailCount)));
                output.Add(VowelBase + (hangul % (VowelCount * TrailCount) / TrailCount));
                if (hangul % TrailCount != 0)
                    output.Add(TrailBase + (hangul % TrailCount));
                return;
            }

            if (code >= 0xC0 && _decompositions.TryGetValue(code, out (int First, int Second) parts))
            {
                Decompose(parts.First, output);
                if (parts.Second >= 0)
                    Decompose(parts.Second, output);
                return;
            }

            output.Add(code);
        }

        /// <summary>Sorts each run of combining marks by class, keeping the order of equals; n log n even for one run of a million marks.</summary>
        public void Order(List<int> codes)
        {
            for (int i = 0; i < codes.Count; i++)
            {
                if (Class(codes[i]) == 0)
                    continue;
                int start = i;
                while (i < codes.Count && Class(codes[i]) != 0)
                    i++;
                if (i - start < 2)
                    continue;
                int[] run = [.. codes.GetRange(start, i - start).OrderBy(Class)];
                for (int j = 0; j < run.Length; j++)
                    codes[start + j] = run[j];
            }
        }

        public void Compose(List<int> codes)
        {
            int starter = -1, kept = 0, lastClass = -1;
            for (int i = 0; i < codes.Count; i++)
            {
                int code = codes[i];
                int combiningClass = Class(code);
                // Nothing between the starter and this character may block it: none there, or all of a lower class.
                if (starter >= 0 && (lastClass < combiningClass || lastClass == -1) && Pair(codes[starter], code) is int composed)
                {
                    codes[starter] = composed;
                    continue;
                }

                if (combiningClass == 0)
                {
                    starter = kept;
                    lastClass = -1;
                }
                else
                {
                    lastClass = combiningClass;
                }

                codes[kept++] = code;
            }

            codes.RemoveRange(kept, codes.Count - kept);
        }

        private int? Pair(int first, int second)
        {
            int lead = first - LeadBase, vowel = second - VowelBase;
            if (lead is >= 0 and < LeadCount && vowel is >= 0 and < VowelCount)
                return HangulBase + (((lead * VowelCount) + vowel) * TrailCount);
            int syllable = first - HangulBase, trail = second - TrailBase;
            if (syllable is >= 0 and < HangulCount && syllable % TrailCount == 0 && trail is > 0 and < TrailCount)
                return first + trail;
            return _compositions.TryGetValue((first, second), out int composed) ? composed : null;
        }

        private int Class(int code) => code >= FirstCombining && _classes.TryGetValue(code, out byte value) ? value : 0;

        private void Activate(int code)
        {
            if (code < _active.Length)
                _active[code] = true;
        }
    }
}
