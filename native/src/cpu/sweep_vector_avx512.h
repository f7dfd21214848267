// The probe sweep's vectors for AVX-512 F, BW, DQ and VL. Included inside a namespace of its own, before sweep_kernel.h.

constexpr int kLanes = 16;
constexpr int kColumnStep = 4;
constexpr int kSteps = 3;  // 12 columns by 2 vectors: 24 sums, 2 rows and a prompt in 32 registers
constexpr int kDotColumns = 8;

struct Vec { __m512 v; };
struct DoubleVec { __m512d low, high; };
struct Magnitude { __m512i v; };
using Mask = __mmask16;

inline Vec load(const float* p) { return {_mm512_load_ps(p)}; }
inline void store(float* p, Vec x) { _mm512_store_ps(p, x.v); }
inline void store_unaligned(float* p, Vec x) { _mm512_storeu_ps(p, x.v); }
inline Vec set(float x) { return {_mm512_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Mask greater(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ); }
inline Vec select(Mask m, Vec yes, Vec no) { return {_mm512_mask_blend_ps(m, no.v, yes.v)}; }
inline unsigned bits(Mask m) { return m; }
inline Vec fraction(Vec x) { return {_mm512_reduce_ps(x.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
inline Vec times_power(Vec y, Vec x) { return {_mm512_scalef_ps(y.v, x.v)}; }  // denormals are flushed: 0 below -126

inline Magnitude no_magnitude() { return {_mm512_setzero_si512()}; }
inline Magnitude larger(Magnitude m, Vec x) {
  return {_mm512_max_epu32(m.v, _mm512_and_si512(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x7FFFFFFF)))};
}
inline Vec as_vec(Magnitude m) { return {_mm512_castsi512_ps(m.v)}; }

inline DoubleVec zero_doubles() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
inline DoubleVec to_doubles(const float* p) { return {_mm512_cvtps_pd(_mm256_load_ps(p)), _mm512_cvtps_pd(_mm256_load_ps(p + 8))}; }
inline DoubleVec load_doubles(const double* p) { return {_mm512_loadu_pd(p), _mm512_loadu_pd(p + 8)}; }
inline void store_doubles(double* p, DoubleVec x) {
  _mm512_storeu_pd(p, x.low);
  _mm512_storeu_pd(p + 8, x.high);
}
inline DoubleVec operator+(DoubleVec a, DoubleVec b) { return {_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)}; }
inline DoubleVec fma(DoubleVec a, DoubleVec b, DoubleVec c) {
  return {_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)};
}
inline double sum_of(DoubleVec x) { return _mm512_reduce_add_pd(_mm512_add_pd(x.low, x.high)); }

template <int kType>
inline Vec load_features(const uint8_t* p) {
  if constexpr (kType == CLIPENGINE_SWEEP_FLOAT32) {
    return {_mm512_loadu_ps(p)};
  } else if constexpr (kType == CLIPENGINE_SWEEP_FLOAT16) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  } else if constexpr (kType == CLIPENGINE_SWEEP_BFLOAT16) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16))};
  } else {
    const __m256 low = _mm512_cvtpd_ps(_mm512_loadu_pd(p)), high = _mm512_cvtpd_ps(_mm512_loadu_pd(p + 64));
    return {_mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1)};
  }
}

// 4x4 blocks of floats by unpacking, then 4x4 blocks of blocks by shuffling 128-bit lanes.
inline void transpose(Vec (&r)[16]) {
  __m512 t[16];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512 a = _mm512_unpacklo_ps(r[i].v, r[i + 1].v), b = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
    const __m512 c = _mm512_unpacklo_ps(r[i + 2].v, r[i + 3].v), d = _mm512_unpackhi_ps(r[i + 2].v, r[i + 3].v);
    t[i] = _mm512_shuffle_ps(a, c, 0x44);
    t[i + 1] = _mm512_shuffle_ps(a, c, 0xEE);
    t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
    t[i + 3] = _mm512_shuffle_ps(b, d, 0xEE);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xDD);
    const __m512 c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88), d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xDD);
    r[i].v = _mm512_shuffle_f32x4(a, c, 0x88);
    r[i + 4].v = _mm512_shuffle_f32x4(b, d, 0x88);
    r[i + 8].v = _mm512_shuffle_f32x4(a, c, 0xDD);
    r[i + 12].v = _mm512_shuffle_f32x4(b, d, 0xDD);
  }
}

// At each step two vectors become one whose elements are sums of two.
inline Vec sum_of_each(const Vec (&r)[16]) {
  __m512 eight[8], four[4], two[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) eight[i] = _mm512_add_ps(_mm512_unpacklo_ps(r[2 * i].v, r[2 * i + 1].v), _mm512_unpackhi_ps(r[2 * i].v, r[2 * i + 1].v));
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) four[i] = _mm512_add_ps(_mm512_shuffle_ps(eight[2 * i], eight[2 * i + 1], 0x44), _mm512_shuffle_ps(eight[2 * i], eight[2 * i + 1], 0xEE));
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) two[i] = _mm512_add_ps(_mm512_shuffle_f32x4(four[2 * i], four[2 * i + 1], 0x88), _mm512_shuffle_f32x4(four[2 * i], four[2 * i + 1], 0xDD));
  return {_mm512_add_ps(_mm512_shuffle_f32x4(two[0], two[1], 0x88), _mm512_shuffle_f32x4(two[0], two[1], 0xDD))};
}

// Exponentials below 2^-126 are zero by definition here; without this the processor would take hundreds of cycles for each
// product that is smaller still.
class FlushDenormals {
 public:
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(saved_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned saved_;
};

// What products in fewer bits need besides.

struct Words { __m512i v; };

inline Words words(uint32_t x) { return {_mm512_set1_epi32(static_cast<int>(x))}; }
inline Words bits_of(Vec x) { return {_mm512_castps_si512(x.v)}; }
inline Vec from_bits(Words x) { return {_mm512_castsi512_ps(x.v)}; }
inline Words operator+(Words a, Words b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Words operator&(Words a, Words b) { return {_mm512_and_si512(a.v, b.v)}; }
inline Words operator^(Words a, Words b) { return {_mm512_xor_si512(a.v, b.v)}; }
inline Words operator|(Words a, Words b) { return {_mm512_or_si512(a.v, b.v)}; }
template <int kBits>
inline Words shift_left(Words x) { return {_mm512_slli_epi32(x.v, kBits)}; }
template <int kBits>
inline Words shift_right(Words x) { return {_mm512_srli_epi32(x.v, kBits)}; }
inline Words to_integers(Vec x) { return {_mm512_cvt_roundps_epi32(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec to_floats(Words x) { return {_mm512_cvtepi32_ps(x.v)}; }
inline void store_words(uint32_t* p, Words x) { _mm512_store_si512(p, x.v); }
inline void store_pairs(uint32_t*, Words, Words) {}  // not used: words of each lane stand by themselves
inline Vec square_root(Vec x) { return {_mm512_sqrt_ps(x.v)}; }
// Which of the two vectors of a panel's rows, and which lane of it, each lane takes.
struct Lanes { __m512i v; };
inline Lanes load_lanes(const int32_t* p) { return {_mm512_load_si512(p)}; }
inline Vec pick(const float* rows, Lanes lanes) { return {_mm512_permutex2var_ps(_mm512_load_ps(rows), lanes.v, _mm512_load_ps(rows + kLanes))}; }
inline void store_where(float* p, unsigned lanes, Vec x) { _mm512_mask_store_ps(p, static_cast<__mmask16>(lanes), x.v); }

// Eight totals at a time.
bool add_to_totals(clipengine_sweep_total* totals, const double* values, int64_t count) {
  static_assert(CLIPENGINE_SWEEP_FRACTION_BITS == 80);
  const __m512i one = _mm512_set1_epi64(1), zero = _mm512_setzero_si512();
  const __m512i lows = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), highs = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
  const __m512i front = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), back = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
  __mmask8 beyond = 0;
  for (int64_t i = 0; i < count; i += 8) {
    const unsigned here = count - i < 8 ? (1u << (count - i)) - 1 : 0xFF;
    const unsigned words = count - i < 8 ? (1u << 2 * (count - i)) - 1 : 0xFFFF;
    const __m512d value = _mm512_maskz_loadu_pd(static_cast<__mmask8>(here), values + i), size = _mm512_abs_pd(value);
    beyond |= _mm512_cmp_pd_mask(size, _mm512_set1_pd(0x1p46), _CMP_NLT_UQ);
    // Whole units of 2^-16, and the exact rest in units of 2^-80. Towards zero: half a unit is added only where halves exist.
    const __m512d scaled = _mm512_mul_pd(size, _mm512_set1_pd(0x1p16));
    __m512i high = _mm512_cvttpd_epi64(scaled);
    const __m512d rest = _mm512_mul_pd(_mm512_sub_pd(scaled, _mm512_cvtepi64_pd(high)), _mm512_set1_pd(0x1p64));
    __m512i low = _mm512_cvttpd_epu64(_mm512_add_round_pd(rest, _mm512_set1_pd(0.5), _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
    const __mmask8 negative = _mm512_cmp_pd_mask(value, _mm512_setzero_pd(), _CMP_LT_OQ);
    high = _mm512_mask_sub_epi64(high, negative, zero, high);
    high = _mm512_mask_sub_epi64(high, negative & _mm512_test_epi64_mask(low, low), high, one);
    low = _mm512_mask_sub_epi64(low, negative, zero, low);

    int64_t* cells = reinterpret_cast<int64_t*>(totals + i);
    const __m512i first = _mm512_maskz_loadu_epi64(static_cast<__mmask8>(words), cells), second = _mm512_maskz_loadu_epi64(static_cast<__mmask8>(words >> 8), cells + 8);
    const __m512i before = _mm512_permutex2var_epi64(first, highs, second);
    const __m512i new_low = _mm512_add_epi64(_mm512_permutex2var_epi64(first, lows, second), low);
    const __mmask8 carry = _mm512_cmplt_epu64_mask(new_low, low);
    __m512i new_high = _mm512_add_epi64(before, high);
    new_high = _mm512_mask_add_epi64(new_high, carry, new_high, one);
    beyond |= _mm512_movepi64_mask(_mm512_and_si512(_mm512_xor_si512(before, new_high), _mm512_xor_si512(high, new_high)));
    _mm512_mask_storeu_epi64(cells, static_cast<__mmask8>(words), _mm512_permutex2var_epi64(new_low, front, new_high));
    _mm512_mask_storeu_epi64(cells + 8, static_cast<__mmask8>(words >> 8), _mm512_permutex2var_epi64(new_low, back, new_high));
  }
  return beyond == 0;
}
