// Features on their way to a device: from memory or a file, through pinned staging, and those that stay there.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <string>
#include <thread>

#include "core/status.h"
#include "cuda/ranges.h"
#include "cuda/sweep.h"

namespace clipengine::cuda {
namespace {

// Reading from the page cache is copying, and one thread copies slower than a GPU is fed.
constexpr int kReaders = 4;
constexpr int64_t kBytesWorthAThread = 1 << 20;
constexpr int64_t kStagingBytes = 32 << 20;

int64_t stored_size(int32_t type) {
  switch (type) {
    case CLIPENGINE_SWEEP_FLOAT16:
    case CLIPENGINE_SWEEP_BFLOAT16: return 2;
    case CLIPENGINE_SWEEP_FLOAT32: return 4;
    case CLIPENGINE_SWEEP_FLOAT64: return 8;
    default: throw Error(CLIPENGINE_INVALID_ARGUMENT, "unknown element type " + std::to_string(type));
  }
}

void read_file(int32_t file, int64_t offset, unsigned char* destination, int64_t bytes) {
  for (int64_t done = 0; done < bytes;) {
    const ssize_t read = pread(file, destination + done, static_cast<size_t>(bytes - done), offset + done);
    if (read == 0) throw Error(CLIPENGINE_BAD_INPUT, "was cut short while it was being read");
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) throw Error(CLIPENGINE_INTERNAL, std::string("could not be read: ") + std::strerror(errno));
    done += read;
  }
}

void read_part(const clipengine_sweep_batch& batch, int64_t width, const RowFormat& format, int64_t first, int64_t count, unsigned char* destination) {
  const int64_t stored = stored_size(format.type), stored_row = stored * width;
  const bool is_as_stored = stored == format.size && width == format.width;
  std::vector<unsigned char> read;
  const unsigned char* source = nullptr;
  if (batch.rows != nullptr) {
    source = static_cast<const unsigned char*>(batch.rows) + first * stored_row;
  } else if (is_as_stored) {
    read_file(batch.file, batch.file_offset + first * stored_row, destination, count * stored_row);
    return;
  } else {
    read.resize(static_cast<size_t>(count * stored_row));
    read_file(batch.file, batch.file_offset + first * stored_row, read.data(), count * stored_row);
    source = read.data();
  }
  if (is_as_stored) {
    std::memcpy(destination, source, static_cast<size_t>(count * stored_row));
    return;
  }
  for (int64_t row = 0; row < count; ++row, source += stored_row, destination += format.row_bytes()) {
    if (stored == format.size) {
      std::memcpy(destination, source, static_cast<size_t>(stored_row));
    } else {
      for (int64_t k = 0; k < width; ++k) {
        double wide;
        std::memcpy(&wide, source + k * 8, 8);
        const float narrow = static_cast<float>(wide);
        std::memcpy(destination + k * 4, &narrow, 4);
      }
    }
    std::memset(destination + width * format.size, 0, static_cast<size_t>((format.width - width) * format.size));
  }
}

template <typename T>
void upload(Device& device, DeviceMemory& memory, const std::vector<T>& values) {
  memory.reserve(static_cast<int64_t>(values.size() * sizeof(T)));
  if (!values.empty()) device.upload(memory.address(), values.data(), static_cast<int64_t>(values.size() * sizeof(T)));
}

}  // namespace

DeviceMemory::~DeviceMemory() {
  try {
    if (address_ != 0) device_->free(address_);
  } catch (...) {  // a device that failed has lost its memory already
  }
}

void DeviceMemory::reserve(int64_t bytes) {
  if (bytes <= bytes_ && address_ != 0) return;
  if (address_ != 0) device_->free(address_);
  address_ = 0;
  bytes_ = std::max<int64_t>(bytes, 256);
  address_ = device_->allocate(bytes_);
}

PinnedMemory::~PinnedMemory() {
  try {
    if (memory_ != nullptr) device_->unpin(memory_);
  } catch (...) {
  }
}

void PinnedMemory::reserve(int64_t bytes) {
  if (bytes <= bytes_ && memory_ != nullptr) return;
  if (memory_ != nullptr) device_->unpin(memory_);
  memory_ = nullptr;
  bytes_ = std::max<int64_t>(bytes, 256);
  memory_ = device_->pin(bytes_);
}

Event::~Event() {
  try {
    device_->destroy_event(event_);
  } catch (...) {
  }
}

RowFormat row_format(int32_t type, int64_t width) {
  const int64_t size = stored_size(type) == 2 ? 2 : 4, whole = 16 / size;
  return {type == CLIPENGINE_SWEEP_FLOAT16 ? "fp16" : type == CLIPENGINE_SWEEP_BFLOAT16 ? "bf16" : "fp32", type, size, (width + whole - 1) / whole * whole};
}

void read_rows(const clipengine_sweep_batch& batch, int64_t width, const RowFormat& format, int64_t first, int64_t count, unsigned char* destination) {
  const int64_t readers = std::clamp<int64_t>(count * format.row_bytes() / kBytesWorthAThread, 1, kReaders);
  std::exception_ptr failures[kReaders];
  const auto read = [&](int64_t reader) noexcept {
    const int64_t begin = count * reader / readers, end = count * (reader + 1) / readers;
    try {
      read_part(batch, width, format, first + begin, end - begin, destination + begin * format.row_bytes());
    } catch (...) {
      failures[reader] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (int64_t reader = 1; reader < readers; ++reader) threads.emplace_back(read, reader);
  read(0);
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

ResidentFeatures::ResidentFeatures(const std::vector<Device*>& devices, const clipengine_sweep_batch& batch, int64_t rows, int64_t features_width, int64_t groups)
    : row_count(rows), width(features_width), group_count(groups), format(row_format(batch.row_type, features_width)) {
  const Range range("features to the device");
  const int64_t batches = (row_count + kSweepBatchRows - 1) / kSweepBatchRows, count = static_cast<int64_t>(devices.size());
  for (int64_t d = 0; d < count; ++d) {
    auto part = std::make_unique<Part>(*devices[static_cast<size_t>(d)]);
    part->first = std::min(row_count, batches * d / count * kSweepBatchRows);
    part->count = std::min(row_count, batches * (d + 1) / count * kSweepBatchRows) - part->first;
    if (part->count > INT32_MAX) throw Error(CLIPENGINE_INVALID_ARGUMENT, "more than 2^31 rows on one device");
    if (part->count == 0) {  // fewer batches than devices: this one has no rows, and is one of them all the same
      parts.push_back(std::move(part));
      continue;
    }
    Device& device = *part->device;
    part->rows.reserve(part->count * format.row_bytes());
    const int64_t rows_at_once = std::max<int64_t>(1, kStagingBytes / format.row_bytes());
    std::vector<PinnedMemory> staging;
    std::vector<std::unique_ptr<Event>> copied;
    for (int s = 0; s < 2; ++s) {
      staging.emplace_back(device).reserve(std::min(part->count, rows_at_once) * format.row_bytes());
      copied.push_back(std::make_unique<Event>(device));
    }
    for (int64_t first = 0, step = 0, now = 0; first < part->count; first += now, ++step) {
      const int64_t from = (part->first + first) % batch.row_count;
      now = std::min({rows_at_once, part->count - first, batch.row_count - from});
      device.await(*copied[step % 2]);
      read_rows(batch, width, format, from, now, staging[step % 2].get());
      device.copy_to_device(Queue::kUpload, part->rows.address() + static_cast<uint64_t>(first * format.row_bytes()), staging[step % 2].get(), now * format.row_bytes());
      device.record(*copied[step % 2], Queue::kUpload);
    }
    part->table.build(batch.groups == nullptr ? nullptr : batch.groups + part->first, part->count, group_count);
    upload(device, part->order, part->table.order);
    upload(device, part->runs, part->table.runs);
    upload(device, part->tile_runs, part->table.tile_runs);
    upload(device, part->run_list, part->table.run_list);
    upload(device, part->items, part->table.items);
    device.synchronize();
    parts.push_back(std::move(part));
  }
}

}  // namespace clipengine::cuda
