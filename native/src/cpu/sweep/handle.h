// What a clipengine_sweep holds.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "cpu/sweep/worker.h"

struct clipengine_sweep {
  clipengine::sweep::Plan plan{};
  const clipengine::sweep::Kernel* kernel = nullptr;
  std::vector<int64_t> starts;
  std::vector<clipengine::sweep::Block> blocks;
  clipengine::sweep::Buffer<float> packed;
  clipengine::sweep::Buffer<uint32_t> narrow;
  clipengine::sweep::Buffer<float> column_factor, group_errors, segment_errors;
  clipengine::sweep::Buffer<int32_t> column_offset;
  std::vector<std::unique_ptr<clipengine::sweep::Worker>> workers;
  std::mutex totals;
};
