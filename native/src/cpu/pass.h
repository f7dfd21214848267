// A forward pass: the arena of its results and the kernels of its instruction set.
#pragma once

#include "cpu/kernels.h"
#include "cpu/memory.h"

// The C border's opaque handle.
struct clipengine_cpu_pass {
  const clipengine::cpu::Kernels* kernels = nullptr;
  bool attention_in_bf16 = false;
  clipengine::cpu::Arena arena;
};

namespace clipengine::cpu {
using Pass = clipengine_cpu_pass;
}
