// The kernels of kernels_avx512_bf16.cpp with VDPBF16PS in software, so that all around the instruction runs on machines without it.
#include <immintrin.h>

#include "cpu/kernels.h"

namespace clipengine::cpu {
namespace {
constexpr int64_t kTileRows = 14;
constexpr int64_t kPanelVectors = 2;
constexpr int64_t kAhead = 24;

inline __m512 flushed(__m512 v) {
  const __m512i sign = _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(INT32_MIN));
  return _mm512_mask_mov_ps(v, _mm512_fpclass_ps_mask(v, 0x20), _mm512_castsi512_ps(sign));  // 0x20: denormals
}

// Intel's SDM: denormal operands count as zeros, the upper pair is added before the lower, each by a fused step that rounds to nearest
// even, and a denormal result is zero.
#define CLIPENGINE_BF16_PAIRS
inline __m512 dot_pairs(__m512 sum, __m512i a, __m512i b) {
  const auto upper = [](__m512i v) { return flushed(_mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))); };
  const auto lower = [](__m512i v) { return flushed(_mm512_castsi512_ps(_mm512_slli_epi32(v, 16))); };
  constexpr int kRounding = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  sum = flushed(_mm512_fmadd_round_ps(upper(a), upper(b), flushed(sum), kRounding));
  return flushed(_mm512_fmadd_round_ps(lower(a), lower(b), sum, kRounding));
}

#include "simd/vector_avx512.h"
#include "cpu/isa/dots_avx512.h"
#include "cpu/isa/math_body.h"
#include "cpu/isa/rows_body.h"
#include "cpu/isa/depthwise_body.h"
#include "cpu/isa/product_body.h"
#include "cpu/isa/attention_body.h"
#include "cpu/isa/attention_pairs_body.h"
}  // namespace
#define CLIPENGINE_TABLE kBf16PairsInSoftware
#define CLIPENGINE_TABLE_NAME "avx512_bf16 in software"
#include "cpu/isa/table_body.h"
}  // namespace clipengine::cpu
