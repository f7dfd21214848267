using TorchSharp;
using TorchTensor = TorchSharp.torch.Tensor;

namespace ClipEngine.TorchSharp.Tests;

/// <summary>The objective against its formula in plain loops, and the meaning of its weights.</summary>
public class ContrastiveLossTests
{
    private const int Width = 5;
    private const double Scale = 7.5;

    [Fact]
    public void WithoutWeightsItIsTheMeanOfBothCrossEntropies()
    {
        double[][] images = Features(6, 1), texts = Features(6, 2);
        double expected = 0;
        for (int i = 0; i < 6; i++)
        {
            double[] row = [.. Enumerable.Range(0, 6).Select(j => Scale * Dot(images[i], texts[j]))];
            double[] column = [.. Enumerable.Range(0, 6).Select(j => Scale * Dot(images[j], texts[i]))];
            expected += ((Math.Log(row.Sum(Math.Exp)) + Math.Log(column.Sum(Math.Exp))) / 2) - row[i];
        }

        Assert.Equal(expected / 6, Loss(images, texts), 1e-12);
        Assert.Equal(expected / 6, Loss(images, texts, [1, 1, 1, 1, 1, 1]), 1e-12);
    }

    [Fact]
    public void AWeightIsHowOftenAnExampleIsThere()
    {
        double[][] images = Features(4, 3), texts = Features(4, 4);
        int[] counts = [2, 0, 1, 3];
        int[] repeated = [.. counts.SelectMany((count, i) => Enumerable.Repeat(i, count))];
        double[][] Repeat(double[][] rows) => [.. repeated.Select(i => rows[i])];

        // The formula by itself over the batch that has every example as often as it weighs.
        Assert.Equal(Loss(Repeat(images), Repeat(texts)), Loss(images, texts, [.. counts.Select(count => (double)count)]), 1e-12);
    }

    [Fact]
    public void AnExampleOfWeightZeroGetsNoGradient()
    {
        using DisposeScope scope = torch.NewDisposeScope();
        TorchTensor images = Matrix(Features(3, 5)).requires_grad_(), texts = Matrix(Features(3, 6)).requires_grad_();
        ContrastiveLoss.Compute(images, texts, torch.tensor(Scale), torch.tensor(new double[] { 1, 0, 2 })).backward();
        foreach (TorchTensor gradient in new[] { images.grad!, texts.grad! })
        {
            double[] sizes = [.. Enumerable.Range(0, 3).Select(i => gradient.select(0, i).abs().sum().Number())];
            Assert.Equal(0, sizes[1]);
            Assert.All([sizes[0], sizes[2]], size => Assert.InRange(size, 1e-6, 1e6));
        }
    }

    [Theory]
    [InlineData(1, -0.5, 1)]
    [InlineData(0, 0, 0)]
    [InlineData(1, double.NaN, 1)]
    [InlineData(1, double.PositiveInfinity, 1)]
    public void WhatAreNoWeightsIsRefused(double first, double second, double third) =>
        Assert.Throws<ArgumentException>(() => Loss(Features(3, 1), Features(3, 2), [first, second, third]));

    [Fact]
    public void WhatDoesNotPairIsRefused()
    {
        Assert.Throws<ArgumentException>(() => Loss(Features(3, 1), Features(2, 2)));
        Assert.Throws<ArgumentException>(() => Loss(Features(3, 1), Features(3, 2), [1, 1]));
    }

    [Theory]
    [InlineData(1, 7.5, false)]
    [InlineData(2, 7.5, true)]
    [InlineData(5, 100, true)]
    [InlineData(100, 100, false)]
    public void InPiecesItIsTheSameLossWithTheSameGradients(int rows, double factor, bool weighted)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        TorchTensor images = Matrix(Features(7, 8)).requires_grad_(), texts = Matrix(Features(7, 9)).requires_grad_(), scale = torch.tensor(factor, requires_grad: true);
        TorchTensor? weights = weighted ? torch.tensor(new double[] { 1, 0, 0.25, 3, 0, 1e-3, 1 }) : null;
        TorchTensor whole = ContrastiveLoss.Compute(images, texts, scale, weights);
        whole.backward();
        LossGradients found = ContrastiveLoss.ComputeGradients(images, texts, factor, weights, rows);
        Assert.Equal(whole.Number(), found.Value, 1e-12);
        AssertSame(images.grad!, found.Images);
        AssertSame(texts.grad!, found.Texts);
        Assert.Equal(scale.grad!.Number(), found.Scale, 1e-12);
        Assert.Equal(0, found.Bias);
    }

    [Fact]
    public void APairOfWeightZeroCannotOverflowIt()
    {
        // In fp32 at CLIP's largest scale: the first image is the second's sentence, which is not there.
        using DisposeScope scope = torch.NewDisposeScope();
        TorchTensor images = torch.tensor(new float[] { 1, 0, -1, 0 }, [2, 2]), texts = torch.tensor(new float[] { -1, 0, 1, 0 }, [2, 2]), weights = torch.tensor(new double[] { 1, 0 });
        LossGradients found = ContrastiveLoss.ComputeGradients(images, texts, 100, weights, rows: 1);
        Assert.Equal(0, found.Value, 1e-6);
        Assert.All(found.Images.data<float>().ToArray().Concat(found.Texts.data<float>().ToArray()), value => Assert.Equal(0, value, 1e-6f));
    }

    [Fact]
    public void TheLossOfSigmoidsIsTheMeanOfAllDecisions()
    {
        double[][] images = Features(5, 10), texts = Features(5, 11);
        double[] weights = [1, 2, 0, 0.5, 1];
        double expected = 0;
        for (int i = 0; i < 5; i++)
        {
            for (int j = 0; j < 5; j++)
            {
                double logit = (Scale * Dot(images[i], texts[j])) - 3;
                expected += (i == j ? weights[i] : weights[i] * weights[j]) * Math.Log(1 + Math.Exp(i == j ? -logit : logit));
            }
        }

        using DisposeScope scope = torch.NewDisposeScope();
        Assert.Equal(expected / 4.5, SigmoidLoss.Compute(Matrix(images), Matrix(texts), torch.tensor(Scale), torch.tensor(-3.0), torch.tensor(weights)).Number(), 1e-12);
        Assert.Equal(SigmoidLoss.Compute(Matrix(images), Matrix(texts), torch.tensor(Scale), torch.tensor(-3.0)).Number(),
            SigmoidLoss.Compute(Matrix(images), Matrix(texts), torch.tensor(Scale), torch.tensor(-3.0), torch.ones(5)).Number(), 1e-12);
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(3, false)]
    [InlineData(100, true)]
    public void InPiecesTheLossOfSigmoidsHasTheSameGradients(int rows, bool weighted)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        TorchTensor images = Matrix(Features(7, 12)).requires_grad_(), texts = Matrix(Features(7, 13)).requires_grad_();
        TorchTensor scale = torch.tensor(Scale, requires_grad: true), bias = torch.tensor(-4.0, requires_grad: true);
        TorchTensor? weights = weighted ? torch.tensor(new double[] { 1, 0, 0.25, 3, 0, 1e-3, 1 }) : null;
        TorchTensor whole = SigmoidLoss.Compute(images, texts, scale, bias, weights);
        whole.backward();
        LossGradients found = SigmoidLoss.ComputeGradients(images, texts, Scale, -4, weights, rows);
        Assert.Equal(whole.Number(), found.Value, 1e-12);
        AssertSame(images.grad!, found.Images);
        AssertSame(texts.grad!, found.Texts);
        Assert.Equal(scale.grad!.Number(), found.Scale, 1e-12);
        Assert.Equal(bias.grad!.Number(), found.Bias, 1e-12);
    }

    [Fact]
    public void NothingIsLeftBehindButTheLoss()
    {
        using TorchTensor images = Matrix(Features(3, 1)), texts = Matrix(Features(3, 2)), scale = torch.tensor(Scale), weights = torch.tensor(new double[] { 1, 2, 3 });
        long before = LiveTensors.Count();
        using (ContrastiveLoss.Compute(images, texts, scale, weights))
            LiveTensors.AssertAtMost(before + 1);
        LiveTensors.AssertAtMost(before);
    }

    private static double Loss(double[][] images, double[][] texts, double[]? weights = null)
    {
        using DisposeScope scope = torch.NewDisposeScope();
        return ContrastiveLoss.Compute(Matrix(images), Matrix(texts), torch.tensor(Scale), weights is null ? null : torch.tensor(weights)).Number();
    }

    private static void AssertSame(TorchTensor expected, TorchTensor found) => Assert.InRange((expected - found).abs().max().Number(), 0, 1e-12);

    private static TorchTensor Matrix(double[][] rows) => torch.tensor(rows.SelectMany(row => row).ToArray()).reshape(rows.Length, Width);

    private static double Dot(double[] a, double[] b) => a.Zip(b, (x, y) => x * y).Sum();

    private static double[][] Features(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ =>
        {
            double[] row = [.. Enumerable.Range(0, Width).Select(_ => random.NextDouble() - 0.5)];
            double length = Math.Sqrt(Dot(row, row));
            return row.Select(value => value / length).ToArray();
        })];
    }
}
