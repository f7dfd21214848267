// The probe sweep in the compiler's own 128-bit vectors: SSE2 or NEON, whatever every processor of the family has.
#include "core/half.h"
#include "cpu/sweep/kernel.h"

namespace clipengine::sweep {
namespace {

#include "simd/vector_portable.h"
#include "simd/sweep_portable.h"
#include "cpu/sweep/chunk.h"

constexpr Kernel kKernel = kernel_named("portable");

}  // namespace

const Kernel* portable_kernel() { return &kKernel; }

}  // namespace clipengine::sweep
