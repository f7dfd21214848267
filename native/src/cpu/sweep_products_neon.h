// The probe sweep's products in fewer bits on NEON: SDOT, or products of small matrices, SMMLA and BFMMLA. Part of sweep_narrow.h.

constexpr bool kUnsignedRows = false;

inline float32x4_t value_of(int32x4_t sum) { return vcvtq_f32_s32(sum); }
inline float32x4_t value_of(float32x4_t sum) { return sum; }

// Sums of two vectors of rows and one prompt to scores.
inline void finish_column(float32x4_t left, float32x4_t right, const float* row_factor, float column_factor, Vec bias, float* scores, Vec (&most)[2]) {
  const Vec factor = set(column_factor);
  const Vec a = fma(Vec{left} * load(row_factor), factor, bias), b = fma(Vec{right} * load(row_factor + kLanes), factor, bias);
  store(scores, a);
  store(scores + kLanes, b);
  most[0] = max(most[0], a);
  most[1] = max(most[1], b);
}

#if defined(__ARM_FEATURE_MATMUL_INT8) && defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)

constexpr bool kRowWordPairs = true;

// Each step: two words of two prompts times two words of two rows. In assembly, because the compiler else forms sums in other registers and
// moves them back.
struct MatricesOfBytes {
  using Sum = int32x4_t;
  static Sum zero() { return vdupq_n_s32(0); }
  static Sum step(Sum sum, uint32x4_t prompts, uint32x4_t rows) {
    asm("smmla %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(prompts), "w"(rows));
    return sum;
  }
};
struct MatricesOfBfloat16 {
  using Sum = float32x4_t;
  static Sum zero() { return vdupq_n_f32(0.0f); }
  static Sum step(Sum sum, uint32x4_t prompts, uint32x4_t rows) {
    asm("bfmmla %0.4s, %1.8h, %2.8h" : "+w"(sum) : "w"(prompts), "w"(rows));
    return sum;
  }
};

// As product, in fewer bits. A sum is {prompt 0 row 0, prompt 0 row 1, prompt 1 row 0, prompt 1 row 1}.
template <typename Dot, int kColumns>
inline void narrow_product(const uint32_t* panel, const uint32_t* prompts, int64_t words, const float* row_factor, const float* column_factor, const int32_t*, Vec bias, float* scores, float* largest,
                           Ahead next_prompts, Ahead next_values) {
  typename Dot::Sum sums[kColumns / 2][4];
#pragma GCC unroll 8
  for (int j = 0; j < kColumns / 2; ++j) {
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) sums[j][r] = Dot::zero();
  }
  for (int64_t from = 0; from < words; from += kFetchFeatures) {
    __builtin_prefetch(next_prompts.place, 0, 2);
    next_prompts.place += next_prompts.step;
    __builtin_prefetch(next_values.place, 0, 2);
    next_values.place += next_values.step;
    const int64_t to = from + kFetchFeatures < words ? from + kFetchFeatures : words;
#pragma GCC unroll 1
    for (int64_t k = from; k < to; k += 2) {
      __builtin_prefetch(panel + 8 * kPanelRows);
      uint32x4_t rows[4];
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) rows[r] = vld1q_u32(panel + 4 * r);
#pragma GCC unroll 8
      for (int j = 0; j < kColumns / 2; ++j) {
        const uint32x4_t pair = vld1q_u32(prompts + 4 * j);
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) sums[j][r] = Dot::step(sums[j][r], pair, rows[r]);
      }
      panel += 2 * kPanelRows;
      prompts += 2 * kColumns;
    }
  }
  Vec most[2] = {set(-__builtin_inff()), set(-__builtin_inff())};
#pragma GCC unroll 8
  for (int j = 0; j < kColumns / 2; ++j) {
    float64x2_t r[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) r[i] = vreinterpretq_f64_f32(value_of(sums[j][i]));
    const auto together = [](float64x2_t v) { return vreinterpretq_f32_f64(v); };
    finish_column(together(vzip1q_f64(r[0], r[1])), together(vzip1q_f64(r[2], r[3])), row_factor, column_factor[2 * j], bias, scores + 2 * j * kPanelRows, most);
    finish_column(together(vzip2q_f64(r[0], r[1])), together(vzip2q_f64(r[2], r[3])), row_factor, column_factor[2 * j + 1], bias, scores + (2 * j + 1) * kPanelRows, most);
  }
  store(largest, most[0]);
  store(largest + kLanes, most[1]);
}

template <int kPrecision>
struct Dots;
template <>
struct Dots<CLIPENGINE_SWEEP_IN_BFLOAT16> { using Type = MatricesOfBfloat16; };
template <>
struct Dots<CLIPENGINE_SWEEP_IN_INT8> { using Type = MatricesOfBytes; };
constexpr uint32_t kPrecisions = 1u << CLIPENGINE_SWEEP_IN_BFLOAT16 | 1u << CLIPENGINE_SWEEP_IN_INT8;

#else

constexpr bool kRowWordPairs = false;

struct QuadsOfBytes {};
template <int kPrecision>
struct Dots { using Type = QuadsOfBytes; };
constexpr uint32_t kPrecisions = 1u << CLIPENGINE_SWEEP_IN_INT8;

// As product, in fewer bits: four bytes of four rows times four of one prompt a step.
template <typename Dot, int kColumns>
inline void narrow_product(const uint32_t* panel, const uint32_t* prompts, int64_t words, const float* row_factor, const float* column_factor, const int32_t*, Vec bias, float* scores, float* largest,
                           Ahead next_prompts, Ahead next_values) {
  int32x4_t left[kColumns], right[kColumns];
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j) left[j] = right[j] = vdupq_n_s32(0);
  for (int64_t from = 0; from < words; from += kFetchFeatures) {
    __builtin_prefetch(next_prompts.place, 0, 2);
    next_prompts.place += next_prompts.step;
    __builtin_prefetch(next_values.place, 0, 2);
    next_values.place += next_values.step;
    const int64_t to = from + kFetchFeatures < words ? from + kFetchFeatures : words;
#pragma GCC unroll 1
    for (int64_t k = from; k < to; ++k) {
      __builtin_prefetch(panel + 8 * kPanelRows);
      const int8x16_t a = vreinterpretq_s8_u32(vld1q_u32(panel)), b = vreinterpretq_s8_u32(vld1q_u32(panel + kLanes));
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; j += 4) {
        const int8x16_t four = vreinterpretq_s8_u32(vld1q_u32(prompts + j));
        left[j] = vdotq_laneq_s32(left[j], a, four, 0);
        right[j] = vdotq_laneq_s32(right[j], b, four, 0);
        left[j + 1] = vdotq_laneq_s32(left[j + 1], a, four, 1);
        right[j + 1] = vdotq_laneq_s32(right[j + 1], b, four, 1);
        left[j + 2] = vdotq_laneq_s32(left[j + 2], a, four, 2);
        right[j + 2] = vdotq_laneq_s32(right[j + 2], b, four, 2);
        left[j + 3] = vdotq_laneq_s32(left[j + 3], a, four, 3);
        right[j + 3] = vdotq_laneq_s32(right[j + 3], b, four, 3);
      }
      panel += kPanelRows;
      prompts += kColumns;
    }
  }
  Vec most[2] = {set(-__builtin_inff()), set(-__builtin_inff())};
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j) finish_column(value_of(left[j]), value_of(right[j]), row_factor, column_factor[j], bias, scores + j * kPanelRows, most);
  store(largest, most[0]);
  store(largest + kLanes, most[1]);
}

#endif

inline void tiles_block(const Plan&, const Workspace&, const Block&, int) {}
