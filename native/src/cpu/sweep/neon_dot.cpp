// The probe sweep on NEON with SDOT: products in 8 bits.
#include "cpu/sweep/kernel.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)

#include <arm_neon.h>

namespace clipengine::sweep {
namespace {

#include "simd/vector_neon.h"
#include "simd/sweep_neon.h"
#define CLIPENGINE_SWEEP_NARROW "cpu/sweep/narrow_neon.h"
#include "cpu/sweep/chunk.h"

constexpr Kernel kKernel = kernel_named("neon_dot", {kPrecisions, PromptWords::kColumns, 1, kUnsignedRows});

}  // namespace

const Kernel* neon_dot_kernel() { return &kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::neon_dot_kernel() { return nullptr; }

#endif
