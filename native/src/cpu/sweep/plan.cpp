// How a probe sweep is planned: columns in blocks, rows in tiles, prompts packed for the kernel.
#include "cpu/sweep/plan.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>

#include "core/status.h"
#include "cpu/isa.h"
#include "cpu/sweep/checks.h"
#include "cpu/sweep/features.h"
#include "cpu/sweep/narrow_prompts.h"

namespace clipengine::sweep {

namespace {

// Packed rows of a tile, and beside them the scores of a block and the prompts of two products, in a second-level cache of 1 MiB.
constexpr int64_t kTileBytes = 320 * 1024;
// Scores of a tile beyond this do not stay in a second-level cache.
constexpr int64_t kNearBytes = 2 * 1024 * 1024;
constexpr double kLog2E = 1.44269504088896340736;

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

// Interleaves the prompts of every product: [width][columns]. Columns that pad a block are zero. Where there are few, or in fewer bits, row after row.
void pack_prompts(clipengine_sweep& sweep, const clipengine_sweep_plan& source, int64_t& failed_prompt) {
  const Plan& plan = sweep.plan;
  const bool in_rows = plan.few || plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32;
  double largest_norm = 0;
  for (const Block& block : sweep.blocks) {
    for (int32_t first = 0; first < block.padded; first += sweep.kernel->product_columns) {
      const int32_t columns = std::min(sweep.kernel->product_columns, block.padded - first);
      for (int32_t j = 0; j < columns && first + j < block.columns; ++j) {
        const int64_t prompt = block.column + first + j;
        float* packed = sweep.packed.get() + (in_rows ? prompt * plan.exact_stride : block.packed + first * plan.width + j);
        double norm = 0;
        for (int64_t k = 0; k < plan.width; ++k) {
          const float value = static_cast<float>(read_feature(source.prompts, source.prompt_type, prompt * plan.width + k));
          packed[in_rows ? k : k * columns] = value;
          norm += std::abs(static_cast<double>(value));
        }
        if (!std::isfinite(norm) || norm == 0) {
          failed_prompt = prompt;
          throw Error(CLIPENGINE_BAD_INPUT, describe(norm == 0 ? Refusal::kZero : Refusal::kNotFinite));
        }
        largest_norm = std::max(largest_norm, norm);
      }
    }
  }
  // |score| <= scale * sum |image| |prompt| + |bias|; half of fp32's range leaves room for differences of two scores.
  const double room = std::numeric_limits<float>::max() / 4 - std::abs(static_cast<double>(plan.bias));
  const double bound = room / (largest_norm * std::max(1.0, std::abs(static_cast<double>(plan.scale))));
  sweep.plan.largest_value = static_cast<float>(std::min<double>(bound, std::numeric_limits<float>::max()));
}

}  // namespace

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
  if (plan.precision != CLIPENGINE_SWEEP_IN_FLOAT32) {
    narrow_prompts(*sweep);
  } else {
    plan.packed = sweep->packed.get();
  }
  return sweep.release();
}

}  // namespace clipengine::sweep
