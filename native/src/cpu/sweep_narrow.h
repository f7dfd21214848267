// The probe sweep in fewer bits than fp32: rows, and which of their products are multiplied again. Part of sweep_kernel.h.
// CLIPENGINE_SWEEP_NARROW is the file with the products themselves: kUnsignedRows (a row's byte is more by 128), kRowWordPairs (two words of
// each lane side by side), kPrecisions, Dots (what multiplies in a precision) and tiles_block. Vectors need what the end of
// simd/sweep_avx512.h has besides.
//
// With rows x = x' + dx and prompts y = y' + dy, where x' and y' are what is left in fewer bits,
//
//   |<x, y> - <x', y'>| <= |dx| |y'| + |x| |dy|                               Cauchy and Schwarz; norms of the very residuals
//   |score - score'|    <= |scale| (|dx| (|y| + |dy|) + |x| (|dy| + 2^-18 |y|) + n 2^-24 chain(x) chain(y)) + floor
//
// The last but one covers the rounding of chains of sums, n of them: fp32's, and where these are bf16 those too. A chain rounds each of its sums by 2^-24,
// and the sum of the first k products is at most |x_k| |y_k|, the norms of the first k features. With chain(x)^2 = |x_1|^2 + |x_2|^2 + ..., all of
// them together are at most 2^-24 chain(x) chain(y) (Cauchy and Schwarz; half of width 2^-24 |x| |y| where features are alike). VDPBF16PS rounds as often;
// TDPBF16PS rounds a sum every 32 features and a product at most 17 times before, and BFMMLA, which rounds to odd (by less than 2^-23), a sum every two
// features and a product once before. 2^-18 is room for those, for the rounding of the factors and of the comparison. floor is what flushing subnormals
// takes, and the rounding of the bias. A kernel's prompts share the largest of their norms among those of one product.
//
// Where no feature of a row or of any prompt loses anything in bf16, and the kernel adds products as fp32 does, a row's scores are those of fp32 and its
// bounds are zero: nothing is looked for. (Sums of such products are multiples of 2^-114 where no feature is below 2^-50, so none is ever flushed.)
//
// Let T be a lower bound of the kept-th best fp32 score of a segment: of the kept-th best fp32 score before this piece of it, or
// else of the kept-th largest score' - bound here. Every column that may be among the best has score' + bound >= T, and all of
// those are multiplied again; of the others both score and score' are below T. So the best `kept` columns, and their scores, are
// those of fp32, and nothing of a row depends on the rows beside it.

constexpr int kRanked = 8;       // up to here the kept-th largest is looked for
constexpr int kTogether = 64;    // open scores of a product from which on all of it is multiplied again
constexpr float kSmallest = 0x1p-30f, kLargest = 0x1p30f;  // a row's largest feature; beyond, squares might be flushed
constexpr float kNormSlack = 1.004f;  // a sum of up to 65,536 squares in fp32, its root
constexpr float kNormFloor = 0x1p-55f;  // root of 65,536 squares below 2^-126
// The same for sums of 65,536 such sums. Rounding features to bf16 adds as much as 2^-9 of them.
constexpr float kChainSlack = 1.01f, kChainFloor = 0x1p-47f;

// A sum is multiplied with its row's factor and with its column's.
struct RowScales {
  Vector rows[2];
  const float* columns;
  const int32_t* offsets;  // what a column's sum of bytes begins with
  Vector bias;
  inline Vector score(Vector sum, int column, int half) const { return multiply_add(multiply(sum, rows[half]), spread(columns[column]), bias); }
};
// From column on, which is counted over all padded columns.
inline RowScales row_scales(const Plan& plan, const Workspace& workspace, int64_t column, int panel) {
  const float* rows = workspace.row_factor + panel * kPanelRows;
  return {{load(rows), load(rows + kLanes)}, plan.column_factor + column, plan.column_offset + column, spread(plan.bias)};
}

#include CLIPENGINE_SWEEP_NARROW

// One vector of a panel's rows in fewer bits, from the fp32 panel.
template <int kPrecision>
inline void narrow_rows(const Plan& plan, const Workspace& workspace, int vector) {
  constexpr int kElements = kPrecision == CLIPENGINE_SWEEP_IN_INT8 ? 4 : 2;
  constexpr int kWordsTogether = kRowWordPairs ? 2 : 1;
  const int64_t width = plan.width;
  const int row = vector * kLanes;
  const float* source = workspace.tile + (vector / 2) * width * kPanelRows + (vector % 2) * kLanes;
  uint32_t* destination = workspace.narrow_tile + (vector / 2) * plan.words * kPanelRows + (vector % 2) * kLanes * kWordsTogether;
  const Vector zero = spread(0.0f), smallest = spread(kSmallest), greatest = spread(kLargest);
  Vector squares = zero, chain = zero;
  Words magnitude = Words{};
  for (int64_t k = 0; k < width; ++k) {
    const Vector x = load(source + k * kPanelRows);
    squares = multiply_add(x, x, squares);
    chain = chain + squares;
    magnitude = larger(magnitude, x);
  }
  const Vector most = floats_of(magnitude);
  const auto below = greater(smallest, most), above = greater(most, greatest);
  const auto if_within = [&](Vector x) { return select(below, zero, select(above, zero, x)); };
  const Vector norm = if_within(multiply_add(square_root(squares), spread(kNormSlack), spread(kNormFloor)));
  Vector factor = spread(1.0f);
  if constexpr (kPrecision == CLIPENGINE_SWEEP_IN_INT8) factor = most / spread(127.0f);
  if constexpr (kPrecision == CLIPENGINE_SWEEP_IN_INT16) {
    // No sum of products leaves 32 bits: its absolute value is at most the product of the two norms.
    const Vector room = spread(kInt16Norm - 0.5f * __builtin_sqrtf(static_cast<float>(width)));
    factor = maximum(most / spread(32767.0f), norm / room);
  }
  factor = if_within(factor);
  const Vector inverse = if_within(spread(1.0f) / factor);
  Vector lost = zero;
  Words differs = Words{};  // any bit: the row is not in bf16 what it is in fp32
  const auto code = [&](int64_t k) {
    if (k >= width) return Words{};
    const Vector x = if_within(load(source + k * kPanelRows));
    Words bits{};
    Vector rest = zero;
    if constexpr (kPrecision == CLIPENGINE_SWEEP_IN_BFLOAT16) {
      const Words word = words_of(x);
      bits = (word + ((word >> 16 & 1u) + 0x7fffu)) >> 16;
      rest = x - floats_of(bits << 16);
      const Words magnitude = word & 0x7fffffffu;
      differs |= words_of(rest) | (magnitude < words_of(spread(kSmallestExact)) ? magnitude : Words{});
    } else {
      bits = nearest_integers(x * inverse);
      rest = multiply_add(zero - from_integers(bits), factor, x);
    }
    lost = multiply_add(rest, rest, lost);
    return bits;
  };
  const auto word_at = [&](int64_t word) {
    const int64_t k = word * kElements;
    if constexpr (kPrecision == CLIPENGINE_SWEEP_IN_BFLOAT16) {
      const Words first = code(k) << 16;  // VDPBF16PS begins with the upper half
      return first | code(k + 1);
    } else if constexpr (kElements == 2) {
      const Words low = code(k) & 0xffffu;
      return low | code(k + 1) << 16;
    } else {
      Words packed = code(k) & 0xffu;
      packed |= (code(k + 1) & 0xffu) << 8;
      packed |= (code(k + 2) & 0xffu) << 16;
      packed |= code(k + 3) << 24;
      // Unsigned: each byte more by 128.
      return kUnsignedRows ? packed ^ 0x80808080u : packed;
    }
  };
  for (int64_t word = 0; word < plan.words; word += kWordsTogether) {
    if constexpr (kRowWordPairs) {
      const Words first = word_at(word);
      store_pairs(destination + word * kPanelRows, first, word_at(word + 1));
    } else {
      store_words(destination + word * kPanelRows, word_at(word));
    }
  }
  const unsigned beyond = mask_bits(below) | mask_bits(above);
  unsigned exact = 0;
  if (plan.sums_as_fp32) exact = ~mask_bits(greater(from_integers(differs >> 1 | (differs & 1u)), zero)) & ~beyond & ((1u << kLanes) - 1);
  const auto put = [&](uint32_t& mask, unsigned lanes) { mask = vector % 2 == 0 ? lanes : mask | lanes << kLanes; };
  put(workspace.beyond[vector / 2], beyond);
  put(workspace.exact[vector / 2], exact);
  store(workspace.row_factor + row, factor);
  store(workspace.row_norm + row, norm);
  store(workspace.row_chain + row, if_within(multiply_add(square_root(chain), spread(kChainSlack), spread(kChainFloor))));
  store(workspace.row_error + row, if_within(multiply_add(square_root(lost), spread(kNormSlack), spread(kNormFloor))));
  store_where(workspace.row_norm + row, exact, zero);
}

inline void narrow_tile(const Plan& plan, const Workspace& workspace, int panels) {
  for (int vector = 0; vector < 2 * panels; ++vector) {
    switch (plan.precision) {
      case CLIPENGINE_SWEEP_IN_BFLOAT16: narrow_rows<CLIPENGINE_SWEEP_IN_BFLOAT16>(plan, workspace, vector); break;
      case CLIPENGINE_SWEEP_IN_INT16: narrow_rows<CLIPENGINE_SWEEP_IN_INT16>(plan, workspace, vector); break;
      default: narrow_rows<CLIPENGINE_SWEEP_IN_INT8>(plan, workspace, vector);
    }
  }
  for (int i = 0; i < panels * kPanelRows; i += kLanes) {
    store(workspace.row_bound + i, spread(0.0f));
    store(workspace.entropy_bounds + i, spread(0.0f));
  }
}

// As score_block, in fewer bits.
template <typename Dot>
inline void narrow_block(const Plan& plan, const Workspace& workspace, const Block& block, const Block& next_block, int panels) {
  const int64_t first = block.packed / plan.width;  // of all padded columns
  multiply_block<Dot>(plan, workspace, block, next_block, panels, workspace.narrow_tile, plan.narrow + first * plan.words, plan.words, [&](int column, int panel) { return row_scales(plan, workspace, first + column, panel); });
}

template <int kPrecision>
inline void narrow_block_in(const Plan& plan, const Workspace& workspace, const Block& block, const Block& next_block, int panels) {
  if constexpr ((kPrecisions >> kPrecision & 1) != 0) narrow_block<typename Dots<kPrecision>::Type>(plan, workspace, block, next_block, panels);
}

inline void narrow_block(const Plan& plan, const Workspace& workspace, const Block& block, const Block& next_block, int panels) {
  if (plan.multiply_tiles != nullptr) return tiles_block(plan, workspace, block, panels);
  switch (plan.precision) {
    case CLIPENGINE_SWEEP_IN_BFLOAT16: return narrow_block_in<CLIPENGINE_SWEEP_IN_BFLOAT16>(plan, workspace, block, next_block, panels);
    case CLIPENGINE_SWEEP_IN_INT16: return narrow_block_in<CLIPENGINE_SWEEP_IN_INT16>(plan, workspace, block, next_block, panels);
    default: return narrow_block_in<CLIPENGINE_SWEEP_IN_INT8>(plan, workspace, block, next_block, panels);
  }
}

// The bound on the scores of one vector of rows, whose shares of it those are with the prompts of one product or segment.
inline Vector score_bound(const Plan& plan, const Workspace& workspace, int lanes, float row_error, float row_norm, float row_chain) {
  const Vector norm = load(workspace.row_norm + lanes), zero = spread(0.0f);
  const Vector rounding = multiply_add(load(workspace.row_chain + lanes), spread(row_chain), spread(plan.error_floor));
  const Vector bound = multiply_add(load(workspace.row_error + lanes), spread(row_error), multiply_add(norm, spread(row_norm), rounding));
  return select(greater(norm, zero), bound, zero);
}

constexpr int kBlockProducts = kBlockColumns / kProductColumns;

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

// How far the probabilities of one segment may lie from those of fp32, for one panel. With every score within e bits of fp32's:
//   odds        change by at most 2^2e, so no probability by more than (2^e - 1) / (2^e + 1)
//   the best    are known, so only the rest of the sum, rho of it, changes: Z / Z' is in [1 - rho (1 - 2^-e), 1 + rho (2^e - 1)]
//   the others  are no larger than the last of the best and change by at most 2^e besides
// kappa bounds the rounding of exponentials, of their sums and of the groups' sums, on both sides.
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
    } else if (plan.single && !plan.entropy) {
      bound = bound_by_odds(grow, kappa);
    } else {
      const Vector sum = load(total + half * kLanes), first = one / sum;
      const Vector second = power_of_two(maximum(load(workspace.second + lanes) - best, spread(-127.0f))) / sum;
      const Vector known = plan.single ? zero : plan.kept >= 2 ? first + second : first;
      const Vector rho = minimum(maximum(one - known, zero) + kappa, one);
      const Vector x = rho * shrink, y = rho * grow;
      const Vector on_known = plan.single ? zero : first * maximum(y / (one + y), x / (one - x));
      const Vector rest = plan.single ? first : minimum(plan.kept >= 2 ? second : first, rho);
      const Vector relative = maximum((one + grow) / (one - x) - one, one - (one - shrink) / (one + y));
      bound = minimum(minimum(maximum(on_known, rest * relative), grow / (grow + spread(2.0f))) * spread(1.001f) + kappa, one);
      if (plan.entropy) {
        // |H - H'| <= sum |p - p'| |ln p'| + sum p |ln p / p'|
        const Vector logarithm = multiply_add(e, spread(kLn2), maximum(x / (one - x), y));
        alignas(64) float factor[kLanes], addend[kLanes];
        store(factor, relative * spread(1.001f) + kappa);
        store(addend, multiply_add(kappa, spread(32.0f), logarithm * spread(1.001f)));
        const unsigned open = mask_bits(greater(e, zero));
        for (int lane = 0; lane < kLanes; ++lane) {
          if ((open >> lane & 1) == 0) continue;
          const float sum_here = total[half * kLanes + lane], entropy = (__builtin_log2f(sum_here) - moments[half * kLanes + lane] / sum_here) * kLn2;
          const float limit = factor[lane] * (entropy > 0 ? entropy : 0) + addend[lane];
          if (limit > workspace.entropy_bounds[lanes + lane]) workspace.entropy_bounds[lanes + lane] = limit;
        }
      }
    }
    bound = select(greater(e, zero), bound, zero);
    store(workspace.row_bound + lanes, maximum(load(workspace.row_bound + lanes), bound));
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

// A tile's rows are scored: their bounds go where those of the chunk and of its groups are kept.
inline void add_bounds(const Plan& plan, const Workspace& workspace, const Chunk& chunk, int first, int rows) {
  Tally& tally = *workspace.tally;
  for (int row = 0; row < rows; ++row) {
    const float bound = workspace.row_bound[row];
    if (bound > tally.bound) tally.bound = bound;
    if (plan.entropy && workspace.entropy_bounds[row] > tally.entropy_bound) tally.entropy_bound = workspace.entropy_bounds[row];
    if (chunk.bounds != nullptr) chunk.bounds[chunk.order[first + row]] = bound;
    if (plan.groups > 0 && chunk.groups[first + row] >= 0) workspace.group_bounds[chunk.groups[first + row]] += bound;
    for (int64_t replicate = 0; replicate < plan.replicates; ++replicate) workspace.weighted_bounds[replicate] += __builtin_fabs(workspace.weights[replicate * plan.tile_rows + row]) * bound;
  }
}
