using System.Xml.Linq;
using ClipEngine.Audit.Figures;

namespace ClipEngine.Audit.Tests.Figures;

public class FigureTests
{
    private static readonly XNamespace Svg = "http://www.w3.org/2000/svg";

    public static TheoryData<string, string> AllFigures()
    {
        var figures = new TheoryData<string, string>();
        foreach (var (name, svg) in Samples.All())
            figures.Add(name, svg);
        return figures;
    }

    [Theory]
    [MemberData(nameof(AllFigures))]
    public void EveryFigureIsWellFormedAndSpeaksItsTextAlternative(string name, string svg)
    {
        Assert.NotEmpty(name);
        XElement root = XDocument.Parse(svg).Root!;
        Assert.Equal(Svg + "svg", root.Name);
        Assert.Equal("img", root.Attribute("role")!.Value);
        Assert.NotEmpty(root.Element(Svg + "title")!.Value);
        Assert.NotEmpty(root.Element(Svg + "desc")!.Value);
        Assert.DoesNotContain("NaN", svg, StringComparison.Ordinal);
        Assert.DoesNotContain("http://", svg.Replace("http://www.w3.org/2000/svg", "", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(AllFigures))]
    public void NothingIsDrawnOutsideTheFigure(string name, string svg)
    {
        XElement root = XDocument.Parse(svg).Root!;
        double width = double.Parse(root.Attribute("width")!.Value), height = double.Parse(root.Attribute("height")!.Value);
        foreach (XElement text in root.Elements(Svg + "text"))
        {
            double x = double.Parse(text.Attribute("x")!.Value), y = double.Parse(text.Attribute("y")!.Value);
            Assert.InRange(x, 0, width);
            Assert.InRange(y, 0, height);
            if (text.Attribute("transform") is not null)
                continue;
            double extent = SvgDocument.TextWidth(text.Value, text.Attribute("font-size") is { } size ? double.Parse(size.Value) : SvgDocument.FontSize);
            var (left, right) = text.Attribute("text-anchor")?.Value switch
            {
                "middle" => (x - (extent / 2), x + (extent / 2)),
                "end" => (x - extent, x),
                _ => (x, x + extent),
            };
            Assert.True(left >= -1 && right <= width + 1, $"{name}: '{text.Value}' reaches from {left:0} to {right:0} of {width:0}");
        }
    }

    [Fact]
    public void HostileNamesAreEscaped()
    {
        string svg = (Samples.Change with { Rows = ["<script>alert(1)</script>", "a & \"b\"", "c\u0001"] }).ToSvg();
        XDocument.Parse(svg);
        Assert.DoesNotContain("<script>", svg, StringComparison.Ordinal);
    }

    [Fact]
    public void AnUndefinedCellIsSaidAndNeverDrawnAsZero()
    {
        string svg = Samples.Change.ToSvg();
        Assert.Contains("undefined", svg, StringComparison.Ordinal);
    }

    [Fact]
    public void ABarIsAsHighAsItsValue()
    {
        var bars = Samples.Bars with { Panels = ["one"], Categories = ["a"], Series = ["s", "t"], Values = [new(25, 20, 30), new(75, 70, 80)] };
        double[] heights = XDocument.Parse(bars.ToSvg()).Root!.Elements(Svg + "rect")
            .Where(rectangle => rectangle.Element(Svg + "title") is not null)
            .Select(rectangle => double.Parse(rectangle.Attribute("height")!.Value)).ToArray();
        Assert.Equal(3.0, heights[1] / heights[0], 2);
    }

    /// <summary>Distances from the zero line are as the values, and no figure of this kind is wider than a phone's page leaves.</summary>
    [Fact]
    public void PointsLieWhereTheirValuesAre()
    {
        XElement root = XDocument.Parse(Samples.Intervals.ToSvg()).Root!;
        double zero = double.Parse(root.Elements(Svg + "line").First(line => line.Attribute("stroke-width")!.Value == "1.5").Attribute("x1")!.Value);
        double[] points = [.. root.Elements(Svg + "circle").Select(point => double.Parse(point.Attribute("cx")!.Value) - zero)];
        Assert.Equal(-3, points[1] / points[0], 0.02);
        Assert.True(points[0] > 0);
        Assert.Equal(IntervalRows.Width, double.Parse(root.Attribute("width")!.Value));
    }

    [Fact]
    public void StackedPartsAreAsLongAsTheirShares()
    {
        double[] widths = [.. XDocument.Parse(Samples.Stacked.ToSvg()).Root!.Elements(Svg + "rect").Where(part => part.Element(Svg + "title") is not null).Select(part => double.Parse(part.Attribute("width")!.Value))];
        double whole = widths[3];
        Assert.Equal([0.5, 0.25, 0.25, 1, 0.1, 0.2, 0.7], widths.Select(width => Math.Round(width / whole, 2)));
    }

    [Theory]
    [InlineData(new[] { 1.0, 2, 3, 4 }, 0.25, 1.75)]
    [InlineData(new[] { 1.0, 2, 3, 4 }, 0.5, 2.5)]
    [InlineData(new[] { 10.0 }, 0.75, 10)]
    public void QuantilesAreThoseOfNumpy(double[] sorted, double share, double expected) =>
        Assert.Equal(expected, BoxPlot.Quantile(sorted, share), 12);

    [Fact]
    public void APngHasItsPixels()
    {
        byte[] png = PngWriter.Encode([255, 0, 0, 0, 255, 0], 2, 1);
        Assert.Equal("89504E470D0A1A0A", Convert.ToHexString(png.AsSpan(0, 8)));
        // CRC-32 of the empty IEND chunk, as every PNG ends.
        Assert.Equal("49454E44AE426082", Convert.ToHexString(png.AsSpan(png.Length - 8)));
    }

    [Fact]
    public void ScalesGetDarkerWithTheirValue()
    {
        double last = double.PositiveInfinity;
        for (double value = 0; value <= 1; value += 0.05)
        {
            var (red, green, blue) = Palette.Amount(value);
            double lightness = (0.2126 * red) + (0.7152 * green) + (0.0722 * blue);
            Assert.True(lightness < last);
            last = lightness;
        }
    }

    [Fact]
    public void AnAxisEndsOnRoundNumbersAndCoversItsValues()
    {
        Axis axis = Axis.Cover([-19.9, 3.2, 47.1], 0, 100);
        Assert.True(axis.Minimum <= -19.9 && axis.Maximum >= 47.1);
        Assert.Contains(0.0, axis.Ticks());
        Assert.Equal(0, axis.Position(axis.Minimum));
        Assert.Equal(100, axis.Position(axis.Maximum));
    }
}
