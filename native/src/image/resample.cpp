#include "image/resample.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cpu/isa.h"

namespace clipengine::image {
namespace {

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double bilinear(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255)); }

// weight = high * 2^15 + low, low in [0, 2^15): both fit into 16 bits, and sums of products modulo 2^32 give the exact result.
int16_t low_half(int32_t weight) { return static_cast<int16_t>(weight & 0x7FFF); }
int16_t high_half(int32_t weight) { return static_cast<int16_t>(weight >> 15); }

void horizontal_plain(const HorizontalPass& pass, const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) {
  for (int y = 0; y < count; ++y, rows += stride, out += out_stride) {
    for (int x = 0; x < pass.outputs; ++x) {
      const int32_t* weight = pass.value + static_cast<size_t>(x) * static_cast<size_t>(pass.taps);
      const uint8_t* pixel = rows + static_cast<size_t>(pass.first[x]) * 3;
      int32_t sum[3] = {1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1)};
      for (int i = 0; i < pass.count[x]; ++i, pixel += 3) {
        for (int c = 0; c < 3; ++c) sum[c] += pixel[c] * weight[i];
      }
      for (int c = 0; c < 3; ++c) out[3 * x + c] = to_byte(sum[c]);
    }
  }
}

void vertical_plain(const VerticalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) {
    int32_t sum = 1 << (kPrecisionBits - 1);
    for (int k = 0; k < pass.count; ++k) sum += rows[static_cast<size_t>(k) * stride + i] * pass.value[k];
    out[i] = to_byte(sum);
  }
}

const ResampleKernels& choose() {
#if defined(__x86_64__)
  const int32_t isa = cpu::default_isa();
  if (isa >= CLIPENGINE_CPU_AVX512) return kAvx512Kernels;
  if (isa >= CLIPENGINE_CPU_AVX2) return kAvx2Kernels;
#endif
  return kPlainKernels;
}

}  // namespace

const ResampleKernels kPlainKernels = {"portable", 0, horizontal_plain, vertical_plain};

const ResampleKernels& resample_kernels() {
  static const ResampleKernels& chosen = choose();
  return chosen;
}

PackedWeights PackedWeights::horizontal(Weights weights, int first_pixel, int lanes) {
  PackedWeights result;
  result.weights_ = std::move(weights);
  Weights& plain = result.weights_;
  for (int& first : plain.first) first -= first_pixel;
  if (lanes == 0) return result;

  const int pixels = 4 * lanes;
  for (const int count : plain.count) result.blocks_.push_back((count + pixels - 1) / pixels);
  result.block_capacity_ = (plain.taps + pixels - 1) / pixels;
  const size_t block_values = static_cast<size_t>(lanes) * 8 * 4;
  result.packed_.resize(plain.first.size() * static_cast<size_t>(result.block_capacity_) * block_values);
  for (size_t output = 0; output < plain.first.size(); ++output) {
    const int32_t* value = plain.value.data() + output * static_cast<size_t>(plain.taps);
    for (int k = 0; k < plain.count[output]; ++k) {
      const size_t block = output * static_cast<size_t>(result.block_capacity_) + static_cast<size_t>(k / pixels);
      const size_t lane = static_cast<size_t>(k % pixels / 4);
      const size_t pair = static_cast<size_t>(k % 4 / 2);
      int16_t* low = result.packed_.data() + block * block_values + pair * 2 * static_cast<size_t>(lanes) * 8 + lane * 8 + static_cast<size_t>(k % 2);
      int16_t* high = low + static_cast<size_t>(lanes) * 8;
      for (size_t channel = 0; channel < 3; ++channel) {
        low[channel * 2] = low_half(value[k]);
        high[channel * 2] = high_half(value[k]);
      }
    }
  }
  return result;
}

PackedWeights PackedWeights::vertical(Weights weights) {
  PackedWeights result;
  result.weights_ = std::move(weights);
  const Weights& plain = result.weights_;
  const size_t pairs = static_cast<size_t>(plain.taps + 1) / 2;
  result.pairs_.resize(plain.first.size() * pairs * 2);
  const auto word = [](int16_t first, int16_t second) {
    return static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint16_t>(first)) | static_cast<uint32_t>(static_cast<uint16_t>(second)) << 16);
  };
  for (size_t output = 0; output < plain.first.size(); ++output) {
    for (size_t pair = 0; pair < pairs; ++pair) {
      const int32_t* value = plain.value.data() + output * static_cast<size_t>(plain.taps);
      const int32_t first = value[2 * pair];
      const int32_t second = 2 * pair + 1 < static_cast<size_t>(plain.taps) ? value[2 * pair + 1] : 0;
      int32_t* packed = result.pairs_.data() + (output * pairs + pair) * 2;
      packed[0] = word(low_half(first), low_half(second));
      packed[1] = word(high_half(first), high_half(second));
    }
  }
  return result;
}

HorizontalPass PackedWeights::horizontal_pass() const {
  return {weights_.outputs(), weights_.taps, weights_.first.data(), weights_.count.data(), weights_.value.data(), blocks_.data(), packed_.data(), block_capacity_};
}

VerticalPass PackedWeights::vertical_pass(size_t output) const {
  const size_t pairs = static_cast<size_t>(weights_.taps + 1) / 2;
  return {weights_.count[output], weights_.value.data() + output * static_cast<size_t>(weights_.taps), pairs_.data() + output * pairs * 2};
}

Weights make_weights(Filter filter, int input_size, int64_t output_size, int64_t begin, int64_t end) {
  double (*const function)(double) = filter == Filter::kBicubic ? bicubic : bilinear;
  const double filter_support = filter == Filter::kBicubic ? 2.0 : 1.0;
  // The reference keeps the box's borders in single precision; both are exact up to kMaximumSide.
  const double scale = static_cast<double>(input_size) / static_cast<double>(output_size);
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter_support * filter_scale;
  const double inverse = 1.0 / filter_scale;

  Weights weights;
  weights.taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  const size_t outputs = static_cast<size_t>(end - begin);
  weights.first.resize(outputs);
  weights.count.resize(outputs);
  weights.value.resize(outputs * static_cast<size_t>(weights.taps));
  std::vector<double> exact(static_cast<size_t>(weights.taps));
  for (size_t i = 0; i < outputs; ++i) {
    const double center = (static_cast<double>(begin + static_cast<int64_t>(i)) + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int count = std::min(input_size, static_cast<int>(center + support + 0.5)) - first;
    double total = 0.0;
    for (int k = 0; k < count; ++k) {
      exact[static_cast<size_t>(k)] = function((k + first - center + 0.5) * inverse);
      total += exact[static_cast<size_t>(k)];
    }
    int32_t* value = weights.value.data() + i * static_cast<size_t>(weights.taps);
    for (int k = 0; k < count; ++k) {
      double weight = exact[static_cast<size_t>(k)];
      if (total != 0.0) weight /= total;
      value[k] = static_cast<int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kPrecisionBits));
    }
    weights.first[i] = first;
    weights.count[i] = count;
  }
  return weights;
}

}  // namespace clipengine::image
