using ClipEngine.Scoring;

namespace ClipEngine.Tests.Scoring;

/// <summary>The formula in double precision, one image and one prompt at a time.</summary>
internal static class SweepReference
{
    public static double[][] Probabilities(float[] images, float[] prompts, int width, int[] segments, double scale, double bias = 0, SweepActivation activation = SweepActivation.Softmax)
    {
        int rows = images.Length / width;
        int columns = prompts.Length / width;
        double[][] result = new double[rows][];
        for (int row = 0; row < rows; row++)
        {
            double[] scores = new double[columns];
            for (int column = 0; column < columns; column++)
            {
                double dot = 0;
                for (int k = 0; k < width; k++)
                    dot += (double)images[(row * width) + k] * prompts[(column * width) + k];
                scores[column] = (scale * dot) + bias;
            }

            int start = 0;
            foreach (int length in segments)
            {
                Span<double> segment = scores.AsSpan(start, length);
                if (activation == SweepActivation.Sigmoid)
                {
                    foreach (ref double score in segment)
                        score = 1 / (1 + Math.Exp(-score));
                }
                else
                {
                    double best = System.Numerics.Tensors.TensorPrimitives.Max<double>(segment);
                    double sum = 0;
                    foreach (ref double score in segment)
                        sum += score = Math.Exp(score - best);
                    foreach (ref double score in segment)
                        score /= sum;
                }

                start += length;
            }

            result[row] = scores;
        }

        return result;
    }

    /// <summary>Unit rows from a seed.</summary>
    public static float[] UnitRows(int rows, int width, int seed)
    {
        var random = new Random(seed);
        float[] values = new float[rows * width];
        for (int row = 0; row < rows; row++)
        {
            Span<float> one = values.AsSpan(row * width, width);
            foreach (ref float value in one)
                value = (float)(random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5);
            float norm = System.Numerics.Tensors.TensorPrimitives.Norm<float>(one);
            System.Numerics.Tensors.TensorPrimitives.Divide(one, norm, one);
        }

        return values;
    }
}
