// Lets the kernel tests run on a device instead of in the emulator. The library is opened at run time: CLIPENGINE_CUDA_LIBRARY
// names libclipengine_cuda.so, or its emulated twin, which proves this file where there is no GPU; CLIPENGINE_CUDA_KERNELS names
// the folder with assembled kernels. Before a launch every buffer goes to the device whole, canaries included; afterwards
// everything comes back, so that a write outside shows here as it does in the emulator.
#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "clipengine_cuda.h"

namespace on_device {

struct Memory {
  size_t bytes = 0;
  uint64_t address = 0;
};

struct Library {
  decltype(&clipengine_cuda_device_open) open = nullptr;
  decltype(&clipengine_cuda_device_describe) describe = nullptr;
  decltype(&clipengine_cuda_memory_allocate) allocate = nullptr;
  decltype(&clipengine_cuda_memory_free) free = nullptr;
  decltype(&clipengine_cuda_memory_upload) upload = nullptr;
  decltype(&clipengine_cuda_memory_download) download = nullptr;
  decltype(&clipengine_cuda_kernel_find) find = nullptr;
  decltype(&clipengine_cuda_launches_enqueue) enqueue = nullptr;
  decltype(&clipengine_cuda_device_synchronize) synchronize = nullptr;
  decltype(&clipengine_cuda_error_message) message = nullptr;
  clipengine_cuda_device* device = nullptr;

  void check(clipengine_status status) const {
    if (status == CLIPENGINE_OK) return;
    char text[1024] = "";
    message(text, sizeof text);
    throw std::runtime_error(text);
  }
};

inline Library open_library() {
  const char* path = std::getenv("CLIPENGINE_CUDA_LIBRARY");
  if (path == nullptr) throw std::runtime_error("CLIPENGINE_CUDA_LIBRARY names no library");
  void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw std::runtime_error(dlerror());
  Library library;
  const auto resolve = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
    if (function == nullptr) throw std::runtime_error(std::string(path) + " has no " + name);
  };
  resolve(library.open, "clipengine_cuda_device_open");
  resolve(library.describe, "clipengine_cuda_device_describe");
  resolve(library.allocate, "clipengine_cuda_memory_allocate");
  resolve(library.free, "clipengine_cuda_memory_free");
  resolve(library.upload, "clipengine_cuda_memory_upload");
  resolve(library.download, "clipengine_cuda_memory_download");
  resolve(library.find, "clipengine_cuda_kernel_find");
  resolve(library.enqueue, "clipengine_cuda_launches_enqueue");
  resolve(library.synchronize, "clipengine_cuda_device_synchronize");
  resolve(library.message, "clipengine_cuda_error_message");
  library.check(library.open(0, std::getenv("CLIPENGINE_CUDA_KERNELS"), &library.device));
  char text[4096] = "";
  int64_t length = 0;
  library.check(library.describe(library.device, text, sizeof text, &length));
  std::printf("%s\n", text);
  return library;
}

inline const Library& library() {
  static const Library opened = open_library();
  return opened;
}

inline std::map<unsigned char*, Memory>& buffers() {
  static std::map<unsigned char*, Memory> all;
  return all;
}

inline void add(unsigned char* memory, size_t bytes) {
  Memory made{bytes, 0};
  library().check(library().allocate(library().device, (int64_t)bytes, &made.address));
  buffers()[memory] = made;
}

inline void remove(unsigned char* memory) {
  if (const auto found = buffers().find(memory); found != buffers().end()) {
    library().free(library().device, found->second.address);
    buffers().erase(found);
  }
}

// A parameter in the low bytes of eight; a host pointer becomes the address of its buffer's copy.
template <typename T>
uint64_t slot(T value) {
  uint64_t bits = 0;
  if constexpr (std::is_pointer_v<T>) {
    if (value == nullptr) return 0;
    unsigned char* const pointer = reinterpret_cast<unsigned char*>(const_cast<std::remove_const_t<std::remove_pointer_t<T>>*>(value));
    auto after = buffers().upper_bound(pointer);
    if (after == buffers().begin() || pointer > (--after)->first + after->second.bytes) throw std::runtime_error("an argument points into no buffer");
    return after->second.address + (uint64_t)(pointer - after->first);
  } else {
    std::memcpy(&bits, &value, sizeof value);
    return bits;
  }
}

// Whether the device's code has a kernel: Hopper's are in Hopper's alone.
inline bool has_kernel(const char* name) {
  int64_t found = 0;
  if (library().find(library().device, name, 0, &found) == CLIPENGINE_OK) return true;
  std::printf("SKIPPED on this device: %s\n", name);
  return false;
}

// The kernel's name is that of the function: the tests export them.
inline void launch(void* kernel, uint32_t grid_x, uint32_t grid_y, uint32_t grid_z, uint32_t block, size_t shared, const uint64_t* slots, int count) {
  const Library& l = library();
  Dl_info info{};
  if (dladdr(kernel, &info) == 0 || info.dli_sname == nullptr || info.dli_saddr != kernel) throw std::runtime_error("a kernel has no name");
  int64_t found = 0;
  l.check(l.find(l.device, info.dli_sname, (int32_t)shared, &found));
  for (const auto& [memory, copy] : buffers()) l.check(l.upload(l.device, copy.address, memory, (int64_t)copy.bytes));
  const clipengine_cuda_launch one = {found, grid_x, grid_y, grid_z, block, (uint32_t)shared, count, 0};
  l.check(l.enqueue(l.device, &one, 1, slots, count));
  l.check(l.synchronize(l.device));
  for (const auto& [memory, copy] : buffers()) l.check(l.download(l.device, memory, copy.address, (int64_t)copy.bytes));
}

}  // namespace on_device
