// The probe sweep on AVX-512 with VNNI: products in fewer bits than fp32, and VDPBF16PS where the processor has it.
#include "cpu/sweep_plan.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)

#include <immintrin.h>

namespace clipengine::sweep {
namespace avx512_narrow {
namespace {

#include "cpu/sweep_vector_avx512.h"

inline __m512 dot_pairs(__m512 sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

#define CLIPENGINE_SWEEP_NARROW
#include "cpu/sweep_kernel.h"

constexpr uint32_t kPrecisions = 1u << CLIPENGINE_SWEEP_IN_BFLOAT16 | 1u << CLIPENGINE_SWEEP_IN_INT16 | 1u << CLIPENGINE_SWEEP_IN_INT8;
constexpr Kernel kKernel{"avx512", kLanes, kPanelRows, kProductColumns, kColumnStep, kDotColumns, 16, &run_chunk, &add_to_totals, kPrecisions};

}  // namespace
}  // namespace avx512_narrow

const Kernel* avx512_narrow_kernel() { return &avx512_narrow::kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::avx512_narrow_kernel() { return nullptr; }

#endif
