// The probe sweep on NEON with SMMLA and BFMMLA: products in 8 bits and in bf16.
#include "cpu/sweep/kernel.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_MATMUL_INT8)

#include <arm_neon.h>

namespace clipengine::sweep {
namespace {

#include "simd/vector_neon.h"
#include "simd/sweep_neon.h"
#define CLIPENGINE_SWEEP_NARROW "cpu/sweep/narrow_neon.h"
#include "cpu/sweep/chunk.h"

constexpr Kernel kKernel = kernel_named("neon_matrix", {kPrecisions, PromptWords::kPairs, 2, kUnsignedRows});

}  // namespace

const Kernel* neon_matrix_kernel() { return &kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::neon_matrix_kernel() { return nullptr; }

#endif
