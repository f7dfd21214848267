#include "cpu/sweep/worker.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <unistd.h>
#endif

#include <algorithm>
#include <cerrno>
#include <string>

#include "core/status.h"
#include "cpu/sweep/checks.h"

namespace clipengine::sweep {

namespace {

#if defined(_WIN32)

// Bytes that were read at this place of the file, 0 at its end. file is a handle: those are numbers of 32 bits.
int64_t read_at(int32_t file, void* buffer, int64_t bytes, int64_t offset) {
  OVERLAPPED place = {};
  place.Offset = static_cast<DWORD>(offset);
  place.OffsetHigh = static_cast<DWORD>(offset >> 32);
  DWORD read = 0;
  const DWORD most = static_cast<DWORD>(std::min<int64_t>(bytes, 1 << 30));
  if (ReadFile(reinterpret_cast<HANDLE>(static_cast<intptr_t>(file)), buffer, most, &read, &place)) return read;
  if (GetLastError() == ERROR_HANDLE_EOF) return 0;
  throw Error(CLIPENGINE_INTERNAL, "could not be read: error " + std::to_string(GetLastError()) + " of Windows");
}

#else

// Bytes that were read at this place of the file, 0 at its end.
int64_t read_at(int32_t file, void* buffer, int64_t bytes, int64_t offset) {
  for (;;) {
    const ssize_t read = pread(file, buffer, static_cast<size_t>(bytes), offset);
    if (read >= 0) return read;
    if (errno != EINTR) throw Error(CLIPENGINE_INTERNAL, std::string("could not be read: ") + std::strerror(errno));
  }
}

#endif

}  // namespace

Worker::Worker(const Plan& plan, const Kernel& kernel)
    : tile(plan.few ? 0 : plan.tile_rows * plan.width),
      values(plan.tile_rows * plan.value_columns),
      largest(plan.few ? 0 : static_cast<int64_t>(plan.tile_rows) * (kBlockColumns / kernel.product_columns)),
      slots(4 * static_cast<int64_t>(plan.slots) * plan.tile_rows),
      rows(4 * plan.tile_rows),
      top_values(static_cast<int64_t>(plan.tile_rows) * plan.top_count),
      top_columns(static_cast<int64_t>(plan.tile_rows) * plan.top_count),
      sums(plan.groups * plan.prompts),
      counts(plan.groups * plan.prompts),
      weighted(plan.replicates * plan.prompts),
      weights(plan.replicates * plan.tile_rows),
      products(plan.replicates > 0 ? 4 * plan.tile_rows : 0),
      dots(plan.few ? kernel.few_columns * kernel.lanes * kernel.lanes : 0),
      zero_row(2 * plan.width),
      places(plan.groups + 2),
      order(kChunkRows),
      groups(kChunkRows) {
  if (plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32) {
    narrow_tile = Buffer<uint32_t>(plan.tile_rows * plan.words);
    narrow_rows = Buffer<float>(6 * plan.tile_rows);
    masks = Buffer<uint32_t>(2 * (plan.tile_rows / kernel.panel_rows) + kBlockColumns);
    again = Buffer<float>((plan.width + 1) * kernel.product_columns + kernel.lanes);  // a vector is written at a time
    again_scores = Buffer<float>((kernel.product_columns + 1) * kernel.panel_rows);
    bounds = Buffer<double>(plan.groups + 2 * plan.replicates);
    workspace.narrow_tile = narrow_tile.get();
    workspace.row_factor = narrow_rows.get();
    workspace.row_norm = narrow_rows.get() + plan.tile_rows;
    workspace.row_error = narrow_rows.get() + 2 * plan.tile_rows;
    workspace.row_bound = narrow_rows.get() + 3 * plan.tile_rows;
    workspace.entropy_bounds = narrow_rows.get() + 4 * plan.tile_rows;
    workspace.row_chain = narrow_rows.get() + 5 * plan.tile_rows;
    workspace.open = masks.get();
    workspace.beyond = masks.get() + kBlockColumns;
    workspace.exact = workspace.beyond + plan.tile_rows / kernel.panel_rows;
    workspace.again = again.get();
    workspace.again_scores = again_scores.get();
    workspace.group_bounds = bounds.get();
    workspace.weighted_bounds = bounds.get() + plan.groups;
    workspace.weight_sums = workspace.weighted_bounds + plan.replicates;
  }
  workspace.tally = &tally;
  const int64_t slot = static_cast<int64_t>(plan.slots) * plan.tile_rows;
  workspace.tile = tile.get();
  workspace.values = values.get();
  workspace.largest = largest.get();
  workspace.slot_maximum = slots.get();
  workspace.slot_sum = slots.get() + slot;
  workspace.slot_moment = slots.get() + 2 * slot;
  workspace.slot_factor = slots.get() + 3 * slot;
  workspace.best = rows.get();
  workspace.best_column = rows.get() + plan.tile_rows;
  workspace.second = rows.get() + 2 * plan.tile_rows;
  workspace.top_threshold = rows.get() + 3 * plan.tile_rows;
  workspace.top_values = top_values.get();
  workspace.top_columns = top_columns.get();
  workspace.sums = sums.get();
  workspace.counts = counts.get();
  workspace.weighted = weighted.get();
  workspace.weights = weights.get();
  workspace.products = products.get();
  workspace.dots = dots.get();
  workspace.zero_row = zero_row.get();
}

void read_rows(const clipengine_sweep_batch& batch, Worker& worker, int64_t offset, int64_t bytes) {
  if (worker.file_bytes < bytes) {
    worker.file_rows = Buffer<uint8_t>(bytes);
    worker.file_bytes = bytes;
  }
  for (int64_t done = 0; done < bytes;) {
    const int64_t read = read_at(batch.file, worker.file_rows.get() + done, bytes - done, offset + done);
    if (read == 0) throw Error(CLIPENGINE_BAD_INPUT, "was cut short while it was being read");
    done += read;
  }
}

void order_rows(const Plan& plan, const clipengine_sweep_batch& batch, Worker& worker, int64_t first, int count) {
  int32_t* order = worker.order.get();
  int32_t* groups = worker.groups.get();
  const bool grouped = plan.groups > 0 && batch.groups != nullptr;
  for (int i = 0; i < count; ++i) {
    const int32_t group = grouped ? batch.groups[first + i] : 0;
    require(group >= -1 && group < std::max<int64_t>(plan.groups, 1), "a row's group is outside the plan's groups");
    order[i] = i;
    groups[i] = group;
  }
  if (!grouped || plan.few) return;
  // Counting: places[g + 1] becomes the first place of group g, then the next one.
  int32_t* places = worker.places.get();
  std::fill_n(places, plan.groups + 2, 0);
  const auto bucket = [&](int32_t group) { return group < 0 ? plan.groups : group; };
  for (int i = 0; i < count; ++i) ++places[bucket(batch.groups[first + i]) + 1];
  for (int64_t g = 0; g <= plan.groups; ++g) places[g + 1] += places[g];
  for (int i = 0; i < count; ++i) {
    const int32_t group = batch.groups[first + i], place = places[bucket(group)]++;
    order[place] = i;
    groups[place] = group;
  }
}

}  // namespace clipengine::sweep
