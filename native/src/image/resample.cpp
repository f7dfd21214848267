#include "image/resample.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cpu/isa_names.h"

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

uint8_t to_byte(int32_t sum, int bits) { return static_cast<uint8_t>(std::clamp(sum >> bits, 0, 255)); }

// weight = high * 2^15 + low, low in [0, 2^15): both fit into 16 bits, and sums of products modulo 2^32 give the exact result.
int16_t low_half(int32_t weight, bool narrow) { return static_cast<int16_t>(narrow ? weight : weight & 0x7FFF); }
int16_t high_half(int32_t weight, bool narrow) { return static_cast<int16_t>(narrow ? 0 : weight >> 15); }

template <size_t Channels>
void horizontal_channels(const HorizontalPass& pass, const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) {
  for (int y = 0; y < count; ++y, rows += stride, out += out_stride) {
    for (size_t x = 0; x < static_cast<size_t>(pass.outputs); ++x) {
      const int32_t* weight = pass.value + x * static_cast<size_t>(pass.taps);
      const uint8_t* pixel = rows + static_cast<size_t>(pass.first[x]) * Channels;
      const int32_t half = 1 << (pass.bits - 1);
      int32_t sum[4] = {half, half, half, half};
      for (int i = 0; i < pass.count[x]; ++i, pixel += Channels) {
        for (size_t c = 0; c < Channels; ++c) sum[c] += pixel[c] * weight[i];
      }
      for (size_t c = 0; c < Channels; ++c) out[Channels * x + c] = to_byte(sum[c], pass.bits);
    }
  }
}

void horizontal_plain(const HorizontalPass& pass, const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) {
  (pass.channels == 3 ? horizontal_channels<3> : horizontal_channels<4>)(pass, rows, stride, count, out, out_stride);
}

void vertical_plain(const VerticalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t bytes) {
  const int32_t half = 1 << (pass.bits - 1);
  for (size_t i = 0; i < bytes; ++i) {
    int32_t sum = half;
    for (int k = 0; k < pass.count; ++k) sum += rows[static_cast<size_t>(k) * stride + i] * pass.value[k];
    out[i] = to_byte(sum, pass.bits);
  }
}

// For one output: which inputs, and their weights in double precision, to be divided by their sum.
class ExactWeights {
 public:
  ExactWeights(Filter filter, int input_size, int64_t output_size)
      : function_(filter == Filter::kBicubic ? bicubic : bilinear),
        input_size_(input_size),
        // Pillow keeps the box's borders in single precision; both are exact up to kMaximumSide.
        scale_(static_cast<double>(input_size) / static_cast<double>(output_size)) {
    const double filter_scale = std::max(scale_, 1.0);
    support_ = (filter == Filter::kBicubic ? 2.0 : 1.0) * filter_scale;
    inverse_ = 1.0 / filter_scale;
  }

  int taps() const { return static_cast<int>(std::ceil(support_)) * 2 + 1; }

  // weight [taps] is filled up to count. Returns their sum; 1 where that is 0.
  double compute(int64_t output, int* first, int* count, double* weight) const {
    const double center = (static_cast<double>(output) + 0.5) * scale_;
    *first = std::max(0, static_cast<int>(center - support_ + 0.5));
    *count = std::min(input_size_, static_cast<int>(center + support_ + 0.5)) - *first;
    double total = 0.0;
    for (int k = 0; k < *count; ++k) {
      weight[k] = function_((k + *first - center + 0.5) * inverse_);
      total += weight[k];
    }
    return total != 0.0 ? total : 1.0;
  }

 private:
  double (*function_)(double);
  int input_size_;
  double scale_;
  double support_;
  double inverse_;
};

// torchvision's choice: the most fraction bits with which the largest weight of the whole axis stays below 2^15.
int narrow_bits(const ExactWeights& exact, int64_t output_size) {
  constexpr int kMost = 22;
  constexpr int kFewest = 14;  // weights stay below 2
  int bits = kMost;
  std::vector<double> weight(static_cast<size_t>(exact.taps()));
  for (int64_t output = 0; output < output_size && bits > kFewest; ++output) {
    int first;
    int count;
    const double total = exact.compute(output, &first, &count, weight.data());
    const double largest = *std::max_element(weight.begin(), weight.begin() + count) / total;
    while (bits > kFewest && static_cast<int>(0.5 + largest * (1 << bits)) >= 1 << 15) --bits;
  }
  return bits;
}

const ResampleKernels& choose() {
#if defined(__x86_64__)
  const int32_t isa = cpu::default_vector_isa();
  if (isa >= CLIPENGINE_CPU_AVX512) return kAvx512Kernels;
  if (isa >= CLIPENGINE_CPU_AVX2) return kAvx2Kernels;
#elif defined(__aarch64__)
  if (cpu::default_vector_isa() != CLIPENGINE_CPU_PORTABLE) return kNeonKernels;
#endif
  return kPlainKernels;
}

}  // namespace

const ResampleKernels kPlainKernels = {"portable", 0, horizontal_plain, vertical_plain};

const ResampleKernels& resample_kernels() {
  static const ResampleKernels& chosen = choose();
  return chosen;
}

PackedWeights PackedWeights::horizontal(Weights weights, int channels, int first_pixel, int lanes) {
  PackedWeights result;
  result.channels_ = channels;
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
      for (size_t channel = 0; channel < 4; ++channel) {
        low[channel * 2] = low_half(value[k], plain.narrow);
        high[channel * 2] = high_half(value[k], plain.narrow);
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
      packed[0] = word(low_half(first, plain.narrow), low_half(second, plain.narrow));
      packed[1] = word(high_half(first, plain.narrow), high_half(second, plain.narrow));
    }
  }
  return result;
}

HorizontalPass PackedWeights::horizontal_pass() const {
  return {channels_, weights_.bits, weights_.narrow, weights_.outputs(), weights_.taps, weights_.first.data(), weights_.count.data(), weights_.value.data(), blocks_.data(), packed_.data(), block_capacity_};
}

VerticalPass PackedWeights::vertical_pass(size_t output) const {
  const size_t pairs = static_cast<size_t>(weights_.taps + 1) / 2;
  return {weights_.bits, weights_.narrow, weights_.count[output], weights_.value.data() + output * static_cast<size_t>(weights_.taps), pairs_.data() + output * pairs * 2};
}

Weights make_weights(Filter filter, Rounding rounding, int input_size, int64_t output_size, int64_t begin, int64_t end) {
  const ExactWeights exact(filter, input_size, output_size);
  Weights weights;
  weights.taps = exact.taps();
  weights.narrow = rounding == Rounding::kTorchvision;
  weights.bits = weights.narrow ? narrow_bits(exact, output_size) : kPillowBits;
  const size_t outputs = static_cast<size_t>(end - begin);
  const size_t taps = static_cast<size_t>(weights.taps);
  weights.first.resize(outputs);
  weights.count.resize(outputs);
  if (rounding == Rounding::kNone) {
    weights.exact.resize(outputs * taps);
  } else {
    weights.value.resize(outputs * taps);
  }
  std::vector<double> one(taps);
  const double unit = 1 << weights.bits;
  for (size_t i = 0; i < outputs; ++i) {
    double* weight = rounding == Rounding::kNone ? weights.exact.data() + i * taps : one.data();
    const double total = exact.compute(begin + static_cast<int64_t>(i), &weights.first[i], &weights.count[i], weight);
    const int count = weights.count[i];
    if (rounding == Rounding::kNone) {
      for (int k = 0; k < count; ++k) weight[k] /= total;
      continue;
    }
    int32_t* value = weights.value.data() + i * taps;
    for (int k = 0; k < count; ++k) {
      const double part = weight[k] / total;
      value[k] = static_cast<int32_t>((part < 0 ? -0.5 : 0.5) + part * unit);
    }
  }
  return weights;
}

}  // namespace clipengine::image
