// Named ranges of host time for profilers, by NVTX version 3's own protocol, without NVIDIA's headers: a tool (Nsight Systems,
// Nsight Compute, compute-sanitizer) names its library in NVTX_INJECTION64_PATH, and the library fills a table of functions that
// the program offers it. Without a tool a range costs one comparison.
// libnvToolsExt.so, which older programs link, does nothing but this; it is not looked for.
#pragma once

namespace clipengine::cuda {

// Whether a tool takes ranges.
bool ranges_are_recorded();

// Ranges nest, each thread's for itself. name: UTF-8.
void push_range(const char* name);
void pop_range();

class Range {
 public:
  explicit Range(const char* name) { push_range(name); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  ~Range() { pop_range(); }
};

}  // namespace clipengine::cuda
