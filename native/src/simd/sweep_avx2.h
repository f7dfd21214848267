// What only the probe sweep needs of AVX2 with FMA and F16C, on vector_avx2.h. Included behind it; sweep_body.h says what is what.

constexpr int kColumnStep = 2;
constexpr int kSteps = 3;  // 6 columns by 2 vectors: 12 sums, 2 rows and a prompt in 16 registers
constexpr int kDotColumns = 4;

static inline Vector fraction(Vector x) { return subtract(x, _mm256_floor_ps(x)); }
static inline Vector times_power(Vector y, Vector x) {
  const Vector lowest = spread(-126.0f);
  const __m256i whole = _mm256_cvtps_epi32(_mm256_floor_ps(maximum(x, lowest)));
  const Vector power = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(whole, _mm256_set1_epi32(127)), 23));
  return select(greater(lowest, x), spread(0.0f), multiply(y, power));
}
static inline Vector narrow_doubles(const uint8_t* p) {
  const __m128 low = _mm256_cvtpd_ps(_mm256_loadu_pd(reinterpret_cast<const double*>(p)));
  const __m128 high = _mm256_cvtpd_ps(_mm256_loadu_pd(reinterpret_cast<const double*>(p + 32)));
  return _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
}

struct DoubleVector { __m256d low, high; };
static inline DoubleVector to_doubles(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))}; }
static inline DoubleVector multiply_add(DoubleVector a, DoubleVector b, DoubleVector c) { return {_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)}; }
static inline double sum_of(DoubleVector x) {
  const __m256d four = _mm256_add_pd(x.low, x.high);
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

// At each step two vectors become one whose elements are sums of two.
static inline Vector sum_of_each(const Vector (&r)[8]) {
  __m256 four[4], two[2];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) four[i] = _mm256_add_ps(_mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]), _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]));
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) two[i] = _mm256_add_ps(_mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0x44), _mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0xee));
  return _mm256_add_ps(_mm256_permute2f128_ps(two[0], two[1], 0x20), _mm256_permute2f128_ps(two[0], two[1], 0x31));
}

constexpr AddToTotals kAddToTotals = nullptr;

#include "simd/flush_denormals.h"
#include "simd/sweep_body.h"
