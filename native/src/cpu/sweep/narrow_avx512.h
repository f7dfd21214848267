// The probe sweep's products in fewer bits on AVX-512 with VNNI. Part of narrow.h; dot_pairs(sum, a, b) is VDPBF16PS or does the same.

constexpr bool kUnsignedRows = true, kRowWordPairs = false;
constexpr int kTileColumns = 32;  // two tile registers

// By the manuals VDPBF16PS is two multiply-adds, of the upper halves and then of the lower ones, that round to nearest even. Where the answers' bits hang on
// it, it is tried: chains whose sums lose bits at every step and often cancel.
inline bool sums_as_fp32() {
  static const bool same = [] {
    uint32_t state = 1;
    const auto next = [&state] { return state = state * 1664525u + 1013904223u, state >> 16; };
    // Of either sign, between 2^-3 and 2^3, all bits of the significand in use.
    const auto feature = [&next] { return (next() & 1u) << 15 | (124 + next() % 6) << 7 | (next() & 0x7Fu); };
    const auto value = [](uint32_t bits) { return __builtin_bit_cast(float, bits << 16); };
    constexpr int kLanesHere = 16;
    __m512 sum = _mm512_setzero_ps();
    float expected[kLanesHere] = {}, found[kLanesHere];
    for (int step = 0; step < 256; ++step) {
      uint32_t a[kLanesHere], b[kLanesHere];
      for (int lane = 0; lane < kLanesHere; ++lane) {
        uint32_t upper[2] = {feature(), feature()}, lower[2] = {feature(), feature()};
        if (next() % 4 == 0) lower[0] = upper[0], lower[1] = upper[1] ^ 0x8001u;  // almost the opposite
        a[lane] = upper[0] << 16 | lower[0];
        b[lane] = upper[1] << 16 | lower[1];
        expected[lane] = __builtin_fmaf(value(upper[0]), value(upper[1]), expected[lane]);
        expected[lane] = __builtin_fmaf(value(lower[0]), value(lower[1]), expected[lane]);
      }
      sum = dot_pairs(sum, _mm512_loadu_si512(a), _mm512_loadu_si512(b));
      _mm512_storeu_ps(found, sum);
      if (__builtin_memcmp(found, expected, sizeof found) != 0) return false;
    }
    return true;
  }();
  return same;
}

template <typename Dot>
struct WordsOfLanes {
  using Word = uint32_t;
  using Scales = RowScales;
  template <int kColumns>
  using Sums = LaneSums<Dot, kColumns>;
  static inline __m512i rows(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static inline __m512i prompt(const uint32_t* p) { return _mm512_set1_epi32(static_cast<int>(*p)); }
};

// A sum is named as read and written: the compiler else forms it in another register and runs out of them for moving it back.
struct PairsOfBfloat16 : WordsOfLanes<PairsOfBfloat16> {
  using Sum = __m512;
  static inline Sum begin(const RowScales&, int) { return _mm512_setzero_ps(); }
  static inline Sum step(Sum sum, __m512i row, __m512i prompt) { return dot_pairs(sum, row, prompt); }
  static inline Vector value(Sum sum) { return sum; }
};

struct PairsOfInt16 : WordsOfLanes<PairsOfInt16> {
  using Sum = __m512i;
  static inline Sum begin(const RowScales&, int) { return _mm512_setzero_si512(); }
  static inline Sum step(Sum sum, __m512i row, __m512i prompt) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(prompt));
    return sum;
  }
  static inline Vector value(Sum sum) { return _mm512_cvtepi32_ps(sum); }
};

struct QuadsOfBytes : WordsOfLanes<QuadsOfBytes> {
  using Sum = __m512i;
  static inline Sum begin(const RowScales& scales, int column) { return _mm512_set1_epi32(scales.offsets[column]); }
  static inline Sum step(Sum sum, __m512i row, __m512i prompt) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(prompt));
    return sum;
  }
  static inline Vector value(Sum sum) { return _mm512_cvtepi32_ps(sum); }
};

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
  const int64_t first = block.packed / plan.width;
  for (int panel = 0; panel < panels; ++panel) {
    const uint32_t* rows = workspace.narrow_tile + panel * plan.words * kPanelRows;
    float* scores = value_panel(plan, workspace, block, panel);
    float* largest = largest_scores(workspace, panel);
    for (int group = 0; group * kProductColumns < block.padded; ++group) {
      store(largest + group * kPanelRows, spread(-__builtin_inff()));
      store(largest + group * kPanelRows + kLanes, spread(-__builtin_inff()));
    }
    for (int column = 0; column < block.padded; column += kTileColumns) {
      const int columns = block.padded - column < kTileColumns ? block.padded - column : kTileColumns;
      const RowScales scales = row_scales(plan, workspace, first + column, panel);
      alignas(64) uint32_t sums[kTileColumns * kPanelRows];
      plan.multiply_tiles(kBytes, plan.narrow + (first + column) * plan.words, rows, plan.words, columns, sums);
      for (int j = 0; j < columns; ++j) {
        float* most = largest + (column + j) / kProductColumns * kPanelRows;
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          const __m512i sum = _mm512_loadu_si512(sums + j * kPanelRows + half * kLanes);
          const Vector value = kBytes ? _mm512_cvtepi32_ps(_mm512_add_epi32(sum, QuadsOfBytes::begin(scales, j))) : _mm512_castsi512_ps(sum);
          const Vector score = scales.score(value, j, half);
          store(scores + (column + j) * kPanelRows + half * kLanes, score);
          store(most + half * kLanes, maximum(load(most + half * kLanes), score));
        }
      }
    }
  }
}

inline void tiles_block(const Plan& plan, const Workspace& workspace, const Block& block, int panels) {
  const auto multiply = plan.precision == CLIPENGINE_SWEEP_IN_INT8 ? tiles_block<true> : tiles_block<false>;
  multiply(plan, workspace, block, panels);
}
