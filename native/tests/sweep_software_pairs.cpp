// The probe sweep's kernel in fewer bits with VDPBF16PS in software, for processors without it.
#include <immintrin.h>

#include "cpu/sweep/kernel.h"

namespace clipengine::sweep {
namespace {

#include "simd/vector_avx512.h"
#include "simd/sweep_avx512.h"

inline __m512 flushed(__m512 v) {
  const __m512i sign = _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(INT32_MIN));
  return _mm512_mask_mov_ps(v, _mm512_fpclass_ps_mask(v, 0x20), _mm512_castsi512_ps(sign));  // 0x20: denormals
}

// As cpu_bf16_pairs_kernels.cpp has it.
inline __m512 dot_pairs(__m512 sum, __m512i a, __m512i b) {
  const auto upper = [](__m512i v) { return flushed(_mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))); };
  const auto lower = [](__m512i v) { return flushed(_mm512_castsi512_ps(_mm512_slli_epi32(v, 16))); };
  sum = flushed(_mm512_fmadd_ps(upper(a), upper(b), flushed(sum)));
  return flushed(_mm512_fmadd_ps(lower(a), lower(b), sum));
}

#define CLIPENGINE_SWEEP_NARROW "cpu/sweep/narrow_avx512.h"
#include "cpu/sweep/chunk.h"

}  // namespace

extern const Kernel kSoftwarePairs;
const Kernel kSoftwarePairs = kernel_named("avx512", {kPrecisions, PromptWords::kColumns, 1, kUnsignedRows, sums_as_fp32});

}  // namespace clipengine::sweep
