#include "cuda/sweep.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>
#include <string>
#include <thread>

#include "core/half.h"
#include "core/status.h"
#include "cuda/sweep_worker.h"

namespace clipengine::cuda {
namespace {

void require(bool condition, const char* message) {
  if (!condition) throw Error(CLIPENGINE_INVALID_ARGUMENT, message);
}

const char* describe(uint32_t refusal) {
  switch (refusal) {
    case kSweepNotFinite: return "holds a value that is not finite";
    case kSweepZero: return "is all zeros and has no direction";
    default: return "is so large that a score would overflow";
  }
}

float stored_value(const void* values, int32_t type, int64_t index) {
  const unsigned char* bytes = static_cast<const unsigned char*>(values);
  uint16_t half;
  switch (type) {
    case CLIPENGINE_SWEEP_FLOAT64: {
      double value;
      std::memcpy(&value, bytes + index * 8, sizeof value);
      return static_cast<float>(value);
    }
    case CLIPENGINE_SWEEP_FLOAT32: {
      float value;
      std::memcpy(&value, bytes + index * 4, sizeof value);
      return value;
    }
    case CLIPENGINE_SWEEP_BFLOAT16: {
      std::memcpy(&half, bytes + index * 2, sizeof half);
      return bf16_to_float(half);
    }
    case CLIPENGINE_SWEEP_FLOAT16: {
      std::memcpy(&half, bytes + index * 2, sizeof half);
      return half_to_float(half);
    }
    default: throw Error(CLIPENGINE_INVALID_ARGUMENT, "unknown element type " + std::to_string(type));
  }
}

void add(clipengine_sweep_total& total, const uint64_t units[2]) {
  total.low += units[0];
  total.high = static_cast<int64_t>(static_cast<uint64_t>(total.high) + units[1] + (total.low < units[0] ? 1 : 0));
}

}  // namespace

Sweep::Sweep(const std::vector<Device*>& devices, const clipengine_sweep_plan& plan, int64_t& failed_prompt) : plan_(plan) {
  require(!devices.empty(), "no devices");
  require(plan.prompts != nullptr && plan.prompt_count >= 1 && plan.width >= 1, "no prompts");
  require(plan.prompt_count <= CLIPENGINE_SWEEP_MAXIMUM_PROMPTS && plan.width <= 1 << 20, "more prompts, or wider ones, than a sweep takes");
  require(plan.precision == CLIPENGINE_SWEEP_IN_FLOAT32, "fewer bits than fp32 are of the processor; on a GPU 16-bit rows use its tensor cores");
  require(plan.segment_lengths != nullptr && plan.segment_count >= 1, "no segments");
  require(plan.group_count >= 0 && plan.group_count < INT32_MAX && plan.replicate_count >= 0 && plan.replicate_count < INT32_MAX && plan.top_count >= 0, "a count is out of range");
  require(std::isfinite(plan.scale) && std::isfinite(plan.bias), "scale and bias must be finite");
  require(std::abs(plan.scale * kScoreLog2E) <= 0x1p100 && std::abs(plan.bias * kScoreLog2E) <= 0x1p100, "scale or bias beyond 2^100");
  require(plan.activation == CLIPENGINE_SWEEP_SOFTMAX || plan.activation == CLIPENGINE_SWEEP_SIGMOID, "unknown activation");
  require(plan.entropy == 0 || plan.activation == CLIPENGINE_SWEEP_SOFTMAX, "entropy needs probabilities that sum to one: softmax");
  int64_t columns = 0;
  for (int64_t s = 0; s < plan.segment_count; ++s) {
    require(plan.segment_lengths[s] >= 1, "an empty segment");
    require(plan.top_count <= plan.segment_lengths[s], "top_count is beyond the shortest segment");
    columns += plan.segment_lengths[s];
  }
  require(columns == plan.prompt_count, "the segments' lengths do not add up to the prompts");
  layout_ = lay_out_columns(plan.segment_lengths, plan.segment_count);
  prompts_.resize(static_cast<size_t>(plan.prompt_count * plan.width));
  for (int64_t prompt = 0; prompt < plan.prompt_count; ++prompt) {
    double norm = 0;
    for (int64_t k = 0; k < plan.width; ++k) {
      const float value = prompts_[static_cast<size_t>(prompt * plan.width + k)] = stored_value(plan.prompts, plan.prompt_type, prompt * plan.width + k);
      norm += std::abs(static_cast<double>(value));
    }
    if (!std::isfinite(norm) || norm == 0) {
      failed_prompt = prompt;
      throw Error(CLIPENGINE_BAD_INPUT, describe(norm == 0 ? kSweepZero : kSweepNotFinite));
    }
    largest_norm_ = std::max(largest_norm_, norm);
  }
  plan_.prompts = nullptr;
  plan_.segment_lengths = nullptr;
  for (Device* device : devices) workers_.push_back(std::make_unique<SweepWorker>(*device, *this));
}

Sweep::~Sweep() = default;

void Sweep::run(clipengine_sweep_batch& batch, const ResidentFeatures* resident, int64_t first_row) {
  batch.failed_row = -1;
  require(batch.row_count >= 0 && first_row >= 0, "a negative number of rows");
  require(plan_.replicate_count == 0 || (batch.weights != nullptr && batch.weight_stride >= batch.row_count), "weights are missing");
  require(batch.entropy == nullptr || plan_.entropy != 0, "entropy was not planned");
  require((batch.top_indices == nullptr) == (batch.top_probabilities == nullptr) && (batch.top_indices == nullptr || plan_.top_count > 0), "top columns were not planned");
  if (resident != nullptr) {
    require(resident->width == plan_.width, "the resident features have another width than the prompts");
    require(resident->group_count >= plan_.group_count && (plan_.group_count == 0 || resident->group_count == plan_.group_count), "the resident features have other groups than the plan");
    require(first_row + batch.row_count <= resident->row_count, "rows beyond the resident features");
    require(first_row % kSweepBatchRows == 0 && (batch.row_count % kSweepBatchRows == 0 || first_row + batch.row_count == resident->row_count),
            "a run over resident features begins and ends at a multiple of 4096 rows");
  }
  if (batch.row_count == 0) return;

  SharedRun shared(batch, resident, first_row);
  const RowFormat format = resident != nullptr ? resident->format : row_format(batch.row_type, plan_.width);
  shared.format = format;
  shared.devices = static_cast<int64_t>(workers_.size());
  std::vector<std::exception_ptr> failures(workers_.size());
  const auto work = [&](size_t index) noexcept {
    try {
      workers_[index]->run(shared);
    } catch (...) {
      failures[index] = std::current_exception();
      shared.stopped.store(true);
    }
  };
  std::vector<std::thread> threads;
  for (size_t index = 1; index < workers_.size(); ++index) threads.emplace_back(work, index);
  work(0);
  for (std::thread& thread : threads) thread.join();
  if (const int64_t failed = shared.failed_row.load(); failed != std::numeric_limits<int64_t>::max()) {
    batch.failed_row = failed / 4;
    throw Error(CLIPENGINE_BAD_INPUT, describe(static_cast<uint32_t>(failed % 4)));
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  for (const auto& worker : workers_) {
    const SweepTotals totals = worker->totals();
    require(totals.fits, "a weighted sum is not finite or beyond 2^46");
    const int64_t cells = plan_.group_count * plan_.prompt_count;
    for (int64_t i = 0; batch.group_rows != nullptr && i < plan_.group_count; ++i) batch.group_rows[i] += totals.group_rows[i];
    for (int64_t i = 0; batch.argmax_counts != nullptr && i < cells; ++i) batch.argmax_counts[i] += static_cast<int64_t>(totals.counts[i]);
    for (int64_t i = 0; batch.sums != nullptr && i < cells; ++i) add(batch.sums[i], totals.sums + 2 * i);
    for (int64_t i = 0; batch.weighted_sums != nullptr && i < plan_.replicate_count * plan_.prompt_count; ++i) add(batch.weighted_sums[i], totals.weighted_sums + 2 * i);
  }
}

}  // namespace clipengine::cuda
