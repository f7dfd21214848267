// The kernels' text, embedded at build time.
#pragma once

#include <string>
#include <vector>

namespace clipengine::cuda {

struct KernelSource {
  const char* name;  // as #include names it
  const char* text;
};

// Headers and kernels in the order in which the program includes them.
const std::vector<KernelSource>& kernel_sources();

// A hash (FNV-1a, 64 bits, hexadecimal) over all names and texts: the key of anything that was compiled from them.
std::string kernel_sources_hash();

}  // namespace clipengine::cuda
