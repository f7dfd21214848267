#include "cuda/sweep_worker.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/half.h"
#include "core/status.h"
#include "cuda/ranges.h"

namespace clipengine::cuda {
namespace {

constexpr int64_t kInputBytes = 32 << 20, kOutputBytes = 64 << 20, kWorkspaceBytes = int64_t{512} << 20;
constexpr int64_t kMostRows = 4 << 20;
constexpr int kTileSharedBytes = kSweepTileRows * kSweepPitch * 4;
constexpr int64_t kMostFewShared = 96 << 10;

int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }
int64_t divided(int64_t total, int64_t by) { return (total + by - 1) / by; }

void put(unsigned char* base, int64_t at, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(base + at, source, bytes);
}

}  // namespace

SweepWorker::Slot::Slot(Device& device) : input_staging(device), output_staging(device), input(device), output(device), uploaded(device), computed(device), downloaded(device) {}

SweepWorker::SweepWorker(Device& device, const Sweep& sweep)
    : device_(device), sweep_(sweep), half_(device), bfloat_(device), single_(device), few16_(device), few32_(device), tiles_(device), longs_(device), starts_(device),
      run_sums_(device), run_counts_(device), statistics_(device), merged_(device), candidate_scores_(device), candidate_columns_(device), totals_(device), totals_staging_(device),
      slots_{Slot(device), Slot(device)} {
  const auto upload = [&](DeviceMemory& memory, const auto& values) {
    const int64_t bytes = static_cast<int64_t>(values.size() * sizeof values[0]);
    memory.reserve(bytes);
    if (bytes > 0) device_.upload(memory.address(), values.data(), bytes);
  };
  upload(tiles_, sweep.layout_.tiles);
  upload(longs_, sweep.layout_.longs);
  upload(starts_, sweep.layout_.starts);
}

bool SweepWorker::is_few(const RowFormat& format) const {
  const int64_t columns = sweep_.plan_.prompt_count <= 8 ? 8 : kSweepFewColumns, step = 32 * (16 / format.size);
  return sweep_.plan_.prompt_count <= kSweepFewColumns && columns * divided(format.width, step) * step * 4 + kSweepChunkRows * (columns + 1) * 4 <= kMostFewShared;
}

// fp32 rows and few columns: as they are. 16-bit rows: pieces of the rows' type, as few as hold every prompt exactly, but at
// most three of bf16 (24 bits) and two of fp16 (22 bits, after a power of two has brought them into fp16's range).
SweepWorker::Prompts& SweepWorker::prompts_for(const RowFormat& format, bool is_few) {
  Prompts& prompts = is_few ? (format.size == 2 ? few16_ : few32_) : format.type == CLIPENGINE_SWEEP_FLOAT16 ? half_ : format.type == CLIPENGINE_SWEEP_BFLOAT16 ? bfloat_ : single_;
  if (prompts.is_ready) return prompts;
  const int64_t count = sweep_.plan_.prompt_count, width = sweep_.plan_.width;
  if (is_few || format.size == 4) {
    std::vector<float> values(static_cast<size_t>(count * format.width));
    for (int64_t p = 0; p < count; ++p) std::copy_n(sweep_.prompts_.data() + p * width, width, values.data() + p * format.width);
    prompts.memory.reserve(static_cast<int64_t>(values.size()) * 4);
    device_.upload(prompts.memory.address(), values.data(), static_cast<int64_t>(values.size()) * 4);
    prompts.is_ready = true;
    return prompts;
  }
  const bool is_half = format.type == CLIPENGINE_SWEEP_FLOAT16;
  float scale = 1;
  if (is_half) {
    float most = 0;
    for (float value : sweep_.prompts_) most = std::max(most, std::abs(value));
    int exponent;
    std::frexp(most, &exponent);
    scale = std::ldexp(1.0f, std::clamp(15 - exponent, -120, 120));
  }
  const int most_pieces = is_half ? 2 : 3;
  const size_t piece_elements = static_cast<size_t>(count * format.width);
  std::vector<uint16_t> values(piece_elements);
  std::vector<float> rest(sweep_.prompts_);
  for (float& value : rest) value *= scale;
  bool is_exact = false;
  for (int piece = 0; piece < most_pieces && !is_exact; ++piece) {
    values.resize(piece_elements * static_cast<size_t>(piece + 1), 0);
    is_exact = true;
    for (int64_t p = 0; p < count; ++p) {
      for (int64_t k = 0; k < width; ++k) {
        float& value = rest[static_cast<size_t>(p * width + k)];
        const uint16_t bits = is_half ? float_to_half(value) : float_to_bf16(value);
        values[piece_elements * static_cast<size_t>(piece) + static_cast<size_t>(p * format.width + k)] = bits;
        value -= is_half ? half_to_float(bits) : bf16_to_float(bits);
        is_exact = is_exact && value == 0;
      }
    }
    prompts.pieces = piece + 1;
  }
  prompts.unit = 1 / scale;
  prompts.memory.reserve(static_cast<int64_t>(values.size()) * 2);
  device_.upload(prompts.memory.address(), values.data(), static_cast<int64_t>(values.size()) * 2);
  prompts.is_ready = true;
  return prompts;
}

SweepWorker::Places SweepWorker::place(const SharedRun& run, int64_t rows) const {
  const clipengine_sweep_plan& plan = sweep_.plan_;
  Places places{};
  int64_t at = 0;
  const auto take = [&](int64_t bytes) {
    const int64_t place = at;
    at += aligned(bytes);
    return place;
  };
  if (run.resident == nullptr) {
    const bool has_groups = plan.group_count > 0;
    const int64_t runs = has_groups ? GroupTable::most_runs(rows, plan.group_count) : 0;
    places.rows = take(rows * run.format.row_bytes());
    places.order = take(has_groups ? rows * 2 : 0);
    places.runs = take(runs * static_cast<int64_t>(sizeof(SweepRun)));
    places.tile_runs = take(has_groups ? (divided(rows, kSweepTileRows) + 1) * 4 : 0);
    places.run_list = take(runs * 4);
    places.items = take(runs * static_cast<int64_t>(sizeof(SweepItem)));
  }
  places.weights = take(plan.replicate_count * rows * 4);
  places.input_bytes = at;
  at = 0;
  const int64_t cells = rows * plan.segment_count, top = run.batch.top_indices != nullptr ? plan.top_count : 0;
  places.top_columns = take(cells * top * 4);
  places.top_probabilities = take(cells * top * 4);
  places.entropy = take(run.batch.entropy != nullptr ? cells * 4 : 0);
  places.margin = take(run.batch.margin != nullptr ? cells * 4 : 0);
  places.refusal = take(8);
  places.downloaded = at;
  places.probabilities = take(run.batch.probabilities != nullptr || plan.replicate_count > 0 ? rows * plan.prompt_count * 4 : 0);
  if (run.batch.probabilities != nullptr) places.downloaded = at;
  places.output_bytes = at;
  return places;
}

// As many rows as fit into the staging buffers and the workspace, in whole chunks, and at most this device's share.
int64_t SweepWorker::slice_rows(const SharedRun& run) const {
  const clipengine_sweep_plan& plan = sweep_.plan_;
  const Places one = place(run, kSweepBatchRows);
  const double per_row = 1.0 / kSweepBatchRows, runs = plan.group_count == 0 ? 0 : GroupTable::most_runs(kSweepBatchRows, plan.group_count) * per_row;
  const double workspace = runs * static_cast<double>(plan.prompt_count) * 12 + static_cast<double>(sweep_.layout_.pieces) * (20 + 8 * plan.top_count) + static_cast<double>(sweep_.layout_.longs.size()) * 20;
  const auto fit = [&](int64_t bytes, double each) { return each == 0 ? kMostRows : static_cast<int64_t>(static_cast<double>(bytes) / each); };
  int64_t rows = std::min({kMostRows, fit(kInputBytes, static_cast<double>(one.input_bytes) * per_row), fit(kOutputBytes, static_cast<double>(one.output_bytes) * per_row), fit(kWorkspaceBytes, workspace)});
  const int64_t granule = run.resident != nullptr ? kSweepBatchRows : kSweepChunkRows;
  rows = std::max(rows / granule * granule, granule);
  return std::min(rows, divided(divided(run.batch.row_count, run.devices), granule) * granule);
}

void SweepWorker::reserve(const SharedRun& run) {
  const clipengine_sweep_plan& plan = sweep_.plan_;
  slice_rows_ = slice_rows(run);
  const Places places = place(run, slice_rows_);
  for (Slot& slot : slots_) {
    slot.input.reserve(places.input_bytes);
    slot.input_staging.reserve(places.input_bytes);
    slot.output.reserve(places.output_bytes);
    slot.output_staging.reserve(places.downloaded);
    slot.rows = 0;
  }
  const int64_t runs = GroupTable::most_runs(slice_rows_, plan.group_count), top = run.batch.top_indices != nullptr ? plan.top_count : 0;
  if (plan.group_count > 0) {
    run_sums_.reserve(runs * plan.prompt_count * 8);
    run_counts_.reserve(runs * plan.prompt_count * 4);
  }
  statistics_.reserve(sweep_.layout_.pieces * slice_rows_ * kSweepFields * 4);
  merged_.reserve(static_cast<int64_t>(sweep_.layout_.longs.size()) * slice_rows_ * kSweepFields * 4);
  candidate_scores_.reserve(sweep_.layout_.pieces * slice_rows_ * top * 4);
  candidate_columns_.reserve(sweep_.layout_.pieces * slice_rows_ * top * 4);
  const int64_t totals = plan.group_count * plan.prompt_count * 24 + plan.replicate_count * plan.prompt_count * 16;
  totals_.reserve(totals);
  totals_staging_.reserve(totals);
  device_.fill(Queue::kCompute, totals_.address(), 0, std::max<int64_t>(totals, 1));
  group_rows_.assign(static_cast<size_t>(plan.group_count), 0);
  fits_ = true;
}

void SweepWorker::run(SharedRun& run) {
  const Range range("sweep");
  reserve(run);
  const ResidentFeatures::Part* part = nullptr;
  int64_t next = 0, end = 0;  // of the part, in rows of the run
  if (run.resident != nullptr) {
    for (const auto& candidate : run.resident->parts) {
      if (candidate->device == &device_) part = candidate.get();
    }
    if (part == nullptr) throw Error(CLIPENGINE_INVALID_ARGUMENT, "the resident features lie on other devices than the sweep");
    next = std::clamp<int64_t>(part->first - run.first_row, 0, run.batch.row_count);
    end = std::clamp<int64_t>(part->first + part->count - run.first_row, 0, run.batch.row_count);
  }
  Slot* before = nullptr;
  try {
    for (int64_t number = 0;; ++number) {
      Slot& slot = slots_[number % 2];
      slot.rows = 0;
      if (run.resident == nullptr) {
        slot.first = run.next_row.fetch_add(slice_rows_);
        end = run.batch.row_count;
      } else {
        slot.first = next;
        next += slice_rows_;
      }
      const bool is_last = slot.first >= end || run.stopped.load() || slot.first * 4 > run.failed_row.load();
      if (!is_last) {
        slot.rows = std::min(slice_rows_, end - slot.first);
        fetch(run, slot);
        launch(run, slot, part);
      }
      // While this slice is on its way the host sees to the one before.
      if (before != nullptr) finish(run, *before);
      before = is_last ? nullptr : &slot;
      if (is_last) break;
    }
    const int64_t totals = sweep_.plan_.group_count * sweep_.plan_.prompt_count * 24 + sweep_.plan_.replicate_count * sweep_.plan_.prompt_count * 16;
    if (totals > 0) device_.copy_to_host(Queue::kCompute, totals_staging_.get(), totals_.address(), totals);
    device_.synchronize();
  } catch (...) {
    try {
      device_.synchronize();  // nothing may still run when buffers are used again
    } catch (...) {
    }
    throw;
  }
}

SweepTotals SweepWorker::totals() const {
  const int64_t cells = sweep_.plan_.group_count * sweep_.plan_.prompt_count;
  const uint64_t* values = reinterpret_cast<const uint64_t*>(totals_staging_.get());
  return {group_rows_.data(), values, values + cells, values + 3 * cells, fits_};
}

// A slice's inputs into its pinned buffer, and on their way to the device.
void SweepWorker::fetch(const SharedRun& run, Slot& slot) {
  const Range range("sweep: rows to the device");
  const clipengine_sweep_plan& plan = sweep_.plan_;
  const Places places = place(run, slot.rows);
  device_.await(slot.uploaded);  // of the slice that held this buffer before
  unsigned char* staging = slot.input_staging.get();
  if (run.resident == nullptr) {
    read_rows(run.batch, plan.width, run.format, slot.first, slot.rows, staging + places.rows);
    slot.table.build(run.batch.groups == nullptr ? nullptr : run.batch.groups + slot.first, slot.rows, plan.group_count);
    put(staging, places.order, slot.table.order.data(), slot.table.order.size() * sizeof(unsigned short));
    put(staging, places.runs, slot.table.runs.data(), slot.table.runs.size() * sizeof(SweepRun));
    put(staging, places.tile_runs, slot.table.tile_runs.data(), slot.table.tile_runs.size() * sizeof(int));
    put(staging, places.run_list, slot.table.run_list.data(), slot.table.run_list.size() * sizeof(int));
    put(staging, places.items, slot.table.items.data(), slot.table.items.size() * sizeof(SweepItem));
  }
  for (int64_t replicate = 0; replicate < plan.replicate_count; ++replicate)
    std::memcpy(staging + places.weights + replicate * slot.rows * 4, run.batch.weights + replicate * run.batch.weight_stride + slot.first, static_cast<size_t>(slot.rows) * 4);
  device_.wait(Queue::kUpload, slot.computed);
  if (places.input_bytes > 0) device_.copy_to_device(Queue::kUpload, slot.input.address(), staging, places.input_bytes);
  device_.record(slot.uploaded, Queue::kUpload);
}

void SweepWorker::launch(const SharedRun& run, Slot& slot, const ResidentFeatures::Part* part) {
  const Range range("sweep: kernels");
  const clipengine_sweep_plan& plan = sweep_.plan_;
  const Places places = place(run, slot.rows);
  const bool few = is_few(run.format);
  Prompts& prompts = prompts_for(run.format, few);
  const auto input = [&]<typename T>(int64_t at, T*& pointer) { pointer = reinterpret_cast<T*>(slot.input.address() + static_cast<uint64_t>(at)); };
  const auto output = [&]<typename T>(int64_t at, T*& pointer, bool is_wanted) { pointer = is_wanted ? reinterpret_cast<T*>(slot.output.address() + static_cast<uint64_t>(at)) : nullptr; };

  SweepTask task{};
  const GroupTable* table = &slot.table;
  size_t first_batch = 0, last_batch = 0;
  if (part == nullptr) {
    input(places.rows, task.rows);
    input(places.runs, task.runs);
    input(places.tile_runs, task.tile_runs);
    input(places.run_list, task.run_list);
    input(places.items, task.items);
    if (!slot.table.order.empty()) input(places.order, task.order);
    task.item_count = static_cast<int>(slot.table.items.size());
    last_batch = plan.group_count > 0 ? slot.table.batch_items.size() - 1 : 0;
  } else {
    const int64_t first = run.first_row + slot.first - part->first;  // row of the part
    table = &part->table;
    task.rows = part->rows.as<unsigned char>() + first * run.format.row_bytes();
    task.place_base = static_cast<int>(first);
    if (plan.group_count > 0) {
      first_batch = static_cast<size_t>(first / kSweepBatchRows);
      last_batch = first_batch + static_cast<size_t>(divided(slot.rows, kSweepBatchRows));
      const int tile = static_cast<int>(first / kSweepTileRows), first_item = table->batch_items[first_batch];
      task.runs = part->runs.as<SweepRun>();
      task.tile_runs = part->tile_runs.as<int>() + tile;
      task.run_base = table->tile_runs[static_cast<size_t>(tile)];
      task.run_list = part->run_list.as<int>();
      task.items = part->items.as<SweepItem>() + first_item;
      task.item_count = table->batch_items[last_batch] - first_item;
      if (!table->order.empty()) task.order = part->order.as<unsigned short>() + first;
    }
  }
  input(places.weights, task.weights);
  task.prompts = prompts.memory.as<void>();
  task.tiles = tiles_.as<SweepTile>();
  task.longs = longs_.as<SweepLong>();
  task.segment_starts = starts_.as<int>();
  task.run_sums = plan.group_count > 0 ? run_sums_.as<double>() : nullptr;
  task.run_counts = run_counts_.as<unsigned>();
  task.statistics = statistics_.as<unsigned>();
  task.merged = merged_.as<unsigned>();
  task.candidate_scores = candidate_scores_.as<float>();
  task.candidate_columns = candidate_columns_.as<int>();
  const bool has_top = run.batch.top_indices != nullptr, has_probabilities = run.batch.probabilities != nullptr || plan.replicate_count > 0;
  output(places.probabilities, task.probabilities, has_probabilities);
  output(places.top_columns, task.top_columns, has_top);
  output(places.top_probabilities, task.top_probabilities, has_top);
  output(places.entropy, task.entropy, run.batch.entropy != nullptr);
  output(places.margin, task.margin, run.batch.margin != nullptr);
  const int64_t cells = plan.group_count * plan.prompt_count;
  output(places.refusal, task.refusal, true);
  task.counts = totals_.as<unsigned long long>();
  task.sums = task.counts + cells;
  task.weighted_sums = task.counts + 3 * cells;
  task.row_count = static_cast<int>(slot.rows);
  task.width = static_cast<int>(run.format.width);
  task.prompt_count = static_cast<int>(plan.prompt_count);
  task.pieces = prompts.pieces;
  task.segment_count = static_cast<int>(plan.segment_count);
  task.long_count = static_cast<int>(sweep_.layout_.longs.size());
  task.replicate_count = static_cast<int>(plan.replicate_count);
  task.top_count = has_top ? plan.top_count : 0;
  task.is_sigmoid = plan.activation == CLIPENGINE_SWEEP_SIGMOID;
  task.emits = has_probabilities || plan.group_count > 0;
  task.scale = static_cast<float>(plan.scale * kScoreLog2E) * prompts.unit;
  task.bias = static_cast<float>(plan.bias * kScoreLog2E);
  // |score| <= scale * sum |image| |prompt| + |bias|; a quarter of fp32's range leaves room for differences of two scores.
  const double scale = std::abs(plan.scale * kScoreLog2E), room = std::numeric_limits<float>::max() / 4 - std::abs(plan.bias * kScoreLog2E);
  const double bound = room / (sweep_.largest_norm_ * std::max({1.0, scale, 1.0 / prompts.unit}));
  task.largest = static_cast<float>(std::min<double>(bound, std::numeric_limits<float>::max()));

  const auto kernel = [&](const std::string& name, int64_t x, int64_t y, int shared) {
    device_.launch_task(device_.find_kernel(name, shared), {static_cast<uint32_t>(x), static_cast<uint32_t>(y), 1, kSweepThreads, static_cast<uint32_t>(shared)}, &task, sizeof task);
  };
  device_.wait(Queue::kCompute, slot.uploaded);
  device_.wait(Queue::kCompute, slot.downloaded);  // of the slice that held these outputs before
  device_.fill(Queue::kCompute, slot.output.address() + static_cast<uint64_t>(places.refusal), 0xff, 8);
  const std::string type = run.format.name;
  const int64_t tiles = static_cast<int64_t>(sweep_.layout_.tiles.size()), row_tiles = divided(slot.rows, kSweepTileRows);
  if (few) {
    const int columns = plan.prompt_count <= 8 ? 8 : kSweepFewColumns;
    const int64_t step = 32 * (16 / run.format.size), shared = columns * divided(run.format.width, step) * step * 4 + kSweepChunkRows * (columns + 1) * 4;
    kernel("sweep_few_" + type + (columns == 8 ? "_8" : "_16"), divided(slot.rows, kSweepChunkRows), 1, static_cast<int>(shared));
  } else {
    kernel("sweep_check_" + type, divided(slot.rows, kSweepThreads / 32), 1, 0);
    kernel("sweep_scan_" + type, tiles, row_tiles, kTileSharedBytes);
    if (task.long_count > 0) kernel("sweep_merge", divided(slot.rows, kSweepThreads), task.long_count, 0);
    if (task.long_count > 0 && task.emits) kernel("sweep_emit_" + type, tiles, row_tiles, kTileSharedBytes);
  }
  if (task.item_count > 0) kernel("sweep_reduce", divided(task.item_count * plan.prompt_count, kSweepThreads), 1, 0);
  if (plan.replicate_count > 0) kernel("sweep_weighted", divided(plan.replicate_count * plan.prompt_count, kSweepThreads), divided(slot.rows, kSweepBatchRows), 0);
  device_.record(slot.computed, Queue::kCompute);
  device_.wait(Queue::kDownload, slot.computed);
  device_.copy_to_host(Queue::kDownload, slot.output_staging.get(), slot.output.address(), places.downloaded);
  device_.record(slot.downloaded, Queue::kDownload);
  if (plan.group_count > 0) table->add_group_rows(group_rows_.data(), first_batch, last_batch);
}

// Waits for a slice and hands its row outputs to the caller.
void SweepWorker::finish(SharedRun& run, Slot& slot) {
  const Range range("sweep: results from the device");
  const clipengine_sweep_plan& plan = sweep_.plan_;
  const clipengine_sweep_batch& batch = run.batch;
  const Places places = place(run, slot.rows);
  device_.await(slot.downloaded);
  const unsigned char* staging = slot.output_staging.get();
  uint32_t refusal[2];
  std::memcpy(refusal, staging + places.refusal, sizeof refusal);
  if (refusal[0] != 0xffffffffu) {
    const int64_t failed = slot.first * 4 + refusal[0];
    for (int64_t known = run.failed_row.load(); failed < known && !run.failed_row.compare_exchange_weak(known, failed);) {
    }
    return;
  }
  if (refusal[1] != 0xffffffffu) fits_ = false;
  const int64_t cells = plan.segment_count;
  const auto give = [&](void* destination, int64_t each, int64_t from) {
    if (destination != nullptr) std::memcpy(static_cast<unsigned char*>(destination) + slot.first * each, staging + from, static_cast<size_t>(slot.rows * each));
  };
  give(batch.probabilities, plan.prompt_count * 4, places.probabilities);
  give(batch.top_indices, cells * plan.top_count * 4, places.top_columns);
  give(batch.top_probabilities, cells * plan.top_count * 4, places.top_probabilities);
  give(batch.entropy, cells * 4, places.entropy);
  give(batch.margin, cells * 4, places.margin);
}

}  // namespace clipengine::cuda
