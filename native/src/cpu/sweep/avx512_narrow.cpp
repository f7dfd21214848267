// The probe sweep on AVX-512 with VNNI: products in fewer bits than fp32, VDPBF16PS where the processor has it, and tile registers.
#include "clipengine_cpu.h"
#include "cpu/sweep/kernel.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)

#include <immintrin.h>

namespace clipengine::sweep {
namespace {

#include "simd/vector_avx512.h"
#include "simd/sweep_avx512.h"

static inline __m512 dot_pairs(__m512 sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

#define CLIPENGINE_SWEEP_NARROW "cpu/sweep/narrow_avx512.h"
#include "cpu/sweep/chunk.h"

constexpr Kernel kKernel = kernel_named("avx512", {kPrecisions, PromptWords::kColumns, 1, kUnsignedRows, sums_as_fp32});
// Products on tile registers; all else as above. Whole tiles of 16 prompts by 16 words.
constexpr uint32_t kOnTiles = 1u << CLIPENGINE_SWEEP_IN_BFLOAT16 | 1u << CLIPENGINE_SWEEP_IN_INT8;
constexpr Kernel kAmx = kernel_named("amx", {kOnTiles, PromptWords::kRows, 16, kUnsignedRows, nullptr, CLIPENGINE_CPU_AMX}, 16);
constexpr Kernel kAmxEmulated = kernel_named("amx_emulated", {kOnTiles, PromptWords::kRows, 16, kUnsignedRows, nullptr, CLIPENGINE_CPU_AMX_EMULATED}, 16);

}  // namespace

const Kernel* avx512_narrow_kernel() { return &kKernel; }
const Kernel* amx_kernel() { return &kAmx; }
const Kernel* amx_emulated_kernel() { return &kAmxEmulated; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::avx512_narrow_kernel() { return nullptr; }
const clipengine::sweep::Kernel* clipengine::sweep::amx_kernel() { return nullptr; }
const clipengine::sweep::Kernel* clipengine::sweep::amx_emulated_kernel() { return nullptr; }

#endif
