// Which instruction sets this processor has, and which table of kernels is used.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "clipengine_cpu.h"
#include "cpu/isa_names.h"
#include "cpu/kernels.h"

namespace clipengine::cpu {

// The set that computes fastest of those that processor, operating system and this build have.
int32_t best_isa();

// Why a set cannot run here; empty where it can.
std::string why_not(int32_t isa);

// Throws Error(UNSUPPORTED) with the reason where a set cannot run here.
void require_isa(int32_t isa);

// Every set that can run here, lowest first; the last is always the emulated one.
std::vector<int32_t> available_isas();

// What the environment variable CLIPENGINE_CPU names, or best_isa(). Throws Error(BAD_INPUT).
int32_t default_isa();

// Throws Error(UNSUPPORTED) where the processor lacks the set.
const Kernels& kernels_of(int32_t isa);

}  // namespace clipengine::cpu
