// The probe sweep: clipengine_sweep.h.
#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <mutex>

#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/sweep/checks.h"
#include "cpu/sweep/features.h"
#include "cpu/sweep/handle.h"
#include "cpu/sweep/kernels.h"
#include "cpu/sweep/totals.h"

using namespace clipengine;
using namespace clipengine::sweep;

namespace {

// The batch's row outputs from this row on.
Chunk chunk_of(const Plan& plan, const clipengine_sweep_batch& batch, const Worker& worker, int64_t first, int count) {
  Chunk chunk{};
  chunk.type = batch.row_type;
  chunk.count = count;
  chunk.order = worker.order.get();
  chunk.groups = worker.groups.get();
  chunk.weights = batch.weights == nullptr ? nullptr : batch.weights + first;
  chunk.weight_stride = batch.weight_stride;
  const int64_t cells = first * plan.segments;
  if (batch.probabilities != nullptr) chunk.probabilities = batch.probabilities + first * plan.prompts;
  if (batch.top_indices != nullptr) chunk.top_indices = batch.top_indices + cells * plan.top_count;
  if (batch.top_probabilities != nullptr) chunk.top_probabilities = batch.top_probabilities + cells * plan.top_count;
  if (batch.entropy != nullptr) chunk.entropy = batch.entropy + cells;
  if (batch.margin != nullptr) chunk.margin = batch.margin + cells;
  if (batch.bounds != nullptr) chunk.bounds = batch.bounds + first;
  return chunk;
}

// The plan, and what this batch asks for of it.
Plan plan_of(const clipengine_sweep& sweep, const clipengine_sweep_batch& batch) {
  Plan plan = sweep.plan;
  plan.keeps = (plan.groups > 0 && batch.sums != nullptr) || plan.replicates > 0 || batch.probabilities != nullptr;
  plan.exponentials = plan.keeps || batch.top_probabilities != nullptr || batch.margin != nullptr || batch.entropy != nullptr;
  plan.kept = std::max(plan.top_count, batch.margin != nullptr ? 2 : 1);
  plan.single = plan.kept == 1 && plan.top_count == 0 && batch.probabilities == nullptr && batch.entropy == nullptr;
  plan.totals_only = plan.single && !plan.sigmoid && !plan.entropy && !plan.few && plan.replicates == 0;
  plan.entropy = batch.entropy != nullptr;  // from here on; whether it was planned decides about totals_only, whose sums are rounded in another order
  return plan;
}

void run(clipengine_sweep& sweep, clipengine_sweep_batch& batch) {
  const Plan plan = plan_of(sweep, batch);
  const int64_t row_bytes = plan.width * element_size(batch.row_type);
  const int64_t chunks = (batch.row_count + kChunkRows - 1) / kChunkRows;
  // Threads that fail leave the lowest row behind: a chunk before it is never skipped, since chunks are dealt in order.
  std::atomic<int64_t> failed_row{std::numeric_limits<int64_t>::max()};
  std::mutex failure;
  Refusal refusal = Refusal::kNone;

  const size_t threads = static_cast<size_t>(ThreadPool::instance().size());
  if (sweep.workers.size() < threads) sweep.workers.resize(threads);
  parallel_for(chunks, [&](int64_t index, int thread) {
    const int64_t first = index * kChunkRows;
    if (first > failed_row.load(std::memory_order_relaxed)) return;
    const int count = static_cast<int>(std::min<int64_t>(kChunkRows, batch.row_count - first));
    std::unique_ptr<Worker>& slot = sweep.workers[static_cast<size_t>(thread)];
    if (slot == nullptr) slot = std::make_unique<Worker>(plan, *sweep.kernel);
    Worker& worker = *slot;
    order_rows(plan, batch, worker, first, count);
    Chunk chunk = chunk_of(plan, batch, worker, first, count);
    if (batch.rows != nullptr) {
      chunk.rows = static_cast<const uint8_t*>(batch.rows) + first * row_bytes;
    } else {
      read_rows(batch, worker, batch.file_offset + first * row_bytes, count * row_bytes);
      chunk.rows = worker.file_rows.get();
    }
    const Outcome outcome = sweep.kernel->run(plan, worker.workspace, chunk);
    if (outcome.refusal != Refusal::kNone) {
      clear(plan, worker.workspace);
      std::lock_guard lock(failure);
      if (first + outcome.row < failed_row.load(std::memory_order_relaxed)) {
        failed_row.store(first + outcome.row, std::memory_order_relaxed);
        refusal = outcome.refusal;
      }
      return;
    }
    std::lock_guard lock(sweep.totals);
    add_totals(plan, *sweep.kernel, worker, count, batch);
  }, static_cast<int>(threads));
  if (refusal != Refusal::kNone) {
    batch.failed_row = failed_row.load();
    throw Error(CLIPENGINE_BAD_INPUT, describe(refusal));
  }
}

}  // namespace

extern "C" clipengine_status clipengine_sweep_create(const clipengine_sweep_plan* plan, clipengine_sweep** sweep, int64_t* failed_prompt) noexcept {
  return guard([&] {
    require(plan != nullptr && sweep != nullptr && failed_prompt != nullptr, "a null argument");
    *failed_prompt = -1;
    *sweep = create(*plan, best_kernel(plan->precision), *failed_prompt);
  });
}

extern "C" void clipengine_sweep_destroy(clipengine_sweep* sweep) noexcept { delete sweep; }

extern "C" clipengine_status clipengine_sweep_run(clipengine_sweep* sweep, clipengine_sweep_batch* batch) noexcept {
  return guard([&] {
    require(sweep != nullptr && batch != nullptr, "a null argument");
    batch->failed_row = -1;
    batch->open_scores = 0;
    batch->bound = batch->entropy_bound = 0;
    const Plan& plan = sweep->plan;
    require(batch->row_count >= 0, "a negative number of rows");
    require(plan.replicates == 0 || (batch->weights != nullptr && batch->weight_stride >= batch->row_count), "weights are missing");
    require(batch->entropy == nullptr || plan.entropy, "entropy was not planned");
    require((batch->top_indices == nullptr && batch->top_probabilities == nullptr) || plan.top_count > 0, "top columns were not planned");
    run(*sweep, *batch);
  });
}

extern "C" const char* clipengine_sweep_isa(const clipengine_sweep* sweep) noexcept { return sweep->kernel->name; }

extern "C" int32_t clipengine_sweep_precision(const clipengine_sweep* sweep) noexcept { return sweep->plan.precision; }
