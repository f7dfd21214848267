#include "cpu/sweep/totals.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/sweep/checks.h"

namespace clipengine::sweep {

namespace {

bool add_and_clear(const Kernel& kernel, clipengine_sweep_total* totals, double* values, int64_t count) {
  bool fits = true;
  if (totals != nullptr && kernel.add_to_totals != nullptr) {
    fits = kernel.add_to_totals(totals, values, count);
  } else if (totals != nullptr) {
    for (int64_t i = 0; i < count; ++i) fits &= add_to_total(totals[i], values[i]);
  }
  std::fill_n(values, count, 0.0);
  return fits;
}

void clear_bounds(const Plan& plan, const Workspace& workspace) {
  std::fill_n(workspace.group_bounds, plan.groups, 0.0);
  std::fill_n(workspace.weighted_bounds, plan.replicates, 0.0);
  std::fill_n(workspace.weight_sums, plan.replicates, 0.0);
}

// Where no row differs from fp32's, no sum does.
double bound_of_sum(double rows_bound, double largest_sum) {
  if (rows_bound == 0) return 0;
  // Else it is rows_bound, a sum of at most a chunk's numbers, rounded up; what the chunk's own sum is rounded by in double precision, at most kChunkRows
  // times by 2^-53 of what is there and on both sides, since any row's change may turn the rounding of all that follow; and the rounding to units.
  return rows_bound * (1 + 0x1p-40) + kChunkRows * 0x1p-52 * largest_sum + 0x1p-80;
}

// The same for the bounds on them.
void add_bounds(const Plan& plan, const Workspace& workspace, clipengine_sweep_batch& batch) {
  batch.open_scores += workspace.tally->open_scores;
  batch.bound = std::max(batch.bound, workspace.tally->bound);
  batch.entropy_bound = std::max(batch.entropy_bound, workspace.tally->entropy_bound);
  const auto add = [](clipengine_sweep_total& total, double bound) { require(add_to_total(total, bound), "a weighted sum is not finite or beyond 2^46"); };
  for (int64_t i = 0; batch.sum_bounds != nullptr && i < plan.groups; ++i) add(batch.sum_bounds[i], bound_of_sum(workspace.group_bounds[i], kChunkRows));
  for (int64_t i = 0; batch.weighted_bounds != nullptr && i < plan.replicates; ++i) add(batch.weighted_bounds[i], bound_of_sum(workspace.weighted_bounds[i], workspace.weight_sums[i]));
  *workspace.tally = {};
  clear_bounds(plan, workspace);
}

}  // namespace

bool add_to_total(clipengine_sweep_total& total, double value) {
  if (!(std::abs(value) < 0x1p46)) return false;
  if (value == 0) return true;
  // value = mantissa * 2^exponent with a whole mantissa below 2^53. By hand: this runs once for each cell and chunk.
  uint64_t word;
  std::memcpy(&word, &value, sizeof word);
  const int biased = static_cast<int>(word >> 52 & 0x7FF);
  const uint64_t mantissa = (word & 0xFFFFFFFFFFFFFull) | (biased == 0 ? 0 : 1ull << 52);
  const int shift = (biased == 0 ? 1 : biased) - 1075 + CLIPENGINE_SWEEP_FRACTION_BITS;
  unsigned __int128 units = mantissa;
  if (shift >= 0) {
    units <<= shift;
  } else if (shift >= -54) {
    units = (units + (static_cast<unsigned __int128>(1) << (-shift - 1))) >> -shift;  // to nearest, halves away from zero
  } else {
    units = 0;
  }
  const __int128 addend = value < 0 ? -static_cast<__int128>(units) : static_cast<__int128>(units);
  const __int128 before = static_cast<__int128>(static_cast<unsigned __int128>(static_cast<uint64_t>(total.high)) << 64 | total.low);
  __int128 after;
  if (__builtin_add_overflow(before, addend, &after)) return false;
  total.low = static_cast<uint64_t>(after);
  total.high = static_cast<int64_t>(after >> 64);
  return true;
}

void clear(const Plan& plan, const Workspace& workspace) {
  std::fill_n(workspace.sums, plan.groups * plan.prompts, 0.0);
  std::fill_n(workspace.counts, plan.groups * plan.prompts, 0u);
  std::fill_n(workspace.weighted, plan.replicates * plan.prompts, 0.0);
  *workspace.tally = {};
  if (plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32) clear_bounds(plan, workspace);
}

void add_totals(const Plan& plan, const Kernel& kernel, const Worker& worker, int count, clipengine_sweep_batch& batch) {
  const Workspace& workspace = worker.workspace;
  const int64_t cells = plan.groups * plan.prompts;
  if (batch.group_rows != nullptr) {
    for (int i = 0; i < count; ++i) {
      if (plan.groups > 0 && worker.groups.get()[i] >= 0) ++batch.group_rows[worker.groups.get()[i]];
    }
  }
  for (int64_t i = 0; i < cells; ++i) {
    if (workspace.counts[i] == 0) continue;  // nearly all
    if (batch.argmax_counts != nullptr) batch.argmax_counts[i] += workspace.counts[i];
    workspace.counts[i] = 0;
  }
  if (plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32) add_bounds(plan, workspace, batch);
  const bool fits = add_and_clear(kernel, batch.sums, workspace.sums, cells) & add_and_clear(kernel, batch.weighted_sums, workspace.weighted, plan.replicates * plan.prompts);
  require(fits, "a weighted sum is not finite or beyond 2^46");
}

}  // namespace clipengine::sweep
