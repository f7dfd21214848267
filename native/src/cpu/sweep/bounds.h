// The probe sweep in fewer bits: how far scores and probabilities may lie from those of fp32. narrow.h has the proof. Part of chunk.h.

// The bound on the scores of one vector of rows, whose shares of it those are with the prompts of one product or segment.
inline Vector score_bound(const Plan& plan, const Workspace& workspace, int lanes, float row_error, float row_norm, float row_chain) {
  const Vector norm = load(workspace.row_norm + lanes), zero = spread(0.0f);
  const Vector rounding = multiply_add(load(workspace.row_chain + lanes), spread(row_chain), spread(plan.error_floor));
  const Vector bound = multiply_add(load(workspace.row_error + lanes), spread(row_error), multiply_add(norm, spread(row_norm), rounding));
  return select(greater(norm, zero), bound, zero);
}

// How far the probabilities of one segment may lie from those of fp32, for one panel. With every score within e bits of fp32's:
//   odds        change by at most 2^2e, so no probability by more than (2^e - 1) / (2^e + 1)
//   the best    are known, so only the rest of the sum, rho of it, changes: Z / Z' is in [1 - rho (1 - 2^-e), 1 + rho (2^e - 1)]
//   the others  are no larger than the last of the best and change by at most 2^e besides
// kappa bounds the rounding of exponentials, of their sums, and of the row's own share of its group's sum, on both sides.
constexpr float kLn2 = 0.69315f;

inline Vector rounding_of_probabilities(int64_t columns) {
  const int64_t added = (columns < kBlockColumns ? columns : kBlockColumns) + (columns + kBlockColumns - 1) / kBlockColumns;
  return spread(2.2f * static_cast<float>(added + 90) * 0x1p-24f);
}
// At least 2^e - 1.
inline Vector growth(Vector e) { return e * spread(1.001f * kLn2) * power_of_two(e); }
// From odds alone.
inline Vector bound_by_odds(Vector grow, Vector kappa) { return minimum(multiply_add(grow / (grow + spread(2.0f)), spread(1.001f), kappa), spread(1.0f)); }
constexpr float kLargestError = 60.0f;  // of a score; 1 bounds every probability by far

// The short segments of a block in one panel, of which only the best column is known: all of them within the largest of its bounds.
inline void bound_short_segments(const Workspace& workspace, const Block& block, int panel, const Vector (&bounds)[2][kBlockProducts]) {
  for (int half = 0; half < 2; ++half) {
    Vector e = bounds[half][0];
    for (int product = 1; product * kProductColumns < block.columns; ++product) e = maximum(e, bounds[half][product]);
    float* bound = workspace.row_bound + panel * kPanelRows + half * kLanes;
    const Vector limit = bound_by_odds(growth(minimum(e, spread(kLargestError))), rounding_of_probabilities(block.longest));
    store(bound, maximum(load(bound), select(greater(e, spread(0.0f)), limit, spread(0.0f))));
  }
}

inline void bound_probabilities(const Plan& plan, const Workspace& workspace, int segment, int panel, const float* total, const float* moments) {
  const int64_t columns = plan.segment_starts[segment + 1] - plan.segment_starts[segment];
  const Vector one = spread(1.0f), zero = spread(0.0f), kappa = rounding_of_probabilities(columns);
  for (int half = 0; half < 2; ++half) {
    const int lanes = panel * kPanelRows + half * kLanes;
    const Vector e = minimum(score_bound(plan, workspace, lanes, plan.segment_row_error[segment], plan.segment_row_norm[segment], plan.segment_row_chain[segment]), spread(kLargestError));
    const Vector grow = growth(e), shrink = minimum(e * spread(kLn2), one - power_of_two(zero - e) * spread(0.999f));
    const Vector best = load(workspace.best + lanes);
    Vector bound;
    if (plan.sigmoid) {
      const Vector most = one / (one + power_of_two(minimum(zero - best, spread(126.0f))));
      bound = minimum(minimum(e * spread(0.25f * 1.001f * kLn2), most * grow) + kappa, one);
    } else if (plan.single) {
      bound = bound_by_odds(grow, kappa);
    } else {
      const Vector sum = load(total + half * kLanes), first = one / sum;
      const Vector second = power_of_two(maximum(load(workspace.second + lanes) - best, spread(-127.0f))) / sum;
      const Vector known = plan.kept >= 2 ? first + second : first;
      const Vector rho = minimum(maximum(one - known, zero) + kappa, one);
      const Vector x = rho * shrink, y = rho * grow;
      const Vector on_known = first * maximum(y / (one + y), x / (one - x));
      const Vector rest = minimum(plan.kept >= 2 ? second : first, rho);
      const Vector relative = maximum((one + grow) / (one - x) - one, one - (one - shrink) / (one + y));
      bound = minimum(minimum(maximum(on_known, rest * relative), grow / (grow + spread(2.0f))) * spread(1.001f) + kappa, one);
      if (plan.entropy) {
        // |H - H'| <= sum |p - p'| |ln p'| + sum p |ln p / p'|
        const Vector logarithm = multiply_add(e, spread(kLn2), maximum(x / (one - x), y));
        const Vector rounding = kappa * spread(32.0f);
        alignas(64) float factor[kLanes], addend[kLanes], most[kLanes];
        store(factor, relative * spread(1.001f) + kappa);
        store(addend, logarithm * spread(1.001f) + rounding);
        // Both lie between 0 and ln n, up to rounding. The other bound is infinite, or infinity times zero, where 1 - x is zero.
        store(most, spread(1.001f * kLn2 * __builtin_log2f(static_cast<float>(columns))) + rounding);
        const unsigned open = mask_bits(greater(e, zero));
        for (int lane = 0; lane < kLanes; ++lane) {
          if ((open >> lane & 1) == 0) continue;
          const float sum_here = total[half * kLanes + lane], entropy = (__builtin_log2f(sum_here) - moments[half * kLanes + lane] / sum_here) * kLn2;
          float limit = factor[lane] * (entropy > 0 ? entropy : 0) + addend[lane];
          if (!(limit < most[lane])) limit = most[lane];
          if (limit > workspace.entropy_bounds[lanes + lane]) workspace.entropy_bounds[lanes + lane] = limit;
        }
      }
    }
    bound = select(greater(e, zero), bound, zero);
    store(workspace.row_bound + lanes, maximum(load(workspace.row_bound + lanes), bound));
  }
}

// What adding up the rows of a group in one tile (add_long_groups) rounds by in single precision, for each row, on both sides: a probability is in at most
// tile_rows / kLanes sums of a lane and then in one for each halving of the lanes, and every sum is rounded by 2^-24 of itself.
inline double rounding_of_adding(const Plan& plan) { return 2.2 * 0x1p-24 * (plan.tile_rows / kLanes + __builtin_ctz(kLanes)); }

// A tile's rows are scored: their bounds go where those of the chunk and of its groups are kept.
//
// A row whose bound is zero has fp32's probabilities, but the sums that they become part of are rounded as fp32's only where no other row of the group
// in this tile differs: a sum in single precision never holds rows of two groups or of two tiles. Where one does, its change may turn every one of those
// roundings, however large the sum and small the change: each row then pays for its share of them. Rows with a bound have done so, in kappa, unless the
// bound is the 1 that no two probabilities are apart. Sums in double precision reach over the tiles of a chunk: see add_bounds of totals.cpp.
inline void add_bounds(const Plan& plan, const Workspace& workspace, const Chunk& chunk, int first, int rows) {
  Tally& tally = *workspace.tally;
  for (int row = 0; row < rows; ++row) {
    const float bound = workspace.row_bound[row];
    if (bound > tally.bound) tally.bound = bound;
    if (plan.entropy && workspace.entropy_bounds[row] > tally.entropy_bound) tally.entropy_bound = workspace.entropy_bounds[row];
    if (chunk.bounds != nullptr) chunk.bounds[chunk.order[first + row]] = bound;
    for (int64_t replicate = 0; replicate < plan.replicates; ++replicate) {
      const double weight = __builtin_fabs(workspace.weights[replicate * plan.tile_rows + row]);
      workspace.weighted_bounds[replicate] += weight * bound;
      workspace.weight_sums[replicate] += weight;
    }
  }
  if (plan.groups == 0) return;
  const int32_t* groups = chunk.groups + first;
  for (int row = 0; row < rows;) {
    const int32_t group = groups[row];
    double sum = 0;
    int without = 0;
    for (const int end = end_of_group(groups, row, rows); row < end; ++row) {
      const float bound = workspace.row_bound[row];
      sum += bound;
      without += bound == 0.0f || bound == 1.0f;
    }
    if (group >= 0 && sum > 0) workspace.group_bounds[group] += sum + without * rounding_of_adding(plan);
  }
}
