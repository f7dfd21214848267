// A tool as NVTX 3 loads one: it takes ranges and keeps them as text, "+name" and "-". The declarations are ours, after the
// protocol that ranges.cpp describes. CLIPENGINE_FAKE_TOOL=refuse makes it decline.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using Function = void (*)();

std::string& events() {
  static std::string all;
  return all;
}

int push(const char* name) {
  events() += std::string("+") + name + "\n";
  return 0;
}
int pop() {
  events() += "-\n";
  return 0;
}

}  // namespace

#define FAKE_EXPORT extern "C" __attribute__((visibility("default")))

FAKE_EXPORT int InitializeInjectionNvtx2(const void* (*table)(uint32_t)) {
  if (const char* mode = std::getenv("CLIPENGINE_FAKE_TOOL"); mode != nullptr && std::strcmp(mode, "refuse") == 0) return 0;
  struct Version {
    size_t size;
    uint32_t version, reserved;
    void (*set)(uint32_t);
  };
  struct Callbacks {
    size_t size;
    int (*functions)(uint32_t, Function***, unsigned*);
  };
  const auto* version = static_cast<const Version*>(table(3));
  const auto* callbacks = static_cast<const Callbacks*>(table(1));
  if (table(2) != nullptr || version == nullptr || version->size < sizeof *version || version->version < 2 || callbacks == nullptr || callbacks->size < sizeof *callbacks) return 0;
  version->set(3);
  Function** slots = nullptr;
  unsigned size = 0;
  // Domains, which are not used here, must have their table all the same.
  if (callbacks->functions(5, &slots, &size) != 1 || size < 16 || *slots[15] != nullptr || callbacks->functions(7, &slots, &size) != 0) return 0;
  if (callbacks->functions(1, &slots, &size) != 1 || size < 16) return 0;
  *slots[9] = reinterpret_cast<Function>(push);
  *slots[11] = reinterpret_cast<Function>(pop);
  return 1;
}

FAKE_EXPORT const char* fake_nvtx_events() { return events().c_str(); }
