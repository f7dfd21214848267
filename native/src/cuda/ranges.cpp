#include "cuda/ranges.h"

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

// The protocol, after the documentation and behaviour of NVTX 3 (github.com/NVIDIA/NVTX, c/include/nvtx3/nvtxDetail): the tool's
// InitializeInjectionNvtx2 gets a function that returns tables by number; table 1 holds a function that returns, for a module, an
// array of pointers to slots, into which the tool writes its functions; table 3 says which version speaks.
namespace clipengine::cuda {
namespace {

using Slot = void (*)();

constexpr uint32_t kCallbacksTable = 1, kVersionTable = 3, kVersion = 3;
// Modules from 1 on: core, CUDA, OpenCL, CUDA runtime, core 2 (domains), synchronisation. A tool expects each to have its size.
constexpr unsigned kModules = 6, kMostSlots = 16, kSlots[kModules] = {16, 9, 15, 7, 16, 7};
constexpr unsigned kCore = 0, kRangePushA = 9, kRangePop = 11;

Slot slots[kModules][kMostSlots];
Slot* places[kModules][kMostSlots];

int module_functions(uint32_t module, Slot*** table, unsigned* size) {
  if (module < 1 || module > kModules) return 0;
  if (table != nullptr) *table = places[module - 1];
  if (size != nullptr) *size = kSlots[module - 1];
  return 1;
}

struct CallbacksTable {
  size_t size;
  int (*module_functions)(uint32_t, Slot***, unsigned*);
};
struct VersionTable {
  size_t size;
  uint32_t version, reserved;
  void (*set_tool_version)(uint32_t);
};

const void* export_table(uint32_t number) {
  static const CallbacksTable callbacks = {sizeof callbacks, module_functions};
  static const VersionTable version = {sizeof version, kVersion, 0, [](uint32_t) {}};
  if (number == kCallbacksTable) return &callbacks;
  if (number == kVersionTable) return &version;
  return nullptr;
}

struct Tool {
  int (*push)(const char*) = nullptr;
  int (*pop)() = nullptr;
};

Tool find_tool() {
  Tool tool;
  const char* path = std::getenv("NVTX_INJECTION64_PATH");
  void* library = path == nullptr || *path == '\0' ? nullptr : dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return tool;
  using Initialize = int (*)(const void* (*)(uint32_t));
  const auto initialize = reinterpret_cast<Initialize>(dlsym(library, "InitializeInjectionNvtx2"));
  for (unsigned module = 0; module < kModules; ++module)
    for (unsigned i = 0; i < kSlots[module]; ++i) places[module][i] = &slots[module][i];
  if (initialize == nullptr || initialize(export_table) == 0) {
    dlclose(library);
    return tool;
  }
  // A tool that records only one end of a range would never see the other.
  if (slots[kCore][kRangePushA] != nullptr && slots[kCore][kRangePop] != nullptr) {
    tool.push = reinterpret_cast<int (*)(const char*)>(slots[kCore][kRangePushA]);
    tool.pop = reinterpret_cast<int (*)()>(slots[kCore][kRangePop]);
  }
  return tool;
}

const Tool& tool() {
  static const Tool found = find_tool();
  return found;
}

}  // namespace

bool ranges_are_recorded() { return tool().push != nullptr; }

void push_range(const char* name) {
  if (tool().push != nullptr) tool().push(name);
}

void pop_range() {
  if (tool().pop != nullptr) tool().pop();
}

}  // namespace clipengine::cuda
