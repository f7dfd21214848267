// The prompts of a probe sweep in fewer bits than fp32.
#pragma once

#include "cpu/sweep/handle.h"

namespace clipengine::sweep {

// Whether fewer bits are of use, and what a bound is made of stays in range.
bool can_narrow(const clipengine_sweep_plan& source, const Kernel& kernel, const Plan& plan);

// Prompts in fewer bits, and the norms of what that took from them. pack_prompts has left them in sweep.packed, row after row.
void narrow_prompts(clipengine_sweep& sweep);

}  // namespace clipengine::sweep
