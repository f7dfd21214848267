// The probe sweep on NEON with SMMLA and BFMMLA: products in 8 bits and in bf16.
#include "cpu/sweep_plan.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_MATMUL_INT8)

#include <arm_neon.h>

namespace clipengine::sweep {
namespace neon_matrix {
namespace {

#include "cpu/sweep_vector_neon.h"

#define CLIPENGINE_SWEEP_NARROW "cpu/sweep_products_neon.h"
#include "cpu/sweep_kernel.h"

constexpr Kernel kKernel{"neon_matrix", kLanes, kPanelRows, kProductColumns, kColumnStep, kDotColumns, 16, &run_chunk, nullptr, {kPrecisions, PromptWords::kPairs, 2, kUnsignedRows, -1}};

}  // namespace
}  // namespace neon_matrix

const Kernel* neon_matrix_kernel() { return &neon_matrix::kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::neon_matrix_kernel() { return nullptr; }

#endif
