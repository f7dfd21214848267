// Memory of the emulated device: it begins behind a page that cannot be touched and ends before one, so that a kernel which
// leaves it is caught at the access. What is freed cannot be touched either.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>

namespace clipengine::emulator {

class GuardedMemory {
 public:
  GuardedMemory() = default;
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  ~GuardedMemory();

  // 256-byte aligned like a device's; the bytes up to the next multiple of 256 cannot be guarded. It holds NaN in every
  // floating-point type, which shows who reads before writing.
  void* allocate(size_t bytes);
  // Null is allowed. Throws Fault where nothing was allocated there, or where what lies behind it was written to.
  void free(void* memory);

 private:
  std::map<void*, size_t> blocks_;
};

// Runs a launch. An access to a guard page ends it with a Fault that says what was left and by how much; elsewhere a bad access
// is what it was before.
void run_guarded(const std::function<void()>& launch);

// What an access to this address would leave or touch after its end; empty where it is no guard. Asked by the handler of SIGSEGV.
std::string describe_guard(const void* address);

}  // namespace clipengine::emulator
