// What only the probe sweep needs of AVX-512 F, BW, DQ and VL, on vector_avx512.h. Included behind it; sweep_body.h says what is what.

constexpr int kColumnStep = 4;
constexpr int kSteps = 3;  // 12 columns by 2 vectors: 24 sums, 2 rows and a prompt in 32 registers
constexpr int kDotColumns = 8;

static inline Vector fraction(Vector x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
static inline Vector times_power(Vector y, Vector x) { return times_power_of_two(y, x); }  // rounds down; denormals are flushed: 0 below -126
static inline Vector narrow_doubles(const uint8_t* p) {
  const __m256 low = _mm512_cvtpd_ps(_mm512_loadu_pd(p)), high = _mm512_cvtpd_ps(_mm512_loadu_pd(p + 64));
  return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

struct DoubleVector { __m512d low, high; };
static inline DoubleVector to_doubles(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p)), _mm512_cvtps_pd(_mm256_loadu_ps(p + 8))}; }
static inline DoubleVector multiply_add(DoubleVector a, DoubleVector b, DoubleVector c) { return {_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)}; }
static inline double sum_of(DoubleVector x) { return _mm512_reduce_add_pd(_mm512_add_pd(x.low, x.high)); }

// At each step two vectors become one whose elements are sums of two.
static inline Vector sum_of_each(const Vector (&r)[16]) {
  __m512 eight[8], four[4], two[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) eight[i] = _mm512_add_ps(_mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]), _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]));
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) four[i] = _mm512_add_ps(_mm512_shuffle_ps(eight[2 * i], eight[2 * i + 1], 0x44), _mm512_shuffle_ps(eight[2 * i], eight[2 * i + 1], 0xee));
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) two[i] = _mm512_add_ps(_mm512_shuffle_f32x4(four[2 * i], four[2 * i + 1], 0x88), _mm512_shuffle_f32x4(four[2 * i], four[2 * i + 1], 0xdd));
  return _mm512_add_ps(_mm512_shuffle_f32x4(two[0], two[1], 0x88), _mm512_shuffle_f32x4(two[0], two[1], 0xdd));
}

// What products in fewer bits need besides.

static inline Vector square_root(Vector x) { return _mm512_sqrt_ps(x); }
static inline Words nearest_integers(Vector x) { return reinterpret_cast<Words>(_mm512_cvt_roundps_epi32(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)); }
static inline Vector from_integers(Words x) { return _mm512_cvtepi32_ps(reinterpret_cast<__m512i>(x)); }
// Which of the two vectors of a panel's rows, and which lane of it, each lane takes.
using Lanes = __m512i;
static inline Lanes load_lanes(const int32_t* p) { return _mm512_loadu_si512(p); }
static inline Vector pick(const float* rows, Lanes lanes) { return _mm512_permutex2var_ps(load(rows), lanes, load(rows + kWidth)); }
static inline void store_where(float* p, unsigned lanes, Vector x) { _mm512_mask_storeu_ps(p, static_cast<__mmask16>(lanes), x); }

// Eight totals at a time.
static bool add_to_totals(clipengine_sweep_total* totals, const double* values, int64_t count) {
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
constexpr AddToTotals kAddToTotals = &add_to_totals;

#include "simd/flush_denormals.h"
#include "simd/sweep_body.h"
