// The probe sweep in fewer bits than fp32: rows in fewer bits, their products, and why scores lie within bounds. Part of chunk.h.
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
// them together are at most 2^-24 chain(x) chain(y) (Cauchy and Schwarz; half of width 2^-24 |x| |y| where features are alike), but for three factors that
// kChainSlack pays for, of up to 65,536 features:
//
//   (1 + 2^-24)^65536 <= 1.0040       a sum has itself been rounded before (BFMMLA: (1 + 2^-23)^32768, the same)
//   (1 + (1 + 2^-8)^2) / 2 <= 1.0040  of bf16's two chains, the second is of x' and y', whose features may be larger by 2^-8
//   1.0040                            chain(x) is itself added up in fp32, by two chains of 65,536 sums whose roundings the root halves
//
// Together 1.0121, where rows and prompts have 1.01 each, 1.0201: one of them would not do. VDPBF16PS rounds as often;
// TDPBF16PS rounds a sum every 32 features and a product at most 17 times before, and BFMMLA, which rounds to odd (by less than 2^-23), a sum every two
// features and a product once before. 2^-18 is room for those, for the rounding of the factors and of the comparison. floor is what flushing subnormals
// takes, and the rounding of the bias. A kernel's prompts share the largest of their norms among those of one product.
//
// Where no feature of a row or of any prompt loses anything in bf16, and the kernel adds products as fp32 does, a row's scores are those of fp32 and its
// bounds are zero: nothing is looked for. (Sums of such products are multiples of 2^-114 where no feature is below 2^-50, so none is ever flushed.)

constexpr float kNormSlack = 1.004f;  // a sum of up to 65,536 squares in fp32, its root
constexpr float kChainFloor = 0x1p-47f;  // as kNormFloor, of sums of 65,536 such sums

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
  const Vector zero = spread(0.0f), smallest = spread(kNarrowSmallest), greatest = spread(kNarrowLargest);
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
