// The probe sweep over one chunk of rows, written once for every instruction set. Included inside an anonymous namespace by sweep_<set>.cpp,
// behind simd/vector_<set>.h and simd/sweep_<set>.h.
//
// Rows are lanes. A softmax over any run of columns is then vertical, whatever the segments' lengths, and no row's result
// depends on the rows beside it.

constexpr int kPanelRows = 2 * kLanes;
constexpr int kProductColumns = kSteps * kColumnStep;
constexpr int kBlockProducts = kBlockColumns / kProductColumns;
constexpr int kFetchFeatures = 8;  // features between two fetches of prompts that are wanted next

// 2^x for x <= 126; 0 below -126. Relative error at most 1.5e-7 (about 1 unit in the last place): the polynomial is a minimax fit
// of 2^r on [0, 1) with relative error 9e-8, its constant term held at 1 so that 2^0 is exactly 1.
inline Vector power_of_two(Vector x) {
  const Vector r = fraction(x);
  Vector y = spread(1.867126324e-03f);
  y = multiply_add(y, r, spread(9.017038159e-03f));
  y = multiply_add(y, r, spread(5.579990894e-02f));
  y = multiply_add(y, r, spread(2.401644588e-01f));
  y = multiply_add(y, r, spread(6.931512952e-01f));
  y = multiply_add(y, r, spread(1.0f));
  return times_power(y, x);
}

inline float* value_panel(const Plan& plan, const Workspace& workspace, const Block& block, int panel) {
  return workspace.values + (plan.keeps ? block.value_column : 0) * plan.tile_rows + static_cast<int64_t>(panel) * block.padded * kPanelRows;
}

constexpr int kShortSegment = 16;

// Whether a block goes through short_segments.h.
inline bool has_short_segments(const Plan& plan, const Block& block) { return plan.totals_only && block.whole && block.longest <= kShortSegment; }

// In the order in which a tile of rows goes through them.
#include "cpu/sweep/rows.h"
#include "cpu/sweep/product.h"
#ifdef CLIPENGINE_SWEEP_NARROW
#include "cpu/sweep/narrow.h"
#include "cpu/sweep/bounds.h"
#include "cpu/sweep/open_scores.h"
constexpr bool kNarrow = true;
#else
constexpr bool kNarrow = false;
inline void narrow_tile(const Plan&, const Workspace&, int) {}
inline void narrow_block(const Plan&, const Workspace&, const Block&, const Block&, int) {}
inline void settle(const Plan&, const Workspace&, const Block&, int, int) {}
inline void bound_probabilities(const Plan&, const Workspace&, int, int, const float*, const float*) {}
inline void add_bounds(const Plan&, const Workspace&, const Chunk&, int, int) {}
#endif
#include "cpu/sweep/softmax.h"
#include "cpu/sweep/outputs.h"
#include "cpu/sweep/short_segments.h"

// The pieces of a long segment whose softmax is complete, and how many of them have been emitted. By then the first ones have long
// left the caches. Each is emitted just before the next scores take its place: it is fetched while the block before is scored.
struct Pending {
  int64_t block;  // the first piece
  int pieces;
  int emitted;
  int first;
  int rows;
};

inline void emit_pending(const Plan& plan, const Workspace& workspace, const Chunk& chunk, Pending& pending, int end) {
  const int panels = (pending.rows + kPanelRows - 1) / kPanelRows;
  for (; pending.emitted < end && pending.emitted < pending.pieces; ++pending.emitted) emit(plan, workspace, chunk, plan.blocks[pending.block + pending.emitted], panels, pending.first, pending.rows);
}

inline Outcome run_chunk(const Plan& plan, const Workspace& workspace, const Chunk& chunk) {
  const FlushDenormals flush;
  const bool narrow = kNarrow && plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32;
  Outcome worst{Refusal::kNone, 0};
  Pending pending{};
  for (int first = 0; first < chunk.count; first += plan.tile_rows) {
    const int rows = chunk.count - first < plan.tile_rows ? chunk.count - first : plan.tile_rows;
    const int panels = (rows + kPanelRows - 1) / kPanelRows;
    const Outcome outcome = take_rows(plan, workspace, chunk, first, rows);
    if (outcome.refusal != Refusal::kNone && (worst.refusal == Refusal::kNone || outcome.row < worst.row)) worst = outcome;
    if (worst.refusal != Refusal::kNone) continue;  // only looks on for a lower row
    for (int64_t replicate = 0; replicate < plan.replicates; ++replicate) {
      double* weights = workspace.weights + replicate * plan.tile_rows;
      for (int place = 0; place < panels * kPanelRows; ++place)
        weights[place] = place < rows ? chunk.weights[replicate * chunk.weight_stride + chunk.order[first + place]] : 0.0;
    }
    if (narrow) narrow_tile(plan, workspace, panels);
    for (int64_t b = 0; b < plan.block_count; ++b) {
      const Block& block = plan.blocks[b];
      // Values and factors of what is pending stand where this block's will.
      emit_pending(plan, workspace, chunk, pending, block.last ? pending.pieces : block.piece + 1);
      const Block& next = plan.blocks[b + 1 < plan.block_count ? b + 1 : 0];
      if (narrow) {
        narrow_block(plan, workspace, block, next, panels);
        for (int panel = 0; panel < panels; ++panel) settle(plan, workspace, block, panel, rows);
      } else if (!plan.few) {
        score_block(plan, workspace, block, next, panels);
      }
      for (int panel = 0; panel < panels; ++panel) {
        if (has_short_segments(plan, block)) {
          finish_short_segments(plan, workspace, chunk, block, panel, first, rows);
          continue;
        }
        float* scores = value_panel(plan, workspace, block, panel);
        if (!block.whole) {
          scan(plan, workspace, scores, 0, block.columns, block.column, block.piece, panel, block.piece == 0);
          if (block.last) conclude(plan, workspace, chunk, block.segment, 0, block.piece + 1, panel, first, rows);
          continue;
        }
        for (int s = 0; s < block.segments; ++s) {
          const int64_t start = plan.segment_starts[block.segment + s], end = plan.segment_starts[block.segment + s + 1];
          const int offset = static_cast<int>(start - block.column);
          scan(plan, workspace, scores + offset * kPanelRows, offset, static_cast<int>(end - start), start, s, panel, true);
          conclude(plan, workspace, chunk, block.segment + s, s, 1, panel, first, rows);
        }
      }
      if (!block.last || !plan.keeps) continue;
      const int pieces = block.whole ? 1 : block.piece + 1;
      pending = {b - pieces + 1, pieces, 0, first, rows};
      // Near values are still in a cache; weights are the tile's.
      if (block.whole || !plan.far_values || plan.replicates > 0) emit_pending(plan, workspace, chunk, pending, pieces);
    }
    if (narrow) add_bounds(plan, workspace, chunk, first, rows);
  }
  emit_pending(plan, workspace, chunk, pending, pending.pieces);
  return worst;
}

constexpr Kernel kernel_named(const char* name, Narrow narrow = {}, int32_t column_step = kColumnStep) {
  return {name, kLanes, kPanelRows, kProductColumns, column_step, kDotColumns, 16, &run_chunk, kAddToTotals, narrow};
}
