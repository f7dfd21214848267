// The probe sweep on NEON with SDOT: products in 8 bits.
#include "cpu/sweep_plan.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)

#include <arm_neon.h>

namespace clipengine::sweep {
namespace neon_dot {
namespace {

#include "cpu/sweep_vector_neon.h"

#define CLIPENGINE_SWEEP_NARROW "cpu/sweep_products_neon.h"
#include "cpu/sweep_kernel.h"

constexpr Kernel kKernel{"neon_dot", kLanes, kPanelRows, kProductColumns, kColumnStep, kDotColumns, 16, &run_chunk, nullptr, {kPrecisions, PromptWords::kColumns, 1, kUnsignedRows, -1}};

}  // namespace
}  // namespace neon_dot

const Kernel* neon_dot_kernel() { return &neon_dot::kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::neon_dot_kernel() { return nullptr; }

#endif
