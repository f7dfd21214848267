// The plain twins of the CPU operations: double precision, one loop an index, nothing clever.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

#include "cpu/kernels.h"

namespace reference {

using Values = std::vector<double>;

inline double activated(double x, clipengine::cpu::Activation activation) {
  using clipengine::cpu::Activation;
  switch (activation) {
    case Activation::Gelu: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::GeluTanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::QuickGelu: return x / (1 + std::exp(-1.702 * x));
    case Activation::Relu: return x > 0 ? x : 0;
    case Activation::Silu: return x / (1 + std::exp(-x));
    case Activation::Tanh: return std::tanh(x);
    case Activation::None: break;
  }
  return x;
}

// y[rows, columns] = x[rows, depth] w[columns, depth]^T
template <typename X, typename W>
Values product(const X* x, const W* w, int64_t rows, int64_t columns, int64_t depth) {
  Values y(static_cast<size_t>(rows * columns));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      double sum = 0;
      for (int64_t k = 0; k < depth; ++k) sum += static_cast<double>(x[r * depth + k]) * static_cast<double>(w[c * depth + k]);
      y[static_cast<size_t>(r * columns + c)] = sum;
    }
  }
  return y;
}

template <typename X>
Values layer_norm(const X* x, int64_t rows, int64_t width, const float* weight, const float* bias, double epsilon) {
  Values y(static_cast<size_t>(rows * width));
  for (int64_t r = 0; r < rows; ++r) {
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < width; ++i) mean += static_cast<double>(x[r * width + i]) / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) variance += std::pow(static_cast<double>(x[r * width + i]) - mean, 2) / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) y[static_cast<size_t>(r * width + i)] = (static_cast<double>(x[r * width + i]) - mean) / std::sqrt(variance + epsilon) * weight[i] + bias[i];
  }
  return y;
}

// q [queries, stride], k and v [keys, stride], one head of one sequence.
template <typename X>
Values attention(const X* q, const X* k, const X* v, int64_t query_stride, int64_t key_stride, int64_t queries, int64_t keys, int64_t width, bool causal, const float* mask) {
  Values y(static_cast<size_t>(queries * width));
  for (int64_t i = 0; i < queries; ++i) {
    std::vector<double> scores(static_cast<size_t>(keys), -std::numeric_limits<double>::infinity());
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t j = 0; j < keys && (!causal || j <= i); ++j) {
      double score = 0;
      for (int64_t d = 0; d < width; ++d) score += static_cast<double>(q[i * query_stride + d]) * static_cast<double>(k[j * key_stride + d]);
      score = score / std::sqrt(static_cast<double>(width)) + (mask != nullptr ? mask[i * keys + j] : 0);
      scores[static_cast<size_t>(j)] = score;
      largest = std::max(largest, score);
    }
    for (double& score : scores) sum += score = std::exp(score - largest);
    for (int64_t d = 0; d < width; ++d) {
      double value = 0;
      for (int64_t j = 0; j < keys; ++j) value += scores[static_cast<size_t>(j)] / sum * static_cast<double>(v[j * key_stride + d]);
      y[static_cast<size_t>(i * width + d)] = value;
    }
  }
  return y;
}

}  // namespace reference
