// The probe sweep on AVX-512 F, BW, DQ and VL.
#include "cpu/sweep_plan.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include <immintrin.h>

namespace clipengine::sweep {
namespace avx512 {
namespace {

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

constexpr Kernel kKernel{"avx512", kLanes, kPanelRows, kProductColumns, kColumnStep, kDotColumns, 16, &run_chunk};

}  // namespace
}  // namespace avx512

const Kernel* avx512_kernel() { return &avx512::kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::avx512_kernel() { return nullptr; }

#endif
