// Attention over the thread pool.
#pragma once

#include "clipengine_cpu.h"
#include "cpu/pass.h"

namespace clipengine::cpu {

// See clipengine_cpu_attend. A chunk is some heads, one after another.
void attend(Pass& pass, const clipengine_cpu_attention& call);

}  // namespace clipengine::cpu
