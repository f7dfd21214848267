// Which kernel a probe sweep takes.
#pragma once

#include "cpu/sweep/kernel.h"

namespace clipengine::sweep {

// The kernel that this process uses: the best that the processor has, or what CLIPENGINE_CPU names; for a precision other than fp32
// one that also has that, where it is faster. Throws Error(BAD_INPUT).
const Kernel& best_kernel(int32_t precision = CLIPENGINE_SWEEP_IN_FLOAT32);

// The kernel, or null where the processor lacks its instructions.
const Kernel* usable(const Kernel* kernel);

}  // namespace clipengine::sweep
