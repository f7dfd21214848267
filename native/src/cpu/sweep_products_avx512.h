// The probe sweep's products in fewer bits on AVX-512 with VNNI. Part of sweep_narrow.h; dot_pairs(sum, a, b) is VDPBF16PS or does the same.

constexpr bool kUnsignedRows = true, kRowWordPairs = false;
constexpr int kTileColumns = 32;  // two tile registers

// A sum is named as read and written: the compiler else forms it in another register and runs out of them for moving it back.
struct PairsOfBfloat16 {
  using Sum = __m512;
  static Sum begin(int32_t) { return _mm512_setzero_ps(); }
  static Sum step(Sum sum, __m512i row, __m512i prompt) { return dot_pairs(sum, row, prompt); }
  static __m512 value(Sum sum) { return sum; }
};

struct PairsOfInt16 {
  using Sum = __m512i;
  static Sum begin(int32_t) { return _mm512_setzero_si512(); }
  static Sum step(Sum sum, __m512i row, __m512i prompt) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(prompt));
    return sum;
  }
  static __m512 value(Sum sum) { return _mm512_cvtepi32_ps(sum); }
};

struct QuadsOfBytes {
  using Sum = __m512i;
  static Sum begin(int32_t offset) { return _mm512_set1_epi32(offset); }
  static Sum step(Sum sum, __m512i row, __m512i prompt) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(prompt));
    return sum;
  }
  static __m512 value(Sum sum) { return _mm512_cvtepi32_ps(sum); }
};

// As product, in fewer bits.
template <typename Dot, int kColumns>
inline void narrow_product(const uint32_t* panel, const uint32_t* prompts, int64_t words, const float* row_factor, const float* column_factor, const int32_t* column_offset, Vec bias, float* scores,
                           float* largest, Ahead next_prompts, Ahead next_values) {
  typename Dot::Sum left[kColumns], right[kColumns];
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j) left[j] = right[j] = Dot::begin(column_offset[j]);
  for (int64_t from = 0; from < words; from += kFetchFeatures) {
    __builtin_prefetch(next_prompts.place, 0, 2);
    next_prompts.place += next_prompts.step;
    __builtin_prefetch(next_values.place, 0, 2);
    next_values.place += next_values.step;
    const int64_t to = from + kFetchFeatures < words ? from + kFetchFeatures : words;
#pragma GCC unroll 1
    for (int64_t k = from; k < to; ++k) {
      __builtin_prefetch(panel + 8 * kPanelRows);
      __builtin_prefetch(panel + 8 * kPanelRows + kPanelRows / 2);
      const __m512i a = _mm512_load_si512(panel), b = _mm512_load_si512(panel + kLanes);
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) {
        const __m512i prompt = _mm512_set1_epi32(static_cast<int>(prompts[j]));
        left[j] = Dot::step(left[j], a, prompt);
        right[j] = Dot::step(right[j], b, prompt);
      }
      panel += kPanelRows;
      prompts += kColumns;
    }
  }
  const __m512 factors[2] = {_mm512_load_ps(row_factor), _mm512_load_ps(row_factor + kLanes)};
  Vec most[2] = {set(-__builtin_inff()), set(-__builtin_inff())};
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j) {
    const Vec factor = set(column_factor[j]);
    const Vec a = fma({_mm512_mul_ps(Dot::value(left[j]), factors[0])}, factor, bias), b = fma({_mm512_mul_ps(Dot::value(right[j]), factors[1])}, factor, bias);
    store(scores + j * kPanelRows, a);
    store(scores + j * kPanelRows + kLanes, b);
    most[0] = max(most[0], a);
    most[1] = max(most[1], b);
  }
  store(largest, most[0]);
  store(largest + kLanes, most[1]);
}

template <int kPrecision>
struct Dots;
template <>
struct Dots<CLIPENGINE_SWEEP_IN_BFLOAT16> { using Type = PairsOfBfloat16; };
template <>
struct Dots<CLIPENGINE_SWEEP_IN_INT16> { using Type = PairsOfInt16; };
template <>
struct Dots<CLIPENGINE_SWEEP_IN_INT8> { using Type = QuadsOfBytes; };
constexpr uint32_t kPrecisions = 1u << CLIPENGINE_SWEEP_IN_BFLOAT16 | 1u << CLIPENGINE_SWEEP_IN_INT16 | 1u << CLIPENGINE_SWEEP_IN_INT8;

// As narrow_block, on tile registers: prompts are rows of the left operand, and the panel's words, in which rows are lanes, are the right one.
// What comes out are sums as scores are laid out: [prompts][kPanelRows].
template <bool kBytes>
inline void tiles_block(const Plan& plan, const Workspace& workspace, const Block& block, int panels) {
  const Vec bias = set(plan.bias);
  const int64_t first = block.packed / plan.width;
  for (int panel = 0; panel < panels; ++panel) {
    const uint32_t* rows = workspace.narrow_tile + panel * plan.words * kPanelRows;
    const __m512 factors[2] = {_mm512_load_ps(workspace.row_factor + panel * kPanelRows), _mm512_load_ps(workspace.row_factor + panel * kPanelRows + kLanes)};
    float* scores = value_panel(plan, workspace, block, panel);
    float* largest = largest_scores(workspace, panel);
    for (int group = 0; group * kProductColumns < block.padded; ++group) {
      store(largest + group * kPanelRows, set(-__builtin_inff()));
      store(largest + group * kPanelRows + kLanes, set(-__builtin_inff()));
    }
    for (int column = 0; column < block.padded; column += kTileColumns) {
      const int columns = block.padded - column < kTileColumns ? block.padded - column : kTileColumns;
      alignas(64) uint32_t sums[kTileColumns * kPanelRows];
      plan.multiply_tiles(kBytes, plan.narrow + (first + column) * plan.words, rows, plan.words, columns, sums);
      for (int j = 0; j < columns; ++j) {
        const Vec factor = set(plan.column_factor[first + column + j]);
        float* most = largest + (column + j) / kProductColumns * kPanelRows;
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          const uint32_t* sum = sums + j * kPanelRows + half * kLanes;
          __m512 value;
          if constexpr (kBytes) {
            value = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_load_si512(sum), _mm512_set1_epi32(plan.column_offset[first + column + j])));
          } else {
            value = _mm512_load_ps(sum);
          }
          const Vec score = fma({_mm512_mul_ps(value, factors[half])}, factor, bias);
          store(scores + (column + j) * kPanelRows + half * kLanes, score);
          store(most + half * kLanes, max(load(most + half * kLanes), score));
        }
      }
    }
  }
}

inline void tiles_block(const Plan& plan, const Workspace& workspace, const Block& block, int panels) {
  const auto multiply = plan.precision == CLIPENGINE_SWEEP_IN_INT8 ? tiles_block<true> : tiles_block<false>;
  multiply(plan, workspace, block, panels);
}
