// The kernels for AVX2 with FMA and F16C. Compiled with flags of its own: includes nothing that defines inline functions for others.
#include <immintrin.h>

#include "cpu/kernels.h"

namespace clipengine::cpu {
namespace {
constexpr int64_t kTileRows = 6;     // 6 rows x 2 vectors of sums, 2 of the panel and 1 of the row: 15 of 16 registers
constexpr int64_t kPanelVectors = 2;
constexpr int64_t kAhead = 32;       // words between reading a panel and asking for it
constexpr bool kBf16Pairs = false;
#include "simd/vector_avx2.h"

struct FloatDot {
  using Sum = __m256;
  using Left = __m256;
  using Right = __m256;
  static inline Sum zero() { return _mm256_setzero_ps(); }
  static inline Sum load(const uint32_t* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static inline void store(uint32_t* p, Sum v) { _mm256_storeu_ps(reinterpret_cast<float*>(p), v); }
  static inline Left left(const uint32_t* p) { return _mm256_broadcast_ss(reinterpret_cast<const float*>(p)); }
  static inline Right right(const uint32_t* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static inline Sum step(Left a, Right b, Sum c) { return _mm256_fmadd_ps(a, b, c); }
};
using PairDot = FloatDot;  // operands rounded to bf16, kept as floats

// Four unsigned bytes of a row times four signed bytes of a channel: even and odd bytes widened to 16 bits and multiplied in
// pairs; 255 * 127 * 2 fits 32 bits exactly. (VPMADDUBSW would saturate.)
struct ByteDot {
  struct Halves {
    __m256i even, odd;
  };
  using Sum = __m256i;
  using Left = Halves;
  using Right = Halves;
  static inline Sum zero() { return _mm256_setzero_si256(); }
  static inline Sum load(const uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static inline void store(uint32_t* p, Sum v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  static inline Left left(const uint32_t* p) {
    const __m256i a = _mm256_set1_epi32(static_cast<int>(*p));
    return {_mm256_and_si256(a, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(a, 8)};
  }
  static inline Right right(const uint32_t* p) {
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8), _mm256_srai_epi16(b, 8)};
  }
  static inline Sum step(Left a, Right b, Sum c) {
    return _mm256_add_epi32(c, _mm256_add_epi32(_mm256_madd_epi16(a.even, b.even), _mm256_madd_epi16(a.odd, b.odd)));
  }
};

#include "cpu/isa/math_body.h"
#include "cpu/isa/rows_body.h"
#include "cpu/isa/depthwise_body.h"
#include "cpu/isa/product_body.h"
#include "cpu/isa/attention_body.h"
}  // namespace
#define CLIPENGINE_TABLE kAvx2Kernels
#define CLIPENGINE_TABLE_NAME "avx2"
#include "cpu/isa/table_body.h"
}  // namespace clipengine::cpu
