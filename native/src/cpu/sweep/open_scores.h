// The probe sweep in fewer bits: scores that their bounds leave open, which are multiplied again in fp32. Part of chunk.h.
//
// Let T be a lower bound of the kept-th best fp32 score of a segment: of the kept-th best fp32 score before this piece of it, or
// else of the kept-th largest score' - bound here. Every column that may be among the best has score' + bound >= T, and all of
// those are multiplied again; of the others both score and score' are below T. So the best `kept` columns, and their scores, are
// those of fp32, and nothing of a row depends on the rows beside it.

constexpr int kRanked = 8;       // up to here the kept-th largest is looked for
constexpr int kTogether = 64;    // open scores of a product from which on all of it is multiplied again

// Marks what is open in one segment, or one piece of it, of one panel, whose bounds are given. The products that hold any of it, as bits.
inline uint32_t find_open(const Plan& plan, const Workspace& workspace, const Block& block, const Vector (&bounds)[2][kBlockProducts], const float* scores, int offset, int columns, int panel, bool first,
                      unsigned valid) {
  const int row = panel * kPanelRows;
  const float* largest = largest_scores(workspace, panel);
  const unsigned beyond = workspace.beyond[panel] & valid;
  uint32_t* open = workspace.open + offset;
  uint32_t touched = 0;
  // Columns of one product share a bound.
  const auto for_each_product = [&](auto&& body) {
    for (int c = 0; c < columns;) {
      const int product = (offset + c) / kProductColumns, border = (product + 1) * kProductColumns - offset, end = border < columns ? border : columns;
      body(c, end, product);
      c = end;
    }
  };
  for (int half = 0; half < 2; ++half) {
    const int lanes = row + half * kLanes;
    unsigned here = (valid & ~beyond) >> (half * kLanes) & ((1u << kLanes) - 1);
    if (here == 0) continue;
    Vector least = spread(-__builtin_inff());
    if (!first) {
      least = load((plan.kept == plan.top_count ? workspace.top_threshold : plan.kept == 1 ? workspace.best : workspace.second) + lanes);
    } else if (plan.kept == 1) {
      Vector most = least, next = least;  // the two largest of score + bound
      for_each_product([&](int c, int end, int product) {
        const Vector bound = bounds[half][product];
        Vector first_here = load(scores + c * kPanelRows + half * kLanes), second_here = spread(-__builtin_inff());
        for (++c; c < end; ++c) {
          const Vector score = load(scores + c * kPanelRows + half * kLanes);
          second_here = maximum(second_here, minimum(first_here, score));
          first_here = maximum(first_here, score);
        }
        const Vector high = first_here + bound;
        least = maximum(least, first_here - bound);
        next = maximum(maximum(next, second_here + bound), minimum(most, high));
        most = maximum(most, high);
      });
      // Where one column alone can be the best it is, whatever its score.
      if (plan.single && block.whole) here &= ~mask_bits(greater(least, next));
      if (here == 0) continue;
    } else if (plan.kept <= kRanked && plan.kept <= columns) {
      Vector ranks[kRanked];
      for (Vector& rank : ranks) rank = least;
      for_each_product([&](int c, int end, int product) {
        for (; c < end; ++c) {
          Vector low = load(scores + c * kPanelRows + half * kLanes) - bounds[half][product];
          for (int i = 0; i < plan.kept; ++i) {
            const Vector higher = maximum(ranks[i], low);
            low = minimum(ranks[i], low);
            ranks[i] = higher;
          }
        }
      });
      least = ranks[plan.kept - 1];
    }
    for_each_product([&](int c, int end, int product) {
      const Vector bound = bounds[half][product];
      const auto reaches = [&](const float* p) { return ~mask_bits(greater(least, load(p) + bound)) & here; };
      if (end - c == kProductColumns && reaches(largest + product * kPanelRows + half * kLanes) == 0) return;
      touched |= 1u << product;
      for (; c < end; ++c) open[c] |= reaches(scores + c * kPanelRows + half * kLanes) << (half * kLanes);
    });
  }
  return touched;
}

// fp32 scores of up to kLanes pairs of a row of the panel and a prompt: the chain of product, with pairs in place of rows as lanes.
inline void multiply_pairs(const Plan& plan, const Workspace& workspace, int panel, const int32_t* lanes, const float* const* prompts, float* const* places, int count) {
  const float* rows = workspace.tile + static_cast<int64_t>(panel) * plan.width * kPanelRows;
  const Lanes picked = load_lanes(lanes);
  Vector sum = spread(0.0f);
  for (int64_t k = 0; k < plan.width; k += kLanes) {
    Vector block[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) block[i] = load(prompts[i] + k);
    transpose(block);
    if (k + kLanes <= plan.width) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i, rows += kPanelRows) sum = multiply_add(pick(rows, picked), block[i], sum);
    } else {
      for (int i = 0; k + i < plan.width; ++i, rows += kPanelRows) sum = multiply_add(pick(rows, picked), block[i], sum);
    }
  }
  alignas(64) float scores[kLanes];
  store(scores, multiply_add(sum, spread(plan.scale), spread(plan.bias)));
  for (int i = 0; i < count; ++i) *places[i] = scores[i];
}

// fp32 scores of one product, which replace those that are open.
template <int kColumns>
inline void multiply_product(const Plan& plan, const Workspace& workspace, int panel, const float* prompts, const uint32_t* open, int columns, float* scores) {
  float* again = workspace.again;
  for (int64_t k = 0; k < plan.width; k += kLanes) {
    for (int first = 0; first < kColumns; first += kLanes) {
      Vector block[kLanes];
      for (int j = 0; j < kLanes; ++j) block[j] = first + j < columns ? load(prompts + (first + j) * plan.exact_stride + k) : spread(0.0f);
      transpose(block);
      // A vector that is longer than the columns reaches over the next one's place, which is written after it.
      for (int i = 0; i < kLanes && k + i < plan.width; ++i) store(again + (k + i) * kColumns + first, block[i]);
    }
  }
  const char* here = reinterpret_cast<const char*>(again);
  product<Floats, kColumns>(workspace.tile + static_cast<int64_t>(panel) * plan.width * kPanelRows, again, plan.width, {spread(plan.scale), spread(plan.bias)}, workspace.again_scores, workspace.again_scores + kColumns * kPanelRows, {here, 0}, {here, 0});
  for (int j = 0; j < columns; ++j) {
    for (int half = 0; half < 2; ++half) store_where(scores + j * kPanelRows + half * kLanes, open[j] >> (half * kLanes), load(workspace.again_scores + j * kPanelRows + half * kLanes));
  }
}

// Multiplies again what find_open has marked in these products of one panel of a block.
inline void multiply_again(const Plan& plan, const Workspace& workspace, const Block& block, int panel, uint32_t touched) {
  float* scores = value_panel(plan, workspace, block, panel);
  alignas(64) int32_t lanes[kLanes] = {};
  const float* prompts[kLanes];
  float* places[kLanes];
  int waiting = 0;
  const auto multiply = [&] {
    for (int i = waiting; i < kLanes; ++i) {
      prompts[i] = prompts[0];
      lanes[i] = lanes[0];
    }
    multiply_pairs(plan, workspace, panel, lanes, prompts, places, waiting);
    waiting = 0;
  };
  for (uint32_t products = touched; products != 0; products &= products - 1) {
    const int start = __builtin_ctz(products) * kProductColumns, end = start + kProductColumns < block.columns ? start + kProductColumns : block.columns;
    int count = 0;
    for (int c = start; c < end; ++c) count += __builtin_popcount(workspace.open[c]);
    workspace.tally->open_scores += count;
    const float* first = plan.exact + (block.column + start) * plan.exact_stride;
    if (count >= kTogether) {
      const int padded = block.padded - start < kProductColumns ? block.padded - start : kProductColumns;
      const auto together = padded == kProductColumns ? multiply_product<kProductColumns> : padded == 2 * kColumnStep ? multiply_product<2 * kColumnStep> : multiply_product<kColumnStep>;
      together(plan, workspace, panel, first, workspace.open + start, end - start, scores + start * kPanelRows);
      continue;
    }
    for (int c = start; c < end; ++c) {
      for (uint32_t mask = workspace.open[c]; mask != 0; mask &= mask - 1) {
        const int lane = __builtin_ctz(mask);
        lanes[waiting] = lane;
        prompts[waiting] = first + (c - start) * plan.exact_stride;
        places[waiting] = scores + c * kPanelRows + lane;
        // Prompts come from far away, and sixteen streams at once are more than the processor foresees.
        for (int64_t k = 0; k < plan.width; k += kLanes) __builtin_prefetch(prompts[waiting] + k, 0, 2);
        if (++waiting == kLanes) multiply();
      }
    }
  }
  if (waiting > 0) multiply();
  for (; touched != 0; touched &= touched - 1) {
    const int group = __builtin_ctz(touched), start = group * kProductColumns, end = start + kProductColumns < block.padded ? start + kProductColumns : block.padded;
    for (int half = 0; half < 2; ++half) {
      Vector most = spread(-__builtin_inff());
      for (int c = start; c < end; ++c) most = maximum(most, load(scores + c * kPanelRows + half * kLanes));
      store(largest_scores(workspace, panel) + group * kPanelRows + half * kLanes, most);
    }
  }
}

// Makes a block's scores in one panel as good as what is asked for needs them.
inline void settle(const Plan& plan, const Workspace& workspace, const Block& block, int panel, int rows) {
  const int left = rows - panel * kPanelRows;
  const unsigned valid = (left >= kPanelRows ? ~0u >> (32 - kPanelRows) : (1u << left) - 1) & ~workspace.exact[panel];
  if (valid == 0) return;
  const float* scores = value_panel(plan, workspace, block, panel);
  Vector bounds[2][kBlockProducts];
  const int products = (block.columns + kProductColumns - 1) / kProductColumns;
  for (int product = 0; product < products; ++product) {
    for (int half = 0; half < 2; ++half) {
      const int64_t group = block.group + product;
      bounds[half][product] = score_bound(plan, workspace, panel * kPanelRows + half * kLanes, plan.group_row_error[group], plan.group_row_norm[group], plan.group_row_chain[group]);
    }
  }
  const uint32_t beyond = workspace.beyond[panel] & valid;
  uint32_t touched = beyond == 0 ? 0 : (1u << products) - 1;
  for (int c = 0; c < block.columns; ++c) workspace.open[c] = beyond;
  if (!block.whole) {
    touched |= find_open(plan, workspace, block, bounds, scores, 0, block.columns, panel, block.piece == 0, valid);
  } else {
    for (int s = 0; s < block.segments; ++s) {
      const int offset = static_cast<int>(plan.segment_starts[block.segment + s] - block.column);
      const int columns = static_cast<int>(plan.segment_starts[block.segment + s + 1] - plan.segment_starts[block.segment + s]);
      touched |= find_open(plan, workspace, block, bounds, scores + offset * kPanelRows, offset, columns, panel, true, valid);
    }
  }
  if (touched != 0) multiply_again(plan, workspace, block, panel, touched);
  if (has_short_segments(plan, block) && plan.exponentials) bound_short_segments(workspace, block, panel, bounds);
}
