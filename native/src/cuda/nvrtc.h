// NVIDIA's run-time compiler, opened where it is installed.
#pragma once

#include <string>
#include <vector>

namespace clipengine::cuda {

struct KernelResources {
  std::string name;
  int registers = 0, spilled_bytes = 0, stack_bytes = 0, shared_bytes = 0;  // shared: static alone
};

struct CompiledKernels {
  std::string cubin;      // or PTX, where a virtual architecture was asked for
  std::string log;
  std::string version;    // of NVRTC
  std::vector<KernelResources> resources;
};

// Whether an NVRTC was found; `reason` gets what was looked for where not. CLIPENGINE_NVRTC names a library to use instead.
bool nvrtc_is_available(std::string& reason);

// Compiles the embedded kernels for "sm_90" (cubin) or "compute_80" (PTX).
// Throws Error: CLIPENGINE_UNSUPPORTED where there is no NVRTC, CLIPENGINE_INTERNAL with the compiler's log where it refuses.
CompiledKernels compile_kernels(const std::string& architecture);

}  // namespace clipengine::cuda
