// The probe sweep on AVX-512 with VNNI: products in fewer bits than fp32, VDPBF16PS where the processor has it, and tile registers.
#include "clipengine_cpu.h"
#include "cpu/sweep_plan.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)

#include <immintrin.h>

namespace clipengine::sweep {
namespace avx512_narrow {
namespace {

#include "cpu/sweep_vector_avx512.h"

inline __m512 dot_pairs(__m512 sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

#define CLIPENGINE_SWEEP_NARROW "cpu/sweep_products_avx512.h"
#include "cpu/sweep_kernel.h"

constexpr Kernel kKernel{"avx512", kLanes, kPanelRows, kProductColumns, kColumnStep, kDotColumns, 16, &run_chunk, &add_to_totals, {kPrecisions, PromptWords::kColumns, 1, kUnsignedRows, -1}};
// Products on tile registers; all else as above. Whole tiles of 16 prompts by 16 words.
constexpr uint32_t kOnTiles = 1u << CLIPENGINE_SWEEP_IN_BFLOAT16 | 1u << CLIPENGINE_SWEEP_IN_INT8;
constexpr Kernel kAmx{"amx", kLanes, kPanelRows, kProductColumns, 16, kDotColumns, 16, &run_chunk, &add_to_totals, {kOnTiles, PromptWords::kRows, 16, kUnsignedRows, CLIPENGINE_CPU_AMX}};
constexpr Kernel kAmxEmulated{"amx_emulated", kLanes, kPanelRows, kProductColumns, 16, kDotColumns, 16, &run_chunk, &add_to_totals, {kOnTiles, PromptWords::kRows, 16, kUnsignedRows, CLIPENGINE_CPU_AMX_EMULATED}};

}  // namespace
}  // namespace avx512_narrow

const Kernel* avx512_narrow_kernel() { return &avx512_narrow::kKernel; }
const Kernel* amx_kernel() { return &avx512_narrow::kAmx; }
const Kernel* amx_emulated_kernel() { return &avx512_narrow::kAmxEmulated; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::avx512_narrow_kernel() { return nullptr; }
const clipengine::sweep::Kernel* clipengine::sweep::amx_kernel() { return nullptr; }
const clipengine::sweep::Kernel* clipengine::sweep::amx_emulated_kernel() { return nullptr; }

#endif
