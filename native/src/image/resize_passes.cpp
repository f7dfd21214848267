#include "image/resize_passes.h"

#include <algorithm>
#include <cstring>

namespace clipengine::image {
namespace {

uint16_t load(const uint8_t* pixel) {
  uint16_t value;
  std::memcpy(&value, pixel, sizeof value);
  return value;
}

// Rounded half away from zero; then each of the two bytes is clipped for itself, as Pillow does: 65536 becomes 65280.
void store(double sum, uint8_t* pixel) {
  const int rounded = static_cast<int>(sum >= 0.0 ? sum + 0.5 : sum - 0.5);
  const int low = std::clamp(rounded % 256, 0, 255);
  const int high = std::clamp(rounded >> 8, 0, 255);
  const uint16_t value = static_cast<uint16_t>(high << 8 | low);
  std::memcpy(pixel, &value, sizeof value);
}

}  // namespace

Axis plan_axis(Filter filter, Rounding rounding, int input, int64_t output, int64_t offset, int target) {
  Axis axis;
  axis.begin = offset;
  axis.end = offset + target;
  axis.resized = output != input;
  if (!axis.resized) {
    axis.first = static_cast<int>(axis.begin);
    axis.last = static_cast<int>(axis.end);
    return axis;
  }
  axis.weights = make_weights(filter, rounding, input, output, axis.begin, axis.end);
  axis.first = input;
  axis.last = 0;
  for (size_t i = 0; i < axis.weights.first.size(); ++i) {
    axis.first = std::min(axis.first, axis.weights.first[i]);
    axis.last = std::max(axis.last, axis.weights.first[i] + axis.weights.count[i]);
  }
  return axis;
}

BytePasses::BytePasses(int channels, const Axis& columns, const Axis& rows, const ResampleKernels& kernels)
    : ResizePasses(static_cast<size_t>(channels)),
      kernels_(kernels),
      columns_(columns.resized ? PackedWeights::horizontal(columns.weights, channels, columns.first, kernels.lanes) : PackedWeights()),
      rows_(rows.resized ? PackedWeights::vertical(rows.weights) : PackedWeights()) {}

void BytePasses::horizontal(const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) const {
  kernels_.horizontal(columns_.horizontal_pass(), rows, stride, count, out, out_stride);
}

void BytePasses::vertical(size_t output, const uint8_t* rows, size_t stride, uint8_t* out, size_t pixels) const {
  kernels_.vertical(rows_.vertical_pass(output), rows, stride, out, pixels * pixel());
}

void Gray16Passes::horizontal(const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) const {
  // A row's sum must be added up in order; several rows are summed beside each other instead.
  constexpr int kRows = 4;
  for (; count >= kRows; count -= kRows, rows += kRows * stride, out += kRows * out_stride) horizontal_rows<kRows>(rows, stride, out, out_stride);
  for (; count > 0; --count, rows += stride, out += out_stride) horizontal_rows<1>(rows, stride, out, out_stride);
}

template <int Rows>
void Gray16Passes::horizontal_rows(const uint8_t* rows, size_t stride, uint8_t* out, size_t out_stride) const {
  const Weights& weights = columns_.weights;
  for (size_t x = 0; x < weights.first.size(); ++x) {
    const double* weight = weights.exact.data() + x * static_cast<size_t>(weights.taps);
    const uint8_t* pixel = rows + static_cast<size_t>(weights.first[x] - columns_.first) * 2;
    double sum[Rows] = {};
    for (int k = 0; k < weights.count[x]; ++k, pixel += 2) {
      for (size_t r = 0; r < Rows; ++r) sum[r] += load(pixel + r * stride) * weight[k];
    }
    for (size_t r = 0; r < Rows; ++r) store(sum[r], out + r * out_stride + 2 * x);
  }
}

void Gray16Passes::vertical(size_t output, const uint8_t* rows, size_t stride, uint8_t* out, size_t pixels) const {
  const double* weight = rows_.weights.exact.data() + output * static_cast<size_t>(rows_.weights.taps);
  sums_.assign(pixels, 0.0);
  for (int k = 0; k < rows_.weights.count[output]; ++k, rows += stride) {
    for (size_t x = 0; x < pixels; ++x) sums_[x] += load(rows + 2 * x) * weight[k];
  }
  for (size_t x = 0; x < pixels; ++x) store(sums_[x], out + 2 * x);
}

}  // namespace clipengine::image
