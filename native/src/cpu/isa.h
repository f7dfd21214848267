// Which instruction sets this processor has, and which table of kernels is used.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "clipengine_cpu.h"
#include "cpu/kernels.h"

namespace clipengine::cpu {

// The best set that processor, operating system and this build have.
int32_t best_isa();

// Whether processor and operating system have a set.
bool processor_has(int32_t isa);

// Every set that can run here, lowest first.
std::vector<int32_t> available_isas();

// best_isa(), or what the environment variable CLIPENGINE_CPU names. Throws Error(BAD_INPUT).
int32_t default_isa();

// Throws Error(UNSUPPORTED) where the processor lacks the set.
const Kernels& kernels_of(int32_t isa);

}  // namespace clipengine::cpu
