// Steps of the products for NEON, and the tiles that they make: product_body.h leaves both to whoever defines
// CLIPENGINE_OWN_TILES. Included inside an anonymous namespace, before it.
// Arm multiplies by one lane of a register, so four words of a row are loaded at once and no lane is ever spread.

constexpr int64_t kTileRows = 6;     // 6 rows x 4 vectors of sums, 1 of the panel and 6 of the rows: 31 of 32 registers
constexpr int64_t kPanelVectors = 4;
constexpr int64_t kPanelColumns = kPanelVectors * kWidth;
constexpr int64_t kAhead = 16;       // words between reading a panel and asking for it

#define CLIPENGINE_OWN_TILES

struct FloatDot {
  static constexpr bool kMatrix = false;
  using Sum = float32x4_t;
  using Left = float32x4_t;
  using Right = float32x4_t;
  static inline Sum zero() { return vdupq_n_f32(0.0f); }
  static inline Sum load(const uint32_t* p) { return vld1q_f32(reinterpret_cast<const float*>(p)); }
  static inline void store(uint32_t* p, Sum v) { vst1q_f32(reinterpret_cast<float*>(p), v); }
  static inline Left left(const uint32_t* p) { return vld1q_f32(reinterpret_cast<const float*>(p)); }
  static inline Right right(const uint32_t* p) { return vld1q_f32(reinterpret_cast<const float*>(p)); }
  template <int kLane>
  static inline Sum step(Left a, Right b, Sum c) {
    return vfmaq_laneq_f32(c, b, a, kLane);
  }
};

#if defined(__ARM_FEATURE_MATMUL_INT8) && defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
// Products of small matrices: two words of two rows times two words of two channels. In assembly, because the compiler else forms sums in
// other registers and moves them back, which costs a tenth of the speed.
struct ByteDot {
  static constexpr bool kMatrix = true;
  using Sum = int32x4_t;
  using Operand = int8x16_t;
  static inline Sum zero() { return vdupq_n_s32(0); }
  static inline Sum step(Operand a, Operand b, Sum c) {
    asm("smmla %0.4s, %1.16b, %2.16b" : "+w"(c) : "w"(a), "w"(b));
    return c;
  }
};
struct PairDot {
  static constexpr bool kMatrix = true;
  using Sum = float32x4_t;
  using Operand = bfloat16x8_t;
  static inline Sum zero() { return vdupq_n_f32(0.0f); }
  static inline Sum step(Operand a, Operand b, Sum c) {
    asm("bfmmla %0.4s, %1.8h, %2.8h" : "+w"(c) : "w"(a), "w"(b));
    return c;
  }
};
constexpr bool kBf16Pairs = true;
#define CLIPENGINE_WORD_PAIRS
#elif defined(__ARM_FEATURE_DOTPROD)
// Four bytes of a row times four of a channel.
struct ByteDot {
  static constexpr bool kMatrix = false;
  using Sum = int32x4_t;
  using Left = int8x16_t;
  using Right = int8x16_t;
  static inline Sum zero() { return vdupq_n_s32(0); }
  static inline Sum load(const uint32_t* p) { return vld1q_s32(reinterpret_cast<const int32_t*>(p)); }
  static inline void store(uint32_t* p, Sum v) { vst1q_s32(reinterpret_cast<int32_t*>(p), v); }
  static inline Left left(const uint32_t* p) { return vld1q_s8(reinterpret_cast<const int8_t*>(p)); }
  static inline Right right(const uint32_t* p) { return vld1q_s8(reinterpret_cast<const int8_t*>(p)); }
  template <int kLane>
  static inline Sum step(Left a, Right b, Sum c) {
    return vdotq_laneq_s32(c, b, a, kLane);
  }
};
#else
// The same without SDOT: products of 16 bits, of which two always fit together (2 * 127 * 127), added in pairs.
struct ByteDot {
  static constexpr bool kMatrix = false;
  using Sum = int32x4_t;
  using Left = int8x16_t;
  using Right = int8x16_t;
  static inline Sum zero() { return vdupq_n_s32(0); }
  static inline Sum load(const uint32_t* p) { return vld1q_s32(reinterpret_cast<const int32_t*>(p)); }
  static inline void store(uint32_t* p, Sum v) { vst1q_s32(reinterpret_cast<int32_t*>(p), v); }
  static inline Left left(const uint32_t* p) { return vld1q_s8(reinterpret_cast<const int8_t*>(p)); }
  static inline Right right(const uint32_t* p) { return vld1q_s8(reinterpret_cast<const int8_t*>(p)); }
  template <int kLane>
  static inline Sum step(Left a, Right panel, Sum c) {
    const int8x16_t row = vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(a), kLane));
    const int16x8_t low = vmull_s8(vget_low_s8(panel), vget_low_s8(row)), high = vmull_high_s8(panel, row);
    return vpadalq_s16(c, vpaddq_s16(low, high));
  }
};
#endif
#if !defined(CLIPENGINE_WORD_PAIRS)
using PairDot = FloatDot;  // operands rounded to bf16, kept as floats
constexpr bool kBf16Pairs = false;
#endif

// c[R][panel] = (accumulate ? c : 0) + a b, every element one chain over the words in ascending order: whatever R is, a row gets
// the same bits. ahead: as in product_body.h.
template <class Dot, int R, class Panel>
static inline void lane_tile(const uint32_t* a, Panel b, int64_t words, uint32_t* c, bool accumulate, const char* ahead, int64_t ahead_step, int64_t ahead_pair) {
  typename Dot::Sum sum[R][kPanelVectors];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) sum[r][v] = accumulate ? Dot::load(c + r * kPanelColumns + v * kWidth) : Dot::zero();
  }
  const auto one_word = [&](const typename Dot::Left (&left)[R], auto lane) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) {
      const typename Dot::Right right = b.template right<Dot>(v * kWidth);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum[r][v] = Dot::template step<decltype(lane)::value>(left[r], right, sum[r][v]);
    }
    b.advance(kPanelColumns);
  };
  // Whole lines of a row are followed by the same row's next line, behind the other rows'.
  for (int64_t line = 0; line < words; line += kLine) {
    const int64_t here = words - line < kLine ? words - line : kLine;
#pragma GCC unroll 1
    for (int64_t w = 0; w + 4 <= here; w += 4) {
      __builtin_prefetch(ahead, 0, 2);
      __builtin_prefetch(ahead + ahead_pair, 0, 2);
      ahead += ahead_step;
      b.fetch(kAhead * kPanelColumns);
      b.fetch((kAhead + 1) * kPanelColumns);
      b.fetch((kAhead + 2) * kPanelColumns);
      b.fetch((kAhead + 3) * kPanelColumns);
      typename Dot::Left left[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) left[r] = Dot::left(a + r * kLine + w);
      one_word(left, Constant<0>());
      one_word(left, Constant<1>());
      one_word(left, Constant<2>());
      one_word(left, Constant<3>());
    }
    if (here % 4 != 0) {
      // The rest of a row is there, zeros up to the line's end; the panel's is not.
      typename Dot::Left left[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) left[r] = Dot::left(a + r * kLine + here / 4 * 4);
      one_word(left, Constant<0>());
      if (here % 4 > 1) one_word(left, Constant<1>());
      if (here % 4 > 2) one_word(left, Constant<2>());
    }
    a += R * kLine;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) Dot::store(c + r * kPanelColumns + v * kWidth, sum[r][v]);
  }
}

// The same with products of matrices. Panels hold two words of a channel side by side (Kernels::word_pairs), so words are even; of an
// odd number of rows the last one is its own partner.
template <class Dot, int R>
static inline void matrix_tile(const uint32_t* a, const uint32_t* b, int64_t words, uint32_t* c, bool accumulate, const char* ahead, int64_t ahead_step, int64_t ahead_pair) {
  constexpr int kPairs = (R + 1) / 2, kChannelPairs = static_cast<int>(kPanelColumns) / 2;
  const auto second = [](int pair) { return 2 * pair + 1 < R ? 2 * pair + 1 : 2 * pair; };
  const auto as_operand = [](uint64x2_t v) { return __builtin_bit_cast(typename Dot::Operand, v); };
  typename Dot::Sum sum[kPairs][kChannelPairs];
#pragma GCC unroll 4
  for (int p = 0; p < kPairs; ++p) {
#pragma GCC unroll 8
    for (int j = 0; j < kChannelPairs; j += 2) {
      if (accumulate) {
        const uint64x2_t top = vreinterpretq_u64_u32(vld1q_u32(c + 2 * p * kPanelColumns + 2 * j)), bottom = vreinterpretq_u64_u32(vld1q_u32(c + second(p) * kPanelColumns + 2 * j));
        sum[p][j] = __builtin_bit_cast(typename Dot::Sum, vzip1q_u64(top, bottom));
        sum[p][j + 1] = __builtin_bit_cast(typename Dot::Sum, vzip2q_u64(top, bottom));
      } else {
        sum[p][j] = sum[p][j + 1] = Dot::zero();
      }
    }
  }
  const auto two_words = [&](const typename Dot::Operand (&left)[kPairs]) __attribute__((always_inline)) {
#pragma GCC unroll 8
    for (int j = 0; j < kChannelPairs; ++j) {
      const typename Dot::Operand right = as_operand(vreinterpretq_u64_u32(vld1q_u32(b + 4 * j)));
#pragma GCC unroll 4
      for (int p = 0; p < kPairs; ++p) sum[p][j] = Dot::step(left[p], right, sum[p][j]);
    }
    b += 2 * kPanelColumns;
  };
  for (int64_t line = 0; line < words; line += kLine) {
    const int64_t here = words - line < kLine ? words - line : kLine;
#pragma GCC unroll 1
    for (int64_t w = 0; w + 4 <= here; w += 4) {
      __builtin_prefetch(ahead, 0, 2);
      __builtin_prefetch(ahead + ahead_pair, 0, 2);
      ahead += ahead_step;
      __builtin_prefetch(b + kAhead * kPanelColumns, 0, 3);
      __builtin_prefetch(b + (kAhead + 1) * kPanelColumns, 0, 3);
      __builtin_prefetch(b + (kAhead + 2) * kPanelColumns, 0, 3);
      __builtin_prefetch(b + (kAhead + 3) * kPanelColumns, 0, 3);
      typename Dot::Operand first[kPairs], last[kPairs];
#pragma GCC unroll 4
      for (int p = 0; p < kPairs; ++p) {
        const uint64x2_t top = vreinterpretq_u64_u32(vld1q_u32(a + 2 * p * kLine + w)), bottom = vreinterpretq_u64_u32(vld1q_u32(a + second(p) * kLine + w));
        first[p] = as_operand(vzip1q_u64(top, bottom));
        last[p] = as_operand(vzip2q_u64(top, bottom));
      }
      two_words(first);
      two_words(last);
    }
    if (here % 4 != 0) {
      typename Dot::Operand rest[kPairs];
#pragma GCC unroll 4
      for (int p = 0; p < kPairs; ++p) {
        const uint64x2_t top = vreinterpretq_u64_u32(vld1q_u32(a + 2 * p * kLine + here - 2)), bottom = vreinterpretq_u64_u32(vld1q_u32(a + second(p) * kLine + here - 2));
        rest[p] = as_operand(vzip1q_u64(top, bottom));
      }
      two_words(rest);
    }
    a += R * kLine;
  }
#pragma GCC unroll 4
  for (int p = 0; p < kPairs; ++p) {
#pragma GCC unroll 8
    for (int j = 0; j < kChannelPairs; j += 2) {
      const uint64x2_t even = __builtin_bit_cast(uint64x2_t, sum[p][j]), odd = __builtin_bit_cast(uint64x2_t, sum[p][j + 1]);
      vst1q_u32(c + 2 * p * kPanelColumns + 2 * j, vreinterpretq_u32_u64(vzip1q_u64(even, odd)));
      if (2 * p + 1 < R) vst1q_u32(c + (2 * p + 1) * kPanelColumns + 2 * j, vreinterpretq_u32_u64(vzip2q_u64(even, odd)));
    }
  }
}

template <class Dot, int R, class Panel>
static void tile_product(const uint32_t* a, Panel b, int64_t words, uint32_t* c, bool accumulate, const char* ahead, int64_t ahead_step, int64_t ahead_pair) {
  if constexpr (Dot::kMatrix) {
    matrix_tile<Dot, R>(a, b.at, words, c, accumulate, ahead, ahead_step, ahead_pair);
  } else {
    lane_tile<Dot, R>(a, b, words, c, accumulate, ahead, ahead_step, ahead_pair);
  }
}
