using ClipEngine.Audit.Results;
using ClipEngine.Audit.Statistics;

namespace ClipEngine.Audit.Metrics;

/// <summary>Puts tests into families and corrects them within.</summary>
internal static class TestFamilies
{
    /// <summary>A test that is in no family yet.</summary>
    public static TestResult Alone(double pValue) => new("", false, 0, pValue, 0, 0);

    /// <summary>The tests of one family, corrected; what has no test stays without.</summary>
    public static TestResult?[] Correct(TestResult?[] tests, string family, bool isPrimary)
    {
        double[] pValues = [.. tests.Where(test => test is not null).Select(test => test!.PValue)];
        double[] holm = MultipleTesting.Holm(pValues);
        double[] benjaminiHochberg = MultipleTesting.BenjaminiHochberg(pValues);
        int next = 0;
        return Array.ConvertAll(tests, test =>
        {
            if (test is null)
                return null;
            TestResult adjusted = new(family, isPrimary, pValues.Length, test.PValue, holm[next], benjaminiHochberg[next]);
            next++;
            return adjusted;
        });
    }
}
