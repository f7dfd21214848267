// clipengine_cuda_compile [FOLDER] ARCHITECTURE...: compiles every kernel for each architecture ("sm_90" gives a cubin,
// "compute_80" PTX), prints what each kernel takes, and writes the result into FOLDER where one is given ("-" for none).
// Exit code: 0 done, 1 a kernel does not assemble or spills registers, 77 no NVRTC here (CTest takes that for skipped).
#include <cstdio>
#include <cstring>
#include <fstream>

#include "core/status.h"
#include "cuda/kernel_sources.h"
#include "cuda/nvrtc.h"

int main(int count, char** arguments) {
  using namespace clipengine::cuda;
  if (count < 3) {
    std::fprintf(stderr, "usage: clipengine_cuda_compile FOLDER|- ARCHITECTURE...\n");
    return 2;
  }
  std::string reason;
  if (!nvrtc_is_available(reason)) {
    std::printf("SKIPPED: %s\n", reason.c_str());
    return 77;
  }
  int failures = 0;
  for (int i = 2; i < count; ++i) {
    const std::string architecture = arguments[i];
    try {
      const CompiledKernels compiled = compile_kernels(architecture);
      int most_registers = 0;
      for (const KernelResources& kernel : compiled.resources) {
        most_registers = kernel.registers > most_registers ? kernel.registers : most_registers;
        if (kernel.spilled_bytes == 0 && kernel.stack_bytes == 0) continue;
        std::printf("FAIL %s %s: %d bytes spilled, %d bytes of stack\n", architecture.c_str(), kernel.name.c_str(), kernel.spilled_bytes, kernel.stack_bytes);
        ++failures;
      }
      std::printf("%s: NVRTC %s, %zu kernels, at most %d registers, %zu bytes\n", architecture.c_str(), compiled.version.c_str(), compiled.resources.size(), most_registers, compiled.cubin.size());
      if (std::strcmp(arguments[1], "-") != 0) {
        const bool is_virtual = architecture.starts_with("compute_");
        std::ofstream file(std::string(arguments[1]) + "/clipengine-" + kernel_sources_hash() + "." + architecture + (is_virtual ? ".ptx" : ".cubin"), std::ios::binary);
        file << compiled.cubin;
        file.close();
        if (!file) {
          std::printf("FAIL %s: could not be written into %s\n", architecture.c_str(), arguments[1]);
          ++failures;
        }
      }
    } catch (const clipengine::Error& error) {
      std::printf("FAIL %s: %s\n", architecture.c_str(), error.what());
      ++failures;
    }
  }
  return failures == 0 ? 0 : 1;
}
