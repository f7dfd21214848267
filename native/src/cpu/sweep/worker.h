// What one thread of a probe sweep works in, and how rows come into it.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/memory.h"
#include "cpu/sweep/kernel.h"

namespace clipengine::sweep {

// Zeros that are only ever replaced, never grown in place. Huge pages where they are large: scores of a wide tile and packed
// prompts are walked through in strides that 4 KiB translations cannot follow.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t count = 0) : memory_(count * static_cast<int64_t>(sizeof(T))) {
    if (count > 0 && !memory_.zeroed()) std::memset(memory_.data(), 0, static_cast<size_t>(memory_.size()));
  }
  T* get() const { return memory_.as<T>(); }

 private:
  cpu::Buffer memory_;
};

// What one thread works in; made when the thread takes its first chunk.
struct Worker {
  Worker(const Plan& plan, const Kernel& kernel);

  Buffer<float> tile, values, largest, slots, rows, top_values;
  Buffer<int32_t> top_columns;
  Buffer<double> sums;
  Buffer<uint32_t> counts;
  Buffer<double> weighted, weights, products;
  Buffer<float> dots, zero_row;
  Buffer<int32_t> places, order, groups;
  Buffer<uint8_t> file_rows;
  int64_t file_bytes = 0;
  Buffer<uint32_t> narrow_tile, masks;
  Buffer<float> narrow_rows, again, again_scores;
  Buffer<double> bounds;
  Tally tally{};
  Workspace workspace{};
};

// Reads bytes of the batch's file into the worker's file_rows.
void read_rows(const clipengine_sweep_batch& batch, Worker& worker, int64_t offset, int64_t bytes);

// The chunk's rows by group, then by number; rows outside every group last. With few columns they stay as they are: each is
// read once, and then only a stream is fast.
void order_rows(const Plan& plan, const clipengine_sweep_batch& batch, Worker& worker, int64_t first, int count);

}  // namespace clipengine::sweep
