// The probe sweep on NEON.
#include "cpu/sweep_plan.h"

#if defined(__aarch64__)

#include <arm_neon.h>

namespace clipengine::sweep {
namespace neon {
namespace {

#include "cpu/sweep_vector_neon.h"

#include "cpu/sweep_kernel.h"

constexpr Kernel kKernel{"neon", kLanes, kPanelRows, kProductColumns, kColumnStep, kDotColumns, 16, &run_chunk, nullptr, {}};

}  // namespace
}  // namespace neon

const Kernel* neon_kernel() { return &neon::kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::neon_kernel() { return nullptr; }

#endif
