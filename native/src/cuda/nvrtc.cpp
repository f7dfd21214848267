#include "cuda/nvrtc.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "core/status.h"
#include "cuda/kernel_sources.h"

namespace clipengine::cuda {
namespace {

using Program = struct ProgramTag*;

struct Nvrtc {
  int (*version)(int*, int*) = nullptr;
  int (*create)(Program*, const char*, const char*, int, const char* const*, const char* const*) = nullptr;
  int (*compile)(Program, int, const char* const*) = nullptr;
  int (*log_size)(Program, size_t*) = nullptr;
  int (*log)(Program, char*) = nullptr;
  int (*cubin_size)(Program, size_t*) = nullptr;
  int (*cubin)(Program, char*) = nullptr;
  int (*ptx_size)(Program, size_t*) = nullptr;
  int (*ptx)(Program, char*) = nullptr;
  int (*destroy)(Program*) = nullptr;
};

// Opens the first library of the list that has everything. libnvrtc finds its builtins only beside itself or on the
// loader's path, so they are opened first, by the same folder.
bool open_nvrtc(Nvrtc& nvrtc, std::string& reason) {
  std::vector<std::string> names;
  if (const char* chosen = std::getenv("CLIPENGINE_NVRTC"); chosen != nullptr && *chosen != '\0')
    names = {chosen};
  else
    names = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so"};
  for (const std::string& name : names) {
    if (const size_t slash = name.rfind('/'); slash != std::string::npos) {
      for (const char* builtins : {"libnvrtc-builtins.so.13.0", "libnvrtc-builtins.so.12.4", "libnvrtc-builtins.so.11.8", "libnvrtc-builtins.so"})
        dlopen((name.substr(0, slash + 1) + builtins).c_str(), RTLD_NOW | RTLD_GLOBAL);
    }
    void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    bool is_complete = true;
    const auto resolve = [&](auto& function, const char* symbol) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, symbol));
      is_complete = is_complete && function != nullptr;
    };
    resolve(nvrtc.version, "nvrtcVersion");
    resolve(nvrtc.create, "nvrtcCreateProgram");
    resolve(nvrtc.compile, "nvrtcCompileProgram");
    resolve(nvrtc.log_size, "nvrtcGetProgramLogSize");
    resolve(nvrtc.log, "nvrtcGetProgramLog");
    resolve(nvrtc.cubin_size, "nvrtcGetCUBINSize");
    resolve(nvrtc.cubin, "nvrtcGetCUBIN");
    resolve(nvrtc.ptx_size, "nvrtcGetPTXSize");
    resolve(nvrtc.ptx, "nvrtcGetPTX");
    resolve(nvrtc.destroy, "nvrtcDestroyProgram");
    if (is_complete) return true;
  }
  reason = "NVRTC was not found; looked for";
  for (const std::string& name : names) reason += " " + name;
  return false;
}

int number_before(const std::string& line, const char* text) {
  const size_t at = line.find(text);
  if (at == std::string::npos) return 0;
  size_t start = at;
  while (start > 0 && line[start - 1] >= '0' && line[start - 1] <= '9') --start;
  return start == at ? 0 : std::atoi(line.c_str() + start);
}

// ptxas -v: "Compiling entry function 'NAME'", then "N bytes stack frame, N bytes spill stores, ...", then "Used N registers".
std::vector<KernelResources> parse_resources(const std::string& log) {
  std::vector<KernelResources> kernels;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    if (const size_t at = line.find("entry function '"); at != std::string::npos) {
      const size_t start = at + 16;
      kernels.push_back({line.substr(start, line.find('\'', start) - start)});
    } else if (!kernels.empty() && line.find("spill stores") != std::string::npos) {
      kernels.back().stack_bytes = number_before(line, " bytes stack frame");
      kernels.back().spilled_bytes = number_before(line, " bytes spill stores");
    } else if (!kernels.empty() && line.find("Used ") != std::string::npos) {
      kernels.back().registers = number_before(line, " registers");
      kernels.back().shared_bytes = number_before(line, " bytes smem");
    }
  }
  return kernels;
}

}  // namespace

bool nvrtc_is_available(std::string& reason) {
  Nvrtc nvrtc;
  return open_nvrtc(nvrtc, reason);
}

CompiledKernels compile_kernels(const std::string& architecture) {
  Nvrtc nvrtc;
  std::string reason;
  if (!open_nvrtc(nvrtc, reason)) throw Error(CLIPENGINE_UNSUPPORTED, reason);
  std::vector<const char*> names, texts;
  std::string program_text;
  for (const KernelSource& source : kernel_sources()) {
    names.push_back(source.name);
    texts.push_back(source.text);
    if (std::string(source.name).ends_with(".cu")) program_text += "#include \"" + std::string(source.name) + "\"\n";
  }
  Program program = nullptr;
  if (nvrtc.create(&program, program_text.c_str(), "clipengine_kernels.cu", static_cast<int>(names.size()), texts.data(), names.data()) != 0)
    throw Error(CLIPENGINE_INTERNAL, "NVRTC does not take the kernels");
  const bool is_virtual = architecture.starts_with("compute_");
  const std::string target = "--gpu-architecture=" + architecture;
  const char* options[] = {target.c_str(), "--std=c++17", "-default-device", "--ptxas-options=-v"};
  const int status = nvrtc.compile(program, is_virtual ? 3 : 4, options);

  CompiledKernels result;
  size_t size = 0;
  nvrtc.log_size(program, &size);
  result.log.resize(size);
  nvrtc.log(program, result.log.data());
  while (!result.log.empty() && result.log.back() == '\0') result.log.pop_back();
  if (status != 0) {
    nvrtc.destroy(&program);
    throw Error(CLIPENGINE_INTERNAL, "NVRTC refuses the kernels for " + architecture + ": " + result.log.substr(0, 600));
  }
  (is_virtual ? nvrtc.ptx_size : nvrtc.cubin_size)(program, &size);
  result.cubin.resize(size);
  (is_virtual ? nvrtc.ptx : nvrtc.cubin)(program, result.cubin.data());
  nvrtc.destroy(&program);
  int major = 0, minor = 0;
  nvrtc.version(&major, &minor);
  result.version = std::to_string(major) + "." + std::to_string(minor);
  result.resources = parse_resources(result.log);
  return result;
}

}  // namespace clipengine::cuda
