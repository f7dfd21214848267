// The probe sweep on NEON.
#include "cpu/sweep/kernel.h"

#if defined(__aarch64__)

#include <arm_neon.h>

namespace clipengine::sweep {
namespace {

#include "simd/vector_neon.h"
#include "simd/sweep_neon.h"
#include "cpu/sweep/chunk.h"

constexpr Kernel kKernel = kernel_named("neon");

}  // namespace

const Kernel* neon_kernel() { return &kKernel; }

}  // namespace clipengine::sweep

#else

const clipengine::sweep::Kernel* clipengine::sweep::neon_kernel() { return nullptr; }

#endif
