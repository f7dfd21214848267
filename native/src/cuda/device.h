// What the C ABI is written against: a GPU behind the driver, or the emulator that stands for one in tests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace clipengine::cuda {

struct Launch {
  uint32_t grid_x, grid_y, grid_z, block, shared_bytes;
};

// Operations run in the order of the calls. Errors are thrown as clipengine::Error.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string describe() const = 0;
  virtual uint64_t allocate(int64_t bytes) = 0;
  virtual void free(uint64_t address) = 0;
  virtual void upload(uint64_t destination, const void* source, int64_t bytes) = 0;
  virtual void download(void* destination, uint64_t source, int64_t bytes) = 0;
  virtual int64_t find_kernel(const std::string& name, int32_t shared_bytes) = 0;
  virtual void launch(int64_t kernel, const Launch& launch, const uint64_t* arguments, int32_t count) = 0;
  virtual void synchronize() = 0;
};

// Either side is linked: driver_device.cpp in libclipengine_cuda, emulated_device.cpp in its emulated twin.
int32_t count_devices();
std::unique_ptr<Device> open_device(int32_t ordinal, const char* kernel_folder);

}  // namespace clipengine::cuda
