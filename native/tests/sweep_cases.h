// Inputs, outputs and the comparison with the double-precision twin that tests of every sweep share: CPU kernels and GPUs.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "cpu/sweep/reference.h"

namespace sweep_cases {

// Scores of unit vectors are sums of `width` fp32 products: within width * 2^-24 of the truth, times the scale, in the exponent.
// Exponentials and their sums add a few 1e-7 more.
inline double relative_bound(double scale, int64_t width) { return 2e-6 + 4 * std::abs(scale) * std::sqrt(static_cast<double>(width)) * 6e-8; }

inline double to_double(const clipengine_sweep_total& total) {
  return std::ldexp(static_cast<double>(total.high), 64 - 80) + std::ldexp(static_cast<double>(total.low), -80);
}

inline uint16_t to_bfloat(float value) {
  uint32_t word;
  std::memcpy(&word, &value, sizeof word);
  return static_cast<uint16_t>((word + 0x7FFF + (word >> 16 & 1)) >> 16);
}

// Good enough for |value| <= 1: truncates.
inline uint16_t to_half(float value) {
  int exponent;
  const float mantissa = std::frexp(std::abs(value), &exponent);
  uint16_t bits = 0;
  if (value != 0 && exponent >= -13) {
    bits = static_cast<uint16_t>((exponent + 14) << 10 | (static_cast<int>(mantissa * 2048) & 1023));
  } else if (value != 0) {
    bits = static_cast<uint16_t>(std::ldexp(std::abs(value), 24));
  }
  return static_cast<uint16_t>(bits | (value < 0 ? 0x8000 : 0));
}

inline std::vector<uint8_t> store_as(const std::vector<float>& values, int32_t type) {
  std::vector<uint8_t> bytes;
  for (float value : values) {
    const double wide = value;
    const uint16_t half = type == CLIPENGINE_SWEEP_FLOAT16 ? to_half(value) : to_bfloat(value);
    const void* source = type == CLIPENGINE_SWEEP_FLOAT64 ? static_cast<const void*>(&wide) : type == CLIPENGINE_SWEEP_FLOAT32 ? static_cast<const void*>(&value) : &half;
    const size_t size = type == CLIPENGINE_SWEEP_FLOAT64 ? 8 : type == CLIPENGINE_SWEEP_FLOAT32 ? 4 : 2;
    bytes.insert(bytes.end(), static_cast<const uint8_t*>(source), static_cast<const uint8_t*>(source) + size);
  }
  return bytes;
}

inline std::vector<float> unit_rows(int64_t rows, int64_t width, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(rows * width));
  for (int64_t row = 0; row < rows; ++row) {
    double norm = 0;
    for (int64_t k = 0; k < width; ++k) {
      values[row * width + k] = normal(random);
      norm += static_cast<double>(values[row * width + k]) * values[row * width + k];
    }
    for (int64_t k = 0; k < width; ++k) values[row * width + k] = static_cast<float>(values[row * width + k] / std::sqrt(norm));
  }
  return values;
}

struct Case {
  int64_t rows = 37;
  int64_t width = 17;
  std::vector<int32_t> segments = {8};
  double scale = 100;
  double bias = 0;
  int32_t activation = CLIPENGINE_SWEEP_SOFTMAX;
  int32_t row_type = CLIPENGINE_SWEEP_FLOAT32;
  int32_t prompt_type = CLIPENGINE_SWEEP_FLOAT32;
  int32_t top = 1;
  int64_t groups = 3;
  int64_t replicates = 2;
};

// All outputs of one run, with a canary behind each.
struct Outputs {
  static constexpr size_t kCanary = 64;
  std::vector<float> probabilities, top_probabilities, entropy, margin;
  std::vector<int32_t> top_indices;
  std::vector<int64_t> group_rows, counts;
  std::vector<clipengine_sweep_total> sums, weighted;
  clipengine_sweep_batch batch{};

  Outputs(const Case& c, int64_t prompts) {
    const size_t cells = static_cast<size_t>(c.rows) * c.segments.size();
    probabilities.assign(static_cast<size_t>(c.rows * prompts) + kCanary, -7);
    top_probabilities.assign(cells * c.top + kCanary, -7);
    top_indices.assign(cells * c.top + kCanary, -7);
    entropy.assign(cells + kCanary, -7);
    margin.assign(cells + kCanary, -7);
    group_rows.assign(static_cast<size_t>(c.groups), 0);
    counts.assign(static_cast<size_t>(c.groups * prompts), 0);
    sums.assign(counts.size(), {0, 0});
    weighted.assign(static_cast<size_t>(c.replicates * prompts), {0, 0});
    batch.probabilities = probabilities.data();
    batch.top_indices = c.top > 0 ? top_indices.data() : nullptr;
    batch.top_probabilities = c.top > 0 ? top_probabilities.data() : nullptr;
    batch.entropy = c.activation == CLIPENGINE_SWEEP_SOFTMAX ? entropy.data() : nullptr;
    batch.margin = margin.data();
    batch.group_rows = group_rows.data();
    batch.argmax_counts = counts.data();
    batch.sums = sums.data();
    batch.weighted_sums = weighted.data();
  }

  void check_canaries() const {
    for (size_t i = 1; i <= kCanary; ++i) {
      CHECK_EQUAL(probabilities[probabilities.size() - i], -7.0f);
      CHECK_EQUAL(top_probabilities[top_probabilities.size() - i], -7.0f);
      CHECK_EQUAL(top_indices[top_indices.size() - i], -7);
      CHECK_EQUAL(entropy[entropy.size() - i], -7.0f);
      CHECK_EQUAL(margin[margin.size() - i], -7.0f);
    }
  }
};

struct Inputs {
  std::vector<uint8_t> rows, prompts;
  std::vector<int32_t> groups;
  std::vector<float> weights;
  int64_t prompt_count;
  clipengine_sweep_plan plan{};

  explicit Inputs(const Case& c) {
    prompt_count = std::accumulate(c.segments.begin(), c.segments.end(), int64_t{0});
    rows = store_as(unit_rows(c.rows, c.width, 1), c.row_type);
    prompts = store_as(unit_rows(prompt_count, c.width, 2), c.prompt_type);
    std::mt19937 random(3);
    for (int64_t row = 0; row < c.rows; ++row) groups.push_back(static_cast<int32_t>(random() % (c.groups + 1)) - 1);
    for (int64_t i = 0; i < c.rows * c.replicates; ++i) weights.push_back(static_cast<float>(random() % 4));
    plan.prompts = prompts.data();
    plan.prompt_count = prompt_count;
    plan.width = c.width;
    plan.segment_lengths = c.segments.data();
    plan.segment_count = static_cast<int64_t>(c.segments.size());
    plan.group_count = c.groups;
    plan.replicate_count = c.replicates;
    plan.scale = c.scale;
    plan.bias = c.bias;
    plan.prompt_type = c.prompt_type;
    plan.activation = c.activation;
    plan.top_count = c.top;
    plan.entropy = c.activation == CLIPENGINE_SWEEP_SOFTMAX;
  }

  void give(const Case& c, clipengine_sweep_batch& batch) const {
    batch.rows = rows.data();
    batch.row_count = c.rows;
    batch.row_type = c.row_type;
    batch.groups = groups.data();
    batch.weights = weights.data();
    batch.weight_stride = c.rows;
  }
};

// run(plan, batch): one batch through the sweep under test.
template <typename Run>
void compare(const Case& c, Run run) {
  const Inputs inputs(c);
  const int64_t prompts = inputs.prompt_count, segments = static_cast<int64_t>(c.segments.size());
  Outputs expected(c, prompts);
  inputs.give(c, expected.batch);
  std::vector<double> sums(static_cast<size_t>(c.groups * prompts)), weighted(static_cast<size_t>(c.replicates * prompts));
  clipengine::sweep::reference(inputs.plan, expected.batch, sums.data(), weighted.data());
  const double bound = relative_bound(c.scale, c.width);

  Outputs found(c, prompts);
  inputs.give(c, found.batch);
  CHECK_EQUAL(run(inputs.plan, found.batch), CLIPENGINE_OK);
  CHECK_EQUAL(found.batch.failed_row, -1);
  found.check_canaries();
  for (size_t i = 0; i < static_cast<size_t>(c.rows * prompts); ++i)
    CHECK_NEAR(found.probabilities[i], expected.probabilities[i], bound * expected.probabilities[i] + 2e-38);
  for (size_t i = 0; i < sums.size(); ++i) CHECK_NEAR(to_double(found.sums[i]), sums[i], bound * sums[i] + 1e-24);
  for (size_t i = 0; i < weighted.size(); ++i) CHECK_NEAR(to_double(found.weighted[i]), weighted[i], bound * weighted[i] + 1e-24);
  CHECK(found.group_rows == expected.group_rows);
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t s = 0; s < segments; ++s) {
      const int64_t cell = row * segments + s;
      // Two probabilities, each within the bound.
      CHECK_NEAR(found.margin[cell], expected.margin[cell], 2 * bound);
      if (found.batch.entropy != nullptr) CHECK_NEAR(found.entropy[cell], expected.entropy[cell], 4 * bound + 1e-6);
      for (int32_t t = 0; t < c.top; ++t) {
        const int32_t column = found.top_indices[cell * c.top + t];
        CHECK(column >= 0 && column < prompts);
        // Columns whose probabilities differ by less than the bound may change places; the probability at a place may not.
        CHECK_NEAR(found.probabilities[row * prompts + column], expected.top_probabilities[cell * c.top + t], bound * expected.top_probabilities[cell * c.top + t] + 2e-38);
        CHECK_NEAR(found.top_probabilities[cell * c.top + t], found.probabilities[row * prompts + column], bound * found.top_probabilities[cell * c.top + t] + 2e-38);
        for (int32_t u = 0; u < t; ++u) CHECK(found.top_indices[cell * c.top + u] != column);
      }
    }
  }
  // Counts against the sweep's own first places: exact.
  if (c.top > 0) {
    std::vector<int64_t> counts(found.counts.size());
    for (int64_t row = 0; row < c.rows; ++row) {
      for (int64_t s = 0; s < segments; ++s) {
        if (inputs.groups[row] >= 0) ++counts[inputs.groups[row] * prompts + found.top_indices[(row * segments + s) * c.top]];
      }
    }
    CHECK(counts == found.counts);
  }
}

}  // namespace sweep_cases
