#include "cpu/sweep/narrow_prompts.h"

#include <algorithm>
#include <cmath>

#include "core/half.h"
#include "cpu/sweep/features.h"

namespace clipengine::sweep {

namespace {

// The same for a scale as kNarrowLargest for features.
constexpr double kNarrowScale = 0x1p40;
// Every slack is made for widths up to this.
constexpr int64_t kNarrowWidth = 65536;

}  // namespace

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
  plan.sums_as_fp32 = plan.precision == CLIPENGINE_SWEEP_IN_BFLOAT16 && sweep.kernel->narrow.sums_as_fp32 != nullptr && sweep.kernel->narrow.sums_as_fp32();
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
      const double norm = std::sqrt(squares), error = std::sqrt(lost) + kNormFloor;
      row_error[group] = std::max(row_error[group], static_cast<float>(scale * (norm + error) * 1.001));
      row_norm[group] = std::max(row_norm[group], static_cast<float>(scale * (error + 0x1p-18 * norm) * 1.001));
      row_chain[group] = std::max(row_chain[group], static_cast<float>(scale * chains * 0x1p-24 * std::sqrt(chain) * kChainSlack));
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

}  // namespace clipengine::sweep
