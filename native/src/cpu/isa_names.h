// Instruction sets by name, and which of them this processor has: what the image library shares with this one.
#pragma once

#include <cstdint>
#include <string>

#include "clipengine_cpu.h"

namespace clipengine::cpu {

// Whether processor and operating system have a set; of tile registers nothing is said here (amx/support.h).
bool processor_has(int32_t isa);

// Throws Error(BAD_INPUT) where the name is none; from: who named it.
int32_t isa_of_name(const std::string& name, const std::string& from);

// Throws Error(BAD_INPUT) for a set that cannot run. best: the one that can.
[[noreturn]] void throw_missing(int32_t isa, const std::string& from, const std::string& reason, int32_t best);

// What the environment variable CLIPENGINE_CPU holds, or null where there is none.
const char* isa_of_environment();

// The set whose vectors a set computes with beside its tile registers: what has no products in bf16 or int8 chooses by it.
int32_t vector_isa_of(int32_t isa);

// The best set of vectors that the processor has, or what CLIPENGINE_CPU names. Throws Error(BAD_INPUT).
int32_t default_vector_isa();

}  // namespace clipengine::cpu
