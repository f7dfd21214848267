// The probe sweep on AVX2 with FMA and F16C.
#include "cpu/sweep_plan.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

namespace clipengine::sweep {
namespace avx2 {
namespace {

constexpr int kLanes = 8;
constexpr int kColumnStep = 2;
constexpr int kSteps = 3;  // 6 columns by 2 vectors: 12 sums, 2 rows and a prompt in 16 registers
constexpr int kDotColumns = 4;

struct Vec { __m256 v; };
struct DoubleVec { __m256d low, high; };
struct Magnitude { __m256i v; };
struct Mask { __m256 v; };

inline Vec load(const float* p) { return {_mm256_load_ps(p)}; }
inline void store(float* p, Vec x) { _mm256_store_ps(p, x.v); }
inline void store_unaligned(float* p, Vec x) { _mm256_storeu_ps(p, x.v); }
inline Vec set(float x) { return {_mm256_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Mask greater(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
inline Vec select(Mask m, Vec yes, Vec no) { return {_mm256_blendv_ps(no.v, yes.v, m.v)}; }
inline unsigned bits(Mask m) { return static_cast<unsigned>(_mm256_movemask_ps(m.v)); }
inline Vec fraction(Vec x) { return {_mm256_sub_ps(x.v, _mm256_floor_ps(x.v))}; }
inline Vec times_power(Vec y, Vec x) {
  const Vec floor = set(-126.0f);
  const __m256i whole = _mm256_cvtps_epi32(_mm256_floor_ps(max(x, floor).v));
  const __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(whole, _mm256_set1_epi32(127)), 23));
  return select(greater(floor, x), set(0.0f), {_mm256_mul_ps(y.v, power)});
}

inline Magnitude no_magnitude() { return {_mm256_setzero_si256()}; }
inline Magnitude larger(Magnitude m, Vec x) {
  return {_mm256_max_epu32(m.v, _mm256_and_si256(_mm256_castps_si256(x.v), _mm256_set1_epi32(0x7FFFFFFF)))};
}
inline Vec as_vec(Magnitude m) { return {_mm256_castsi256_ps(m.v)}; }

inline DoubleVec zero_doubles() { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }
inline DoubleVec to_doubles(const float* p) { return {_mm256_cvtps_pd(_mm_load_ps(p)), _mm256_cvtps_pd(_mm_load_ps(p + 4))}; }
inline DoubleVec load_doubles(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
inline void store_doubles(double* p, DoubleVec x) {
  _mm256_storeu_pd(p, x.low);
  _mm256_storeu_pd(p + 4, x.high);
}
inline DoubleVec operator+(DoubleVec a, DoubleVec b) { return {_mm256_add_pd(a.low, b.low), _mm256_add_pd(a.high, b.high)}; }
inline DoubleVec fma(DoubleVec a, DoubleVec b, DoubleVec c) {
  return {_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}
inline double sum_of(DoubleVec x) {
  const __m256d four = _mm256_add_pd(x.low, x.high);
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

template <int kType>
inline Vec load_features(const uint8_t* p) {
  if constexpr (kType == CLIPENGINE_SWEEP_FLOAT32) {
    return {_mm256_loadu_ps(reinterpret_cast<const float*>(p))};
  } else if constexpr (kType == CLIPENGINE_SWEEP_FLOAT16) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  } else if constexpr (kType == CLIPENGINE_SWEEP_BFLOAT16) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16))};
  } else {
    const __m128 low = _mm256_cvtpd_ps(_mm256_loadu_pd(reinterpret_cast<const double*>(p)));
    const __m128 high = _mm256_cvtpd_ps(_mm256_loadu_pd(reinterpret_cast<const double*>(p + 32)));
    return {_mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1)};
  }
}

inline void transpose(Vec (&r)[8]) {
  __m256 t[8];
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    const __m256 a = _mm256_unpacklo_ps(r[i].v, r[i + 1].v), b = _mm256_unpackhi_ps(r[i].v, r[i + 1].v);
    const __m256 c = _mm256_unpacklo_ps(r[i + 2].v, r[i + 3].v), d = _mm256_unpackhi_ps(r[i + 2].v, r[i + 3].v);
    t[i] = _mm256_shuffle_ps(a, c, 0x44);
    t[i + 1] = _mm256_shuffle_ps(a, c, 0xEE);
    t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
    t[i + 3] = _mm256_shuffle_ps(b, d, 0xEE);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i].v = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
    r[i + 4].v = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
  }
}

// At each step two vectors become one whose elements are sums of two.
inline Vec sum_of_each(const Vec (&r)[8]) {
  __m256 four[4], two[2];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) four[i] = _mm256_add_ps(_mm256_unpacklo_ps(r[2 * i].v, r[2 * i + 1].v), _mm256_unpackhi_ps(r[2 * i].v, r[2 * i + 1].v));
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) two[i] = _mm256_add_ps(_mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0x44), _mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0xEE));
  return {_mm256_add_ps(_mm256_permute2f128_ps(two[0], two[1], 0x20), _mm256_permute2f128_ps(two[0], two[1], 0x31))};
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

#include "cpu/sweep_kernel.h"

constexpr Kernel kKernel{"avx2", kLanes, kPanelRows, kProductColumns, kColumnStep, kDotColumns, 16, &run_chunk, nullptr, {}};

}  // namespace
}  // namespace avx2

const Kernel* avx2_kernel() { return &avx2::kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::avx2_kernel() { return nullptr; }

#endif
