// The probe sweep on GPUs: packs prompts, cuts a batch into slices, brings them to the devices two at a time, adds up exactly.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "clipengine_sweep.h"
#include "cuda/device.h"
#include "cuda/sweep_layout.h"

namespace clipengine::cuda {

// Device memory that is kept from run to run and only grows.
class DeviceMemory {
 public:
  explicit DeviceMemory(Device& device) : device_(&device) {}
  DeviceMemory(DeviceMemory&& other) noexcept : device_(other.device_), address_(other.address_), bytes_(other.bytes_) { other.address_ = 0; }
  DeviceMemory& operator=(DeviceMemory&&) = delete;
  ~DeviceMemory();
  void reserve(int64_t bytes);
  uint64_t address() const { return address_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(address_);
  }

 private:
  Device* device_;
  uint64_t address_ = 0;
  int64_t bytes_ = 0;
};

class PinnedMemory {
 public:
  explicit PinnedMemory(Device& device) : device_(&device) {}
  PinnedMemory(PinnedMemory&& other) noexcept : device_(other.device_), memory_(other.memory_), bytes_(other.bytes_) { other.memory_ = nullptr; }
  PinnedMemory& operator=(PinnedMemory&&) = delete;
  ~PinnedMemory();
  void reserve(int64_t bytes);
  unsigned char* get() const { return static_cast<unsigned char*>(memory_); }

 private:
  Device* device_;
  void* memory_ = nullptr;
  int64_t bytes_ = 0;
};

class Event {
 public:
  explicit Event(Device& device) : device_(&device), event_(device.create_event()) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();
  operator int64_t() const { return event_; }

 private:
  Device* device_;
  int64_t event_;
};

// How rows lie on a device: fp64 is rounded to fp32 on the way, and every row is filled up with zeros to a multiple of 16 bytes.
struct RowFormat {
  const char* name;  // of the kernels: fp16, bf16, fp32
  int32_t type;      // as stored
  int64_t size;      // bytes of an element on the device
  int64_t width;     // elements of a row on the device
  int64_t row_bytes() const { return size * width; }
};
RowFormat row_format(int32_t type, int64_t width);

// Rows [first, first + count) of a batch into [count, row_bytes] at destination. Throws Error(CLIPENGINE_BAD_INPUT) where the
// file ends early.
void read_rows(const clipengine_sweep_batch& batch, int64_t width, const RowFormat& format, int64_t first, int64_t count, unsigned char* destination);

// Rows that stay on the devices, each device holding a run of them, with the tables of their groups.
class ResidentFeatures {
 public:
  struct Part {
    explicit Part(Device& device) : device(&device), rows(device), order(device), runs(device), tile_runs(device), run_list(device), items(device) {}
    Device* device;
    int64_t first = 0, count = 0;
    DeviceMemory rows, order, runs, tile_runs, run_list, items;
    GroupTable table;
  };

  // batch: where the rows are and their groups; its other fields do not matter. rows: how many there are to be; the batch's repeat.
  ResidentFeatures(const std::vector<Device*>& devices, const clipengine_sweep_batch& batch, int64_t rows, int64_t width, int64_t group_count);

  int64_t row_count, width, group_count;
  RowFormat format;
  std::vector<std::unique_ptr<Part>> parts;  // one a device, in the order of rows
};

class SweepWorker;

class Sweep {
 public:
  // Throws Error; failed_prompt gets the row of a prompt that was refused.
  Sweep(const std::vector<Device*>& devices, const clipengine_sweep_plan& plan, int64_t& failed_prompt);
  ~Sweep();

  // As clipengine_cuda_sweep_run.
  void run(clipengine_sweep_batch& batch, const ResidentFeatures* resident, int64_t first_row);

 private:
  friend class SweepWorker;
  clipengine_sweep_plan plan_;  // without its pointers
  ColumnLayout layout_;
  std::vector<float> prompts_;  // [prompt_count, width]
  double largest_norm_ = 0;     // the largest sum of absolute values of a prompt
  std::vector<std::unique_ptr<SweepWorker>> workers_;
};

}  // namespace clipengine::cuda
