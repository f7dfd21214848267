using MathNet.Numerics.LinearAlgebra;

namespace ClipEngine.Audit.Balancing;

/// <summary>
/// Solves a balancing problem through its dual by an interior point method that sees the rows only in passes: each pass needs the gradient and
/// the Hessian of the dual in its 2m(c + 1) + 1 variables, so memory does not grow with the number of rows.
/// </summary>
/// <remarks>
/// The method of the paper updates the dual variables once an example; it reaches the same optimum, slowly and depending on the order of rows.
/// Here the inner minimum over q carries a logarithmic barrier of weight σ for 0 ≤ q ≤ 1, so that the dual is smooth; the bounds 0 ≤ v ≤ V
/// are kept by primal-dual steps; σ goes to zero. Newton's direction, a step that rises (Armijo), about two passes for each tenth of σ.
/// </remarks>
internal static class BalanceSolver
{
    /// <summary>Rows summed together before the sums of blocks are added up, in a fixed order: the same bits for any number of threads.</summary>
    private const int ChunkRows = 2048;

    private const int MostPasses = 400;

    /// <summary>Solves to a barrier weight that leaves q exact to about 1e-6.</summary>
    /// <param name="problem">The problem.</param>
    /// <param name="rows">The rows.</param>
    /// <param name="lastBarrier">The barrier's weight at the end; 1e-13 is as good as exact.</param>
    /// <param name="cancellation">Ends the work between passes.</param>
    public static BalanceSolution Solve(BalanceProblem problem, IBalanceRows rows, double lastBarrier = 1e-13, CancellationToken cancellation = default)
    {
        int moments = problem.MomentCount;
        var state = new State(moments, Math.Min(0.5 * problem.Enforcement, 0.1));
        double barrier = 0.1;
        int passes = 1;
        Sums sums = Pass(problem, rows, state, barrier);
        while (passes < MostPasses)
        {
            cancellation.ThrowIfCancellationRequested();
            (Vector<double> direction, double rise) = Direction(problem, state, sums, barrier);
            // Half the squared Newton decrement is about what is left to gain; beside the barrier's own share it does not matter.
            if (rise <= 0.2 * barrier * (1 + (2 * moments)))
            {
                if (barrier <= lastBarrier)
                    break;
                barrier = Math.Max(lastBarrier, 0.1 * barrier);
                sums = Pass(problem, rows, state, barrier);
                passes++;
                continue;
            }

            double step = state.LongestStep(direction, problem.Enforcement);
            bool moved = false;
            for (int attempt = 0; attempt < 40 && !moved; attempt++, step *= 0.5)
            {
                State next = state.Move(direction, step, problem.Enforcement, barrier);
                Sums found = Pass(problem, rows, next, barrier);
                passes++;
                // Close to the optimum the dual's rise drowns in rounding; there a smaller gradient tells.
                double gain = found.Dual - sums.Dual;
                if (gain >= 1e-4 * step * rise || (Math.Abs(gain) <= 1e-13 * Math.Max(1, Math.Abs(sums.Dual)) && found.GradientNorm(problem, next, barrier) <= sums.GradientNorm(problem, state, barrier)))
                {
                    (state, sums, moved) = (next, found, true);
                }
            }

            // No step rises any more: rounding is all that is left at this barrier.
            if (!moved)
            {
                if (barrier <= lastBarrier)
                    break;
                barrier = Math.Max(lastBarrier, 0.1 * barrier);
                sums = Pass(problem, rows, state, barrier);
                passes++;
            }
        }

        return Finish(problem, rows, state, passes);
    }

    private static BalanceSolution Finish(BalanceProblem problem, IBalanceRows rows, State state, int passes)
    {
        var solution = new BalanceSolution(problem, state.Upper, state.Lower, state.Mu, 0, 0, new double[problem.MomentCount], passes + 1);
        double quadratic = 0, mean = 0;
        var values = new double[problem.MomentCount];
        var moments = new double[problem.MomentCount];
        int width = problem.RowWidth;
        rows.Read((block, counts) =>
        {
            for (int i = 0; i < counts.Length; i++)
            {
                ReadOnlySpan<double> row = block.Span.Slice(i * width, width);
                double q = solution.Weight(row), share = (double)counts.Span[i] / rows.Count;
                quadratic += share * 0.5 * row[^1] * (q - problem.Rate) * (q - problem.Rate);
                mean += share * q;
                problem.Moments(row, moments);
                for (int l = 0; l < values.Length; l++)
                    values[l] += share * q * moments[l];
            }
        });
        double penalty = 0;
        for (int l = 0; l < values.Length; l++)
            penalty += Math.Max(0, values[l] - (problem.Tolerance(l) * mean)) + Math.Max(0, -values[l] - (problem.Tolerance(l) * mean));
        return solution with { Objective = quadratic + (problem.Enforcement * penalty), MeanWeight = mean, MomentValues = values };
    }

    /// <summary>Newton's direction in (upper v, lower v, μ), and by how much the dual rises along it at first.</summary>
    private static (Vector<double> Direction, double Rise) Direction(BalanceProblem problem, State state, Sums sums, double barrier)
    {
        int moments = problem.MomentCount, size = (2 * moments) + 1;
        double limit = problem.Enforcement;
        Matrix<double> system = Matrix<double>.Build.Dense(size, size);
        Vector<double> gradient = sums.Gradient(problem, state, barrier);
        for (int i = 0; i < 2 * moments; i++)
        {
            (int l, double sign, double tolerance) = Constraint(problem, i);
            for (int j = 0; j < 2 * moments; j++)
            {
                (int other, double otherSign, double otherTolerance) = Constraint(problem, j);
                system[i, j] = (sign * otherSign * sums.Products[(l * moments) + other]) - (sign * otherTolerance * sums.Firsts[l]) - (otherSign * tolerance * sums.Firsts[other]) + (tolerance * otherTolerance * sums.Slope);
            }

            system[i, i] += (state.AtZero[i] / state.V(i)) + (state.AtLimit[i] / (limit - state.V(i)));
            system[i, size - 1] = (sign * sums.Firsts[l]) - (tolerance * sums.Slope);
            system[size - 1, i] = system[i, size - 1];
        }

        // Where all rows lie at 0 or 1, μ moves nothing; a little keeps the system regular.
        system[size - 1, size - 1] = sums.Slope + 1e-18;
        // Each row and column by its own size: entries differ by many powers of ten when some v lie at their bounds.
        Vector<double> scale = Vector<double>.Build.Dense(size, i => 1 / Math.Sqrt(system[i, i]));
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j < size; j++)
                system[i, j] *= scale[i] * scale[j];
            system[i, i] += 1e-14;
        }

        Vector<double> direction = system.Cholesky().Solve(gradient.PointwiseMultiply(scale)).PointwiseMultiply(scale);
        return (direction, gradient.DotProduct(direction));
    }

    private static (int Moment, double Sign, double Tolerance) Constraint(BalanceProblem problem, int index)
    {
        int moment = index < problem.MomentCount ? index : index - problem.MomentCount;
        return (moment, index < problem.MomentCount ? 1 : -1, problem.Tolerance(moment));
    }

    private static Sums Pass(BalanceProblem problem, IBalanceRows rows, State state, double barrier)
    {
        int width = problem.RowWidth, moments = problem.MomentCount;
        var total = new Sums(moments);
        rows.Read((block, counts) =>
        {
            int chunks = (counts.Length + ChunkRows - 1) / ChunkRows;
            var parts = new Sums[chunks];
            Parallel.For(0, chunks, chunk =>
            {
                var part = new Sums(moments);
                int first = chunk * ChunkRows, end = Math.Min(counts.Length, first + ChunkRows);
                Add(problem, block.Span[(first * width)..(end * width)], counts.Span[first..end], state, barrier, part);
                parts[chunk] = part;
            });
            foreach (Sums part in parts)
                total.Add(part);
        });
        total.Scale(1.0 / rows.Count);
        for (int i = 0; i < 2 * moments; i++)
            total.Dual += barrier * (Math.Log(state.V(i)) + Math.Log(problem.Enforcement - state.V(i)));
        return total;
    }

    private static void Add(BalanceProblem problem, ReadOnlySpan<double> rows, ReadOnlySpan<long> counts, State state, double barrier, Sums sums)
    {
        int width = problem.RowWidth, moments = problem.MomentCount;
        Span<double> f = stackalloc double[moments];
        double eta = problem.Rate, constant = state.Mu;
        Span<double> apart = stackalloc double[moments];
        for (int l = 0; l < moments; l++)
        {
            apart[l] = state.Upper[l] - state.Lower[l];
            constant -= problem.Tolerance(l) * (state.Upper[l] + state.Lower[l]);
        }

        for (int i = 0; i < counts.Length; i++)
        {
            ReadOnlySpan<double> row = rows.Slice(i * width, width);
            double u = row[^1], x = constant, count = counts[i];
            problem.Moments(row, f);
            for (int l = 0; l < moments; l++)
                x += f[l] * apart[l];
            // The smaller of q and 1 - q, so that neither is lost in rounding.
            bool isLow = (u * (0.5 - eta)) + x >= 0;
            double small = isLow ? Root(u, x - (u * eta), barrier) : Root(u, -x - (u * (1 - eta)), barrier);
            double q = isLow ? small : 1 - small;
            double slope = count / (u + (barrier / (small * small)) + (barrier / ((1 - small) * (1 - small))));
            sums.Mean += count * q;
            sums.Slope += slope;
            sums.Dual += count * ((0.5 * u * (q - eta) * (q - eta)) + (x * q) - (state.Mu * eta) - (barrier * (Math.Log(small) + Math.Log(1 - small))));
            for (int l = 0; l < moments; l++)
            {
                if (f[l] == 0)
                    continue;
                double weighted = slope * f[l];
                sums.Values[l] += count * q * f[l];
                sums.Firsts[l] += weighted;
                for (int other = 0; other <= l; other++)
                    sums.Products[(l * moments) + other] += weighted * f[other];
            }
        }
    }

    /// <summary>The z in (0, 1/2] with u·z + b − σ/z + σ/(1 − z) = 0: Newton's method on z times that, from the root without its last term.</summary>
    private static double Root(double u, double b, double barrier)
    {
        double spread = Math.Sqrt((b * b) + (4 * u * barrier));
        double z = b > 0 ? 2 * barrier / (b + spread) : (spread - b) / (2 * u);
        z = Math.Min(z, 0.5);
        for (int step = 0; step < 30; step++)
        {
            double rest = 1 - z;
            double value = (((u * z) + b) * z) - barrier + (barrier * z / rest);
            double change = value / ((2 * u * z) + b + (barrier / (rest * rest)));
            double next = Math.Clamp(z - change, z / 10, 0.5);
            if (Math.Abs(next - z) <= 1e-15 * z)
                return next;
            z = next;
        }

        return z;
    }

    /// <summary>What a pass adds up, as means over the rows.</summary>
    private sealed class Sums(int count)
    {
        public readonly double[] Values = new double[count];
        public readonly double[] Firsts = new double[count];
        public readonly double[] Products = new double[count * count];
        public double Mean, Slope, Dual;

        public void Add(Sums other)
        {
            for (int l = 0; l < Values.Length; l++)
            {
                Values[l] += other.Values[l];
                Firsts[l] += other.Firsts[l];
            }

            for (int i = 0; i < Products.Length; i++)
                Products[i] += other.Products[i];
            Mean += other.Mean;
            Slope += other.Slope;
            Dual += other.Dual;
        }

        public void Scale(double factor)
        {
            int moments = Values.Length;
            for (int l = 0; l < moments; l++)
            {
                Values[l] *= factor;
                Firsts[l] *= factor;
                for (int other = 0; other <= l; other++)
                {
                    Products[(l * moments) + other] *= factor;
                    Products[(other * moments) + l] = Products[(l * moments) + other];
                }
            }

            Mean *= factor;
            Slope *= factor;
            Dual *= factor;
        }

        public Vector<double> Gradient(BalanceProblem problem, State state, double barrier)
        {
            int moments = Values.Length;
            Vector<double> gradient = Vector<double>.Build.Dense((2 * moments) + 1);
            for (int i = 0; i < 2 * moments; i++)
            {
                (int l, double sign, double tolerance) = Constraint(problem, i);
                gradient[i] = (sign * Values[l]) - (tolerance * Mean) + (barrier / state.V(i)) - (barrier / (problem.Enforcement - state.V(i)));
            }

            gradient[2 * moments] = Mean - problem.Rate;
            return gradient;
        }

        /// <summary>The gradient in v weighted by the room that v has, so that a bound which is nearly reached does not count.</summary>
        public double GradientNorm(BalanceProblem problem, State state, double barrier)
        {
            Vector<double> gradient = Gradient(problem, state, barrier);
            double most = Math.Abs(gradient[^1]);
            for (int i = 0; i < gradient.Count - 1; i++)
                most = Math.Max(most, Math.Abs(gradient[i]) * Math.Min(1, Math.Min(state.V(i), problem.Enforcement - state.V(i))));
            return most;
        }
    }

    /// <summary>The dual variables and the multipliers of their bounds.</summary>
    private sealed class State
    {
        public State(int moments, double start)
        {
            Upper = [.. Enumerable.Repeat(start, moments)];
            Lower = [.. Enumerable.Repeat(start, moments)];
            AtZero = [.. Enumerable.Repeat(1.0, 2 * moments)];
            AtLimit = [.. Enumerable.Repeat(1.0, 2 * moments)];
        }

        public double[] Upper { get; private init; }

        public double[] Lower { get; private init; }

        /// <summary>Multipliers of v ≥ 0.</summary>
        public double[] AtZero { get; private init; }

        /// <summary>Multipliers of v ≤ V.</summary>
        public double[] AtLimit { get; private init; }

        public double Mu { get; private init; }

        public double V(int index) => index < Upper.Length ? Upper[index] : Lower[index - Upper.Length];

        /// <summary>The longest step, one at most, that keeps every v inside its bounds.</summary>
        public double LongestStep(Vector<double> direction, double limit)
        {
            double step = 1;
            for (int i = 0; i < direction.Count - 1; i++)
            {
                if (direction[i] < 0)
                    step = Math.Min(step, 0.995 * V(i) / -direction[i]);
                else if (direction[i] > 0)
                    step = Math.Min(step, 0.995 * (limit - V(i)) / direction[i]);
            }

            return step;
        }

        public State Move(Vector<double> direction, double step, double limit, double barrier)
        {
            int moments = Upper.Length;
            var next = new State(moments, 0) { Mu = Mu + (step * direction[^1]) };
            for (int i = 0; i < 2 * moments; i++)
            {
                double change = step * direction[i], v = V(i);
                (i < moments ? next.Upper : next.Lower)[i % moments] = v + change;
                // The linearised multipliers, kept within a factor of what the barrier says for the new v.
                next.AtZero[i] = Near((barrier - (AtZero[i] * direction[i])) / v, AtZero[i], step, barrier / (v + change));
                next.AtLimit[i] = Near((barrier + (AtLimit[i] * direction[i])) / (limit - v), AtLimit[i], step, barrier / (limit - v - change));
            }

            return next;
        }

        private static double Near(double full, double before, double step, double central) =>
            Math.Clamp(before + (step * (full - before)), central / 1e8, central * 1e8);
    }
}
