// The probe sweep's products in fewer bits on NEON: SDOT, or products of small matrices, SMMLA and BFMMLA. Part of narrow.h.

constexpr bool kUnsignedRows = false;

static inline Vector value_of(int32x4_t sum) { return vcvtq_f32_s32(sum); }
static inline Vector value_of(float32x4_t sum) { return sum; }

#if defined(__ARM_FEATURE_MATMUL_INT8) && defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)

constexpr bool kRowWordPairs = true;

// A step: two words of two prompts times two words of two rows. A sum is {prompt 0 row 0, prompt 0 row 1, prompt 1 row 0, prompt 1 row 1}.
template <typename Dot, int kColumns>
struct MatrixSums {
  static constexpr int kWords = 2;
  typename Dot::Sum sums[kColumns / 2][4];

  inline void begin(const RowScales&) {
#pragma GCC unroll 8
    for (int j = 0; j < kColumns / 2; ++j) {
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) sums[j][r] = typename Dot::Sum{};
    }
  }
  inline void step(const uint32_t* panel, const uint32_t* prompts) {
    uint32x4_t rows[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) rows[r] = vld1q_u32(panel + 4 * r);
#pragma GCC unroll 8
    for (int j = 0; j < kColumns / 2; ++j) {
      const uint32x4_t pair = vld1q_u32(prompts + 4 * j);
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) sums[j][r] = Dot::step(sums[j][r], pair, rows[r]);
    }
  }
  inline Vector value(int column, int half) const {
    const float64x2_t a = vreinterpretq_f64_f32(value_of(sums[column / 2][2 * half])), b = vreinterpretq_f64_f32(value_of(sums[column / 2][2 * half + 1]));
    return vreinterpretq_f32_f64(column % 2 == 0 ? vzip1q_f64(a, b) : vzip2q_f64(a, b));
  }
};

template <typename Dot>
struct WordsOfMatrices {
  using Word = uint32_t;
  using Scales = RowScales;
  template <int kColumns>
  using Sums = MatrixSums<Dot, kColumns>;
};

// In assembly, because the compiler else forms sums in other registers and moves them back.
struct MatricesOfBytes : WordsOfMatrices<MatricesOfBytes> {
  using Sum = int32x4_t;
  static inline Sum step(Sum sum, uint32x4_t prompts, uint32x4_t rows) {
    asm("smmla %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(prompts), "w"(rows));
    return sum;
  }
};
struct MatricesOfBfloat16 : WordsOfMatrices<MatricesOfBfloat16> {
  using Sum = float32x4_t;
  static inline Sum step(Sum sum, uint32x4_t prompts, uint32x4_t rows) {
    asm("bfmmla %0.4s, %1.8h, %2.8h" : "+w"(sum) : "w"(prompts), "w"(rows));
    return sum;
  }
};

template <int kPrecision>
struct Dots;
template <>
struct Dots<CLIPENGINE_SWEEP_IN_BFLOAT16> { using Type = MatricesOfBfloat16; };
template <>
struct Dots<CLIPENGINE_SWEEP_IN_INT8> { using Type = MatricesOfBytes; };
constexpr uint32_t kPrecisions = 1u << CLIPENGINE_SWEEP_IN_BFLOAT16 | 1u << CLIPENGINE_SWEEP_IN_INT8;

#else

constexpr bool kRowWordPairs = false;

// A step: four bytes of four rows times four of one prompt. Arm multiplies by one lane of a register, so no prompt is ever spread.
struct QuadsOfBytes {
  using Word = uint32_t;
  using Scales = RowScales;
  template <int kColumns>
  struct Sums {
    static constexpr int kWords = 1;
    int32x4_t left[kColumns], right[kColumns];

    inline void begin(const RowScales&) {
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) left[j] = right[j] = vdupq_n_s32(0);
    }
    inline void step(const uint32_t* panel, const uint32_t* prompts) {
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
    }
    inline Vector value(int column, int half) const { return value_of(half == 0 ? left[column] : right[column]); }
  };
};

template <int kPrecision>
struct Dots { using Type = QuadsOfBytes; };
constexpr uint32_t kPrecisions = 1u << CLIPENGINE_SWEEP_IN_INT8;

#endif

inline void tiles_block(const Plan&, const Workspace&, const Block&, int) {}
