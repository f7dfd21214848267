#include "cpu/sweep.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/isa.h"
#include "cpu/memory.h"

using namespace clipengine;
using namespace clipengine::sweep;

namespace {

// Packed rows of a tile, and beside them the scores of a block and the prompts of two products, in a second-level cache of 1 MiB.
constexpr int64_t kTileBytes = 320 * 1024;
// Scores of a tile beyond this do not stay in a second-level cache.
constexpr int64_t kNearBytes = 2 * 1024 * 1024;
constexpr double kLog2E = 1.44269504088896340736;

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

int64_t element_size(int32_t type) {
  switch (type) {
    case CLIPENGINE_SWEEP_FLOAT16:
    case CLIPENGINE_SWEEP_BFLOAT16: return 2;
    case CLIPENGINE_SWEEP_FLOAT32: return 4;
    case CLIPENGINE_SWEEP_FLOAT64: return 8;
    default: throw Error(CLIPENGINE_INVALID_ARGUMENT, "unknown element type " + std::to_string(type));
  }
}

void require(bool condition, const char* message) {
  if (!condition) throw Error(CLIPENGINE_INVALID_ARGUMENT, message);
}

const char* describe(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNotFinite: return "holds a value that is not finite";
    case Refusal::kZero: return "is all zeros and has no direction";
    default: return "is so large that a score would overflow";
  }
}

// What one thread works in; made when the thread takes its first chunk.
struct Worker {
  Worker(const Plan& plan, const Kernel& kernel)
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

  Buffer<float> tile, values, largest, slots, rows, top_values;
  Buffer<int32_t> top_columns;
  Buffer<double> sums;
  Buffer<uint32_t> counts;
  Buffer<double> weighted, weights, products;
  Buffer<float> dots, zero_row;
  Buffer<int32_t> places, order, groups;
  Buffer<uint8_t> file_rows;
  int64_t file_bytes = 0;
  Workspace workspace{};
};

}  // namespace

struct clipengine_sweep {
  Plan plan{};
  const Kernel* kernel = nullptr;
  std::vector<int64_t> starts;
  std::vector<Block> blocks;
  Buffer<float> packed;
  std::vector<std::unique_ptr<Worker>> workers;
  std::mutex totals;
};

namespace {

int64_t few_stride(const clipengine_sweep& sweep) { return (sweep.plan.width + sweep.kernel->lanes - 1) / sweep.kernel->lanes * sweep.kernel->lanes; }

// Whole segments side by side as long as they fit into a block; a longer one in pieces of its own.
void lay_out(clipengine_sweep& sweep) {
  const Kernel& kernel = *sweep.kernel;
  Plan& plan = sweep.plan;
  int64_t packed = 0;
  const auto add = [&](Block block) {
    block.padded = (block.columns + kernel.column_step - 1) / kernel.column_step * kernel.column_step;
    block.packed = packed;
    packed += block.padded * plan.width;
    plan.value_columns = std::max(plan.value_columns, block.value_column + block.padded);
    plan.slots = std::max(plan.slots, block.whole ? block.segments : block.piece + 1);
    sweep.blocks.push_back(block);
  };
  for (int64_t segment = 0; segment < plan.segments;) {
    const int64_t start = sweep.starts[segment], end = sweep.starts[segment + 1];
    Block block{};
    block.segment = static_cast<int32_t>(segment);
    if (end - start > kBlockColumns) {
      block.segments = 1;
      for (int64_t column = start; column < end; column += kBlockColumns) {
        block.column = column;
        block.columns = static_cast<int32_t>(std::min<int64_t>(kBlockColumns, end - column));
        block.value_column = column - start;
        block.last = column + block.columns == end;
        add(block);
        ++block.piece;
      }
      ++segment;
      continue;
    }
    block.column = start;
    block.whole = block.last = true;
    while (segment < plan.segments && sweep.starts[segment + 1] - start <= kBlockColumns) {
      ++segment;
      ++block.segments;
    }
    block.columns = static_cast<int32_t>(sweep.starts[segment] - start);
    add(block);
  }
  if (plan.few) packed = (plan.prompts + kernel.dot_columns - 1) / kernel.dot_columns * kernel.dot_columns * few_stride(sweep);
  sweep.packed = Buffer<float>(packed);
}

// Interleaves the prompts of every product: [width][columns]. Columns that pad a block are zero.
void pack_prompts(clipengine_sweep& sweep, const clipengine_sweep_plan& source, int64_t& failed_prompt) {
  const Plan& plan = sweep.plan;
  double largest_norm = 0;
  for (const Block& block : sweep.blocks) {
    float* packed = sweep.packed.get() + block.packed;
    for (int32_t first = 0; first < block.padded; first += sweep.kernel->product_columns) {
      const int32_t columns = std::min(sweep.kernel->product_columns, block.padded - first);
      for (int32_t j = 0; j < columns && first + j < block.columns; ++j) {
        const int64_t prompt = block.column + first + j;
        double norm = 0;
        for (int64_t k = 0; k < plan.width; ++k) {
          const float value = static_cast<float>(read_feature(source.prompts, source.prompt_type, prompt * plan.width + k));
          if (plan.few) {
            sweep.packed.get()[prompt * few_stride(sweep) + k] = value;
          } else {
            packed[k * columns + j] = value;
          }
          norm += std::abs(static_cast<double>(value));
        }
        if (!std::isfinite(norm) || norm == 0) {
          failed_prompt = prompt;
          throw Error(CLIPENGINE_BAD_INPUT, describe(norm == 0 ? Refusal::kZero : Refusal::kNotFinite));
        }
        largest_norm = std::max(largest_norm, norm);
      }
      packed += columns * plan.width;
    }
  }
  // |score| <= scale * sum |image| |prompt| + |bias|; half of fp32's range leaves room for differences of two scores.
  const double room = std::numeric_limits<float>::max() / 4 - std::abs(static_cast<double>(plan.bias));
  const double bound = room / (largest_norm * std::max(1.0, std::abs(static_cast<double>(plan.scale))));
  sweep.plan.largest_value = static_cast<float>(std::min<double>(bound, std::numeric_limits<float>::max()));
}

void read_rows(const clipengine_sweep_batch& batch, Worker& worker, int64_t offset, int64_t bytes) {
  if (worker.file_bytes < bytes) {
    worker.file_rows = Buffer<uint8_t>(bytes);
    worker.file_bytes = bytes;
  }
  for (int64_t done = 0; done < bytes;) {
    const ssize_t read = pread(batch.file, worker.file_rows.get() + done, static_cast<size_t>(bytes - done), offset + done);
    if (read == 0) throw Error(CLIPENGINE_BAD_INPUT, "was cut short while it was being read");
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) throw Error(CLIPENGINE_INTERNAL, std::string("could not be read: ") + std::strerror(errno));
    done += read;
  }
}

// The chunk's rows by group, then by number; rows outside every group last. With few columns they stay as they are: each is
// read once, and then only a stream is fast.
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

void clear(const Plan& plan, const Workspace& workspace) {
  std::fill_n(workspace.sums, plan.groups * plan.prompts, 0.0);
  std::fill_n(workspace.counts, plan.groups * plan.prompts, 0u);
  std::fill_n(workspace.weighted, plan.replicates * plan.prompts, 0.0);
}

bool add_and_clear(const Kernel& kernel, clipengine_sweep_total* totals, double* values, int64_t count) {
  bool fits = true;
  if (totals != nullptr && kernel.add_to_totals != nullptr) {
    fits = kernel.add_to_totals(totals, values, count);
  } else if (totals != nullptr) {
    for (int64_t i = 0; i < count; ++i) fits &= add_to_total(totals[i], values[i]);
  }
  std::fill_n(values, count, 0.0);
  return fits;
}

// Adds what a chunk has left in the worker's sums, which are zeros again afterwards.
void add_totals(const Plan& plan, const Kernel& kernel, const Worker& worker, int count, clipengine_sweep_batch& batch) {
  const Workspace& workspace = worker.workspace;
  const int64_t cells = plan.groups * plan.prompts;
  if (batch.group_rows != nullptr) {
    for (int i = 0; i < count; ++i) {
      if (plan.groups > 0 && worker.groups.get()[i] >= 0) ++batch.group_rows[worker.groups.get()[i]];
    }
  }
  for (int64_t i = 0; i < cells; ++i) {
    if (workspace.counts[i] == 0) continue;  // nearly all
    if (batch.argmax_counts != nullptr) batch.argmax_counts[i] += workspace.counts[i];
    workspace.counts[i] = 0;
  }
  const bool fits = add_and_clear(kernel, batch.sums, workspace.sums, cells) & add_and_clear(kernel, batch.weighted_sums, workspace.weighted, plan.replicates * plan.prompts);
  require(fits, "a weighted sum is not finite or beyond 2^46");
}

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
  return chunk;
}

void run(clipengine_sweep& sweep, clipengine_sweep_batch& batch) {
  const Plan& plan = sweep.plan;
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
  });
  if (refusal != Refusal::kNone) {
    batch.failed_row = failed_row.load();
    throw Error(CLIPENGINE_BAD_INPUT, describe(refusal));
  }
}

}  // namespace

namespace clipengine::sweep {

const Kernel* usable(const Kernel* kernel) {
#if defined(__x86_64__)
  if (kernel == avx512_kernel() && kernel != nullptr)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") ? kernel : nullptr;
  if (kernel == avx2_kernel() && kernel != nullptr) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") ? kernel : nullptr;
#endif
  return kernel;
}

const Kernel& best_kernel() {
  const int32_t isa = cpu::default_isa();
  const Kernel* kernel = nullptr;
  if (isa >= CLIPENGINE_CPU_AVX512) kernel = usable(avx512_kernel());
  if (kernel == nullptr && isa >= CLIPENGINE_CPU_AVX2) kernel = usable(avx2_kernel());
  return kernel != nullptr ? *kernel : *portable_kernel();
}

bool add_to_total(clipengine_sweep_total& total, double value) {
  if (!(std::abs(value) < 0x1p46)) return false;
  if (value == 0) return true;
  // value = mantissa * 2^exponent with a whole mantissa below 2^53. By hand: this runs once for each cell and chunk.
  uint64_t word;
  std::memcpy(&word, &value, sizeof word);
  const int biased = static_cast<int>(word >> 52 & 0x7FF);
  const uint64_t mantissa = (word & 0xFFFFFFFFFFFFFull) | (biased == 0 ? 0 : 1ull << 52);
  const int shift = (biased == 0 ? 1 : biased) - 1075 + CLIPENGINE_SWEEP_FRACTION_BITS;
  unsigned __int128 units = mantissa;
  if (shift >= 0) {
    units <<= shift;
  } else if (shift >= -54) {
    units = (units + (static_cast<unsigned __int128>(1) << (-shift - 1))) >> -shift;  // to nearest, halves away from zero
  } else {
    units = 0;
  }
  const __int128 addend = value < 0 ? -static_cast<__int128>(units) : static_cast<__int128>(units);
  const __int128 before = static_cast<__int128>(static_cast<unsigned __int128>(static_cast<uint64_t>(total.high)) << 64 | total.low);
  __int128 after;
  if (__builtin_add_overflow(before, addend, &after)) return false;
  total.low = static_cast<uint64_t>(after);
  total.high = static_cast<int64_t>(after >> 64);
  return true;
}

clipengine_sweep* create(const clipengine_sweep_plan& source, const Kernel& kernel, int64_t& failed_prompt) {
  require(source.prompts != nullptr && source.prompt_count >= 1 && source.width >= 1, "no prompts");
  require(source.prompt_count <= CLIPENGINE_SWEEP_MAXIMUM_PROMPTS, "more prompts than a sweep takes");
  require(source.segment_lengths != nullptr && source.segment_count >= 1, "no segments");
  require(source.group_count >= 0 && source.replicate_count >= 0 && source.top_count >= 0, "a negative count");
  require(std::isfinite(source.scale) && std::isfinite(source.bias), "scale and bias must be finite");
  require(source.activation == CLIPENGINE_SWEEP_SOFTMAX || source.activation == CLIPENGINE_SWEEP_SIGMOID, "unknown activation");
  require(source.entropy == 0 || source.activation == CLIPENGINE_SWEEP_SOFTMAX, "entropy needs probabilities that sum to one: softmax");
  element_size(source.prompt_type);

  auto sweep = std::make_unique<clipengine_sweep>();
  sweep->kernel = &kernel;
  Plan& plan = sweep->plan;
  plan.prompts = source.prompt_count;
  plan.width = source.width;
  plan.segments = source.segment_count;
  plan.groups = source.group_count;
  plan.replicates = source.replicate_count;
  plan.top_count = source.top_count;
  plan.sigmoid = source.activation == CLIPENGINE_SWEEP_SIGMOID;
  plan.entropy = source.entropy != 0;
  plan.scale = static_cast<float>(source.scale * kLog2E);
  plan.bias = static_cast<float>(source.bias * kLog2E);
  require(std::abs(plan.scale) <= 0x1p100f && std::abs(plan.bias) <= 0x1p100f, "scale or bias beyond 2^100");

  sweep->starts.reserve(static_cast<size_t>(plan.segments) + 1);
  sweep->starts.push_back(0);
  for (int64_t s = 0; s < plan.segments; ++s) {
    const int32_t length = source.segment_lengths[s];
    require(length >= 1, "an empty segment");
    require(plan.top_count <= length, "top_count is beyond the shortest segment");
    sweep->starts.push_back(sweep->starts.back() + length);
  }
  require(sweep->starts.back() == plan.prompts, "the segments' lengths do not add up to the prompts");

  plan.few = plan.prompts <= kernel.few_columns;
  plan.tile_rows = 256;
  while (plan.tile_rows > 2 * kernel.panel_rows && plan.tile_rows * plan.width * static_cast<int64_t>(sizeof(float)) > kTileBytes) plan.tile_rows /= 2;
  lay_out(*sweep);
  plan.far_values = plan.value_columns * plan.tile_rows * static_cast<int64_t>(sizeof(float)) > kNearBytes;
  pack_prompts(*sweep, source, failed_prompt);
  plan.segment_starts = sweep->starts.data();
  plan.blocks = sweep->blocks.data();
  plan.block_count = static_cast<int64_t>(sweep->blocks.size());
  plan.packed = sweep->packed.get();
  return sweep.release();
}

}  // namespace clipengine::sweep

extern "C" clipengine_status clipengine_sweep_create(const clipengine_sweep_plan* plan, clipengine_sweep** sweep, int64_t* failed_prompt) noexcept {
  return guard([&] {
    require(plan != nullptr && sweep != nullptr && failed_prompt != nullptr, "a null argument");
    *failed_prompt = -1;
    *sweep = create(*plan, best_kernel(), *failed_prompt);
  });
}

extern "C" void clipengine_sweep_destroy(clipengine_sweep* sweep) noexcept { delete sweep; }

extern "C" clipengine_status clipengine_sweep_run(clipengine_sweep* sweep, clipengine_sweep_batch* batch) noexcept {
  return guard([&] {
    require(sweep != nullptr && batch != nullptr, "a null argument");
    batch->failed_row = -1;
    const Plan& plan = sweep->plan;
    require(batch->row_count >= 0, "a negative number of rows");
    require(plan.replicates == 0 || (batch->weights != nullptr && batch->weight_stride >= batch->row_count), "weights are missing");
    require(batch->entropy == nullptr || plan.entropy, "entropy was not planned");
    require((batch->top_indices == nullptr && batch->top_probabilities == nullptr) || plan.top_count > 0, "top columns were not planned");
    run(*sweep, *batch);
  });
}

extern "C" const char* clipengine_sweep_isa(const clipengine_sweep* sweep) noexcept { return sweep->kernel->name; }
