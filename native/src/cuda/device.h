// What the C ABI is written against: a GPU behind the driver, or the emulator that stands for one in tests.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace clipengine::cuda {

struct Launch {
  uint32_t grid_x, grid_y, grid_z, block, shared_bytes;
};

// Of a kernel, or a call of a library that enqueues work of its own on the stream it is given.
struct KernelLaunch {
  int64_t kernel;
  Launch launch;
  const uint64_t* arguments;
  int32_t count;
  std::function<void(void* stream)> call = {};
};

// Work of one queue runs in the order of the calls, work of different queues in any order that events do not forbid.
enum class Queue : int32_t { kCompute = 0, kUpload = 1, kDownload = 2 };
constexpr int kQueues = 3;

// Errors are thrown as clipengine::Error. What names no queue goes to kCompute.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string describe() const = 0;
  // "sm_90"; what kernels can be expected.
  virtual std::string architecture() const = 0;
  // A symbol that a library must have to compute in this device's memory; null: any library for GPUs does.
  virtual const char* library_mark() const = 0;
  virtual int multiprocessors() const = 0;
  // Memory that nobody holds.
  virtual int64_t free_bytes() const = 0;
  virtual uint64_t allocate(int64_t bytes) = 0;
  virtual void free(uint64_t address) = 0;
  virtual void upload(uint64_t destination, const void* source, int64_t bytes) = 0;
  virtual void download(void* destination, uint64_t source, int64_t bytes) = 0;
  virtual int64_t find_kernel(const std::string& name, int32_t shared_bytes) = 0;
  virtual void launch(const KernelLaunch& launch) = 0;
  // Launches that are enqueued again and again as one; arguments are read before the call returns.
  virtual int64_t create_graph(const std::vector<KernelLaunch>& launches) = 0;
  virtual void launch_graph(int64_t graph) = 0;
  virtual void destroy_graph(int64_t graph) = 0;
  // Waits for all queues.
  virtual void synchronize() = 0;

  // A kernel with one parameter, a structure that is read before the call returns.
  virtual void launch_task(int64_t kernel, const Launch& launch, const void* task, int64_t bytes) = 0;
  // Host memory that is copied from and to asynchronously.
  virtual void* pin(int64_t bytes) = 0;
  virtual void unpin(void* memory) = 0;
  // The pinned side must stay as it is until the copy has run.
  virtual void copy_to_device(Queue queue, uint64_t destination, const void* pinned, int64_t bytes) = 0;
  virtual void copy_to_host(Queue queue, void* pinned, uint64_t source, int64_t bytes) = 0;
  virtual void fill(Queue queue, uint64_t destination, uint8_t value, int64_t bytes) = 0;
  // Events: waiting is for the latest record before the call; for none at all it ends at once.
  virtual int64_t create_event() = 0;
  virtual void destroy_event(int64_t event) = 0;
  virtual void record(int64_t event, Queue queue) = 0;
  virtual void wait(Queue queue, int64_t event) = 0;
  virtual void await(int64_t event) = 0;
  // Milliseconds between two events that have happened.
  virtual double elapsed(int64_t start, int64_t end) = 0;
};

// Either side is linked: driver_device.cpp in libclipengine_cuda, native/tests/cuda/emulator/emulated_device.cpp in its emulated twin.
int32_t count_devices();
std::unique_ptr<Device> open_device(int32_t ordinal, const char* kernel_folder);

}  // namespace clipengine::cuda
