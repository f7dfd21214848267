#include "cpu/sweep.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <unistd.h>
#endif

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

#include "core/half.h"
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
// Between these nothing that a bound is made of leaves fp32's range; what does not lie there is multiplied in fp32.
constexpr double kNarrowSmallest = 0x1p-30, kNarrowLargest = 0x1p30, kNarrowScale = 0x1p40;
constexpr int64_t kNarrowWidth = 65536;

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
    if (plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32) {
      narrow_tile = Buffer<uint32_t>(plan.tile_rows * plan.words);
      narrow_rows = Buffer<float>(6 * plan.tile_rows);
      masks = Buffer<uint32_t>(2 * (plan.tile_rows / kernel.panel_rows) + kBlockColumns);
      again = Buffer<float>((plan.width + 1) * kernel.product_columns + kernel.lanes);  // a vector is written at a time
      again_scores = Buffer<float>((kernel.product_columns + 1) * kernel.panel_rows);
      bounds = Buffer<double>(plan.groups + plan.replicates);
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

}  // namespace

struct clipengine_sweep {
  Plan plan{};
  const Kernel* kernel = nullptr;
  std::vector<int64_t> starts;
  std::vector<Block> blocks;
  Buffer<float> packed;
  Buffer<uint32_t> narrow;
  Buffer<float> column_factor, group_errors, segment_errors;
  Buffer<int32_t> column_offset;
  std::vector<std::unique_ptr<Worker>> workers;
  std::mutex totals;
};

namespace {

int64_t few_stride(const clipengine_sweep& sweep) { return (sweep.plan.width + sweep.kernel->lanes - 1) / sweep.kernel->lanes * sweep.kernel->lanes; }

// Whole segments side by side as long as they fit into a block; a longer one in pieces of its own.
void lay_out(clipengine_sweep& sweep) {
  const Kernel& kernel = *sweep.kernel;
  Plan& plan = sweep.plan;
  int64_t packed = 0, group = 0;
  const auto add = [&](Block block) {
    block.padded = (block.columns + kernel.column_step - 1) / kernel.column_step * kernel.column_step;
    block.packed = packed;
    block.group = group;
    group += (block.columns + kernel.product_columns - 1) / kernel.product_columns;
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
        block.columns = block.longest = static_cast<int32_t>(std::min<int64_t>(kBlockColumns, end - column));
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
      block.longest = std::max(block.longest, static_cast<int32_t>(sweep.starts[segment + 1] - sweep.starts[segment]));
      ++segment;
      ++block.segments;
    }
    block.columns = static_cast<int32_t>(sweep.starts[segment] - start);
    add(block);
  }
  plan.padded_columns = packed / plan.width;
  plan.products = group;
  if (plan.few) packed = (plan.prompts + kernel.dot_columns - 1) / kernel.dot_columns * kernel.dot_columns * few_stride(sweep);
  plan.exact_stride = few_stride(sweep);
  if (plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32) packed = plan.prompts * plan.exact_stride;
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
          if (plan.few || plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32) {
            sweep.packed.get()[prompt * plan.exact_stride + k] = value;
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

// Whether fewer bits are of use, and what a bound is made of stays in range. Prompts stand in sweep.packed, row after row.
bool can_narrow(const clipengine_sweep_plan& source, const Kernel& kernel, const Plan& plan) {
  if (source.precision == CLIPENGINE_SWEEP_IN_FLOAT32 || (kernel.narrow.precisions >> source.precision & 1) == 0) return false;
  if (plan.few || plan.width > kNarrowWidth) return false;
  if (!(std::abs(static_cast<double>(plan.scale)) >= 1 / kNarrowScale && std::abs(static_cast<double>(plan.scale)) <= kNarrowScale && std::abs(static_cast<double>(plan.bias)) <= kNarrowScale)) return false;
  for (int64_t prompt = 0; prompt < plan.prompts; ++prompt) {
    double most = 0;
    for (int64_t k = 0; k < plan.width; ++k) most = std::max(most, std::abs(read_feature(source.prompts, source.prompt_type, prompt * plan.width + k)));
    // Zeros and what is not finite is refused when prompts are packed.
    if (most != 0 && std::isfinite(most) && !(most >= kNarrowSmallest && most <= kNarrowLargest)) return false;
  }
  return true;
}

// Prompts in fewer bits, as pack_prompts has them; and the norms of what that took from them.
void narrow_prompts(clipengine_sweep& sweep) {
  Plan& plan = sweep.plan;
  const int32_t elements = plan.precision == CLIPENGINE_SWEEP_IN_INT8 ? 4 : 2, product_columns = sweep.kernel->product_columns;
  const double scale = std::abs(static_cast<double>(plan.scale)), chains = plan.precision == CLIPENGINE_SWEEP_IN_BFLOAT16 ? 2 : 1;
  const double room = static_cast<double>(kInt16Norm) - 0.5 * std::sqrt(static_cast<double>(plan.width));
  sweep.narrow = Buffer<uint32_t>(plan.padded_columns * plan.words);
  sweep.column_factor = Buffer<float>(plan.padded_columns);
  sweep.column_offset = Buffer<int32_t>(plan.padded_columns);
  sweep.group_errors = Buffer<float>(3 * plan.products);
  sweep.segment_errors = Buffer<float>(3 * plan.segments);
  plan.sums_as_fp32 = plan.precision == CLIPENGINE_SWEEP_IN_BFLOAT16 && sweep.kernel->narrow.sums_as_fp32;
  float *row_error = sweep.group_errors.get(), *row_norm = row_error + plan.products, *row_chain = row_norm + plan.products;
  for (const Block& block : sweep.blocks) {
    const int64_t first_padded = block.packed / plan.width;
    for (int32_t column = 0; column < block.columns; ++column) {
      const float* values = sweep.packed.get() + (block.column + column) * plan.exact_stride;
      double most = 0, squares = 0, chain = 0;
      for (int64_t k = 0; k < plan.width; ++k) {
        most = std::max(most, std::abs(static_cast<double>(values[k])));
        squares += static_cast<double>(values[k]) * values[k];
        chain += squares;
      }
      float factor = 1;
      if (plan.precision == CLIPENGINE_SWEEP_IN_INT8) factor = static_cast<float>(most / 127);
      if (plan.precision == CLIPENGINE_SWEEP_IN_INT16) factor = static_cast<float>(std::max(most / 32767, std::sqrt(squares) / room) * (1 + 0x1p-20));
      const int32_t in_block = column / product_columns * product_columns, columns = std::min(product_columns, block.padded - in_block);
      const PromptWords lie = sweep.kernel->narrow.prompt_words;
      uint32_t* words = sweep.narrow.get() + (first_padded + (lie == PromptWords::kRows ? column : in_block)) * plan.words;
      const auto place = [&](int64_t word) {
        switch (lie) {
          case PromptWords::kRows: return word;
          case PromptWords::kPairs: return word / 2 * 2 * columns + 2 * (column - in_block) + word % 2;
          default: return word * columns + (column - in_block);
        }
      };
      double lost = 0;
      int64_t sum = 0;
      for (int64_t k = 0; k < plan.width; ++k) {
        double kept;
        uint32_t code;
        if (plan.precision == CLIPENGINE_SWEEP_IN_BFLOAT16) {
          const uint16_t nearest = float_to_bf16(values[k]);
          code = nearest;
          kept = bf16_to_float(nearest);
          plan.sums_as_fp32 &= kept == values[k] && (values[k] == 0 || std::abs(values[k]) >= kSmallestExact);
        } else {
          const double limit = plan.precision == CLIPENGINE_SWEEP_IN_INT8 ? 127 : 32767;
          const double whole = std::clamp(std::nearbyint(values[k] / static_cast<double>(factor)), -limit, limit);
          kept = whole * factor;
          sum += static_cast<int64_t>(whole);
          code = static_cast<uint32_t>(static_cast<int32_t>(whole)) & (elements == 4 ? 0xFFu : 0xFFFFu);
        }
        // VDPBF16PS begins with the upper half.
        const int64_t part = plan.precision == CLIPENGINE_SWEEP_IN_BFLOAT16 ? 1 - k % 2 : k % elements;
        words[place(k / elements)] |= code << (part * (32 / elements));
        lost += (values[k] - kept) * (values[k] - kept);
      }
      const int64_t padded = first_padded + column, group = block.group + column / product_columns;
      sweep.column_factor.get()[padded] = plan.precision == CLIPENGINE_SWEEP_IN_BFLOAT16 ? plan.scale : factor * plan.scale;
      // A row's bytes are more by 128 than they should be.
      if (elements == 4 && sweep.kernel->narrow.unsigned_rows) sweep.column_offset.get()[padded] = static_cast<int32_t>(-128 * sum);
      const double norm = std::sqrt(squares), error = std::sqrt(lost) + 0x1p-55;
      row_error[group] = std::max(row_error[group], static_cast<float>(scale * (norm + error) * 1.001));
      row_norm[group] = std::max(row_norm[group], static_cast<float>(scale * (error + 0x1p-18 * norm) * 1.001));
      row_chain[group] = std::max(row_chain[group], static_cast<float>(scale * chains * 0x1p-24 * std::sqrt(chain) * 1.01));
    }
  }
  float *segment_error = sweep.segment_errors.get(), *segment_norm = segment_error + plan.segments, *segment_chain = segment_norm + plan.segments;
  for (const Block& block : sweep.blocks) {
    for (int32_t s = 0; s < block.segments; ++s) {
      const int64_t segment = block.segment + s;
      const int64_t begin = block.whole ? sweep.starts[segment] - block.column : 0, end = block.whole ? sweep.starts[segment + 1] - block.column : block.columns;
      for (int64_t group = block.group + begin / product_columns; group <= block.group + (end - 1) / product_columns; ++group) {
        segment_error[segment] = std::max(segment_error[segment], row_error[group]);
        segment_norm[segment] = std::max(segment_norm[segment], row_norm[group]);
        segment_chain[segment] = std::max(segment_chain[segment], row_chain[group]);
      }
    }
  }
  plan.narrow = sweep.narrow.get();
  plan.exact = sweep.packed.get();
  plan.column_factor = sweep.column_factor.get();
  plan.column_offset = sweep.column_offset.get();
  plan.group_row_error = row_error;
  plan.group_row_norm = row_norm;
  plan.group_row_chain = row_chain;
  plan.segment_row_error = segment_error;
  plan.segment_row_norm = segment_norm;
  plan.segment_row_chain = segment_chain;
  plan.error_floor = static_cast<float>(std::abs(static_cast<double>(plan.bias)) * 0x1p-20 + scale * 0x1p-50 + 0x1p-100);
}

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
  *workspace.tally = {};
  if (plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32) std::fill_n(workspace.group_bounds, plan.groups + plan.replicates, 0.0);
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

// The same for the bounds on them. Each is a sum of at most a chunk's numbers, in double precision: rounded up.
void add_bounds(const Plan& plan, const Workspace& workspace, clipengine_sweep_batch& batch) {
  batch.open_scores += workspace.tally->open_scores;
  batch.bound = std::max(batch.bound, workspace.tally->bound);
  batch.entropy_bound = std::max(batch.entropy_bound, workspace.tally->entropy_bound);
  const auto add = [](clipengine_sweep_total* totals, const double* bounds, int64_t count) {
    for (int64_t i = 0; totals != nullptr && i < count; ++i) require(add_to_total(totals[i], bounds[i] * (1 + 0x1p-40) + 0x1p-80), "a weighted sum is not finite or beyond 2^46");
  };
  add(batch.sum_bounds, workspace.group_bounds, plan.groups);
  add(batch.weighted_bounds, workspace.weighted_bounds, plan.replicates);
  *workspace.tally = {};
  std::fill_n(workspace.group_bounds, plan.groups + plan.replicates, 0.0);
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
  if (plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32) add_bounds(plan, workspace, batch);
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

namespace clipengine::sweep {

namespace {

// The kernel that multiplies in a precision on this instruction set and does more a second than fp32's multiply-adds, or null.
const Kernel* narrow_kernel(int32_t precision, int32_t isa) {
  const Kernel* kernel = nullptr;
  switch (isa) {
    case CLIPENGINE_CPU_AMX: kernel = amx_kernel(); break;
    case CLIPENGINE_CPU_AMX_EMULATED: kernel = amx_emulated_kernel(); break;
    case CLIPENGINE_CPU_AVX512_VNNI:
      if (precision != CLIPENGINE_SWEEP_IN_BFLOAT16) kernel = avx512_narrow_kernel();
      break;
    case CLIPENGINE_CPU_AVX512_BF16: kernel = avx512_narrow_kernel(); break;
    case CLIPENGINE_CPU_NEON_DOT: kernel = neon_dot_kernel(); break;
    case CLIPENGINE_CPU_NEON_MATRIX: kernel = neon_matrix_kernel(); break;
  }
  kernel = usable(kernel);
  if (kernel == nullptr || (kernel->narrow.precisions >> precision & 1) == 0) return nullptr;
#if defined(__x86_64__)
  // Intel's vector units take pairs, of bf16 and of 16 bits, at half the rate of AMD's: no faster than fp32.
  if (kernel->narrow.tiles_isa < 0 && precision != CLIPENGINE_SWEEP_IN_INT8 && __builtin_cpu_is("intel")) return nullptr;
#endif
  return kernel;
}

}  // namespace

const Kernel* usable(const Kernel* kernel) {
  if (kernel == nullptr) return nullptr;
#if defined(__x86_64__)
  if (kernel == amx_kernel()) return cpu::why_not(CLIPENGINE_CPU_AMX).empty() ? usable(avx512_narrow_kernel()) != nullptr ? kernel : nullptr : nullptr;
  if (kernel == amx_emulated_kernel()) return usable(avx512_narrow_kernel()) != nullptr ? kernel : nullptr;
  if (kernel == avx512_narrow_kernel()) return __builtin_cpu_supports("avx512vnni") && usable(avx512_kernel()) != nullptr ? kernel : nullptr;
  if (kernel == avx512_kernel())
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") ? kernel : nullptr;
  if (kernel == avx2_kernel()) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") ? kernel : nullptr;
#elif defined(__aarch64__)
  if (kernel == neon_dot_kernel() && !cpu::processor_has(CLIPENGINE_CPU_NEON_DOT)) return nullptr;
  if (kernel == neon_matrix_kernel() && !cpu::processor_has(CLIPENGINE_CPU_NEON_MATRIX)) return nullptr;
#endif
  return kernel;
}

const Kernel& best_kernel(int32_t precision) {
  const int32_t wanted = cpu::default_isa();
  if (precision != CLIPENGINE_SWEEP_IN_FLOAT32) {
    if (const Kernel* kernel = narrow_kernel(precision, wanted)) return *kernel;
  }
  const int32_t isa = cpu::vector_isa_of(wanted);
  if (isa == CLIPENGINE_CPU_PORTABLE) return *portable_kernel();
  const Kernel* kernel = usable(neon_kernel());
  if (kernel == nullptr && isa >= CLIPENGINE_CPU_AVX512) kernel = usable(avx512_kernel());
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
  require(source.precision >= CLIPENGINE_SWEEP_IN_FLOAT32 && source.precision <= CLIPENGINE_SWEEP_IN_INT8, "unknown precision");
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
  if (can_narrow(source, kernel, plan)) {
    plan.precision = source.precision;
    const int32_t elements = plan.precision == CLIPENGINE_SWEEP_IN_INT8 ? 4 : 2;
    plan.words = cpu::round_up(cpu::divide_up(plan.width, elements), kernel.narrow.word_step);
    if (kernel.narrow.tiles_isa >= 0) plan.multiply_tiles = cpu::kernels_of(kernel.narrow.tiles_isa).multiply_tiles;
  }
  lay_out(*sweep);
  plan.far_values = plan.value_columns * plan.tile_rows * static_cast<int64_t>(sizeof(float)) > kNearBytes;
  pack_prompts(*sweep, source, failed_prompt);
  plan.segment_starts = sweep->starts.data();
  plan.blocks = sweep->blocks.data();
  plan.block_count = static_cast<int64_t>(sweep->blocks.size());
  plan.packed = sweep->packed.get();
  if (plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32) narrow_prompts(*sweep);
  return sweep.release();
}

}  // namespace clipengine::sweep

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
