// Whether this process may use AMX, Intel's tile registers.
#pragma once

#include <string>

namespace clipengine::cpu {

struct AmxSupport {
  bool usable;
  std::string reason;  // why not, as a clause
};

// Looks once, and asks the system for the permission that a process needs (Linux keeps the tiles' 8 KiB for those that asked).
const AmxSupport& amx_support();

}  // namespace clipengine::cpu
