#include "image/transform.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace clipengine::image {
namespace {

constexpr int kMaximumTarget = 8192;

// Rows decoded at a time: enough to share loaded weights, few enough to stay in the cache.
constexpr int kBand = 8;

// Outputs [begin, end) along one axis, and what they are made of.
struct Axis {
  int64_t begin;
  int64_t end;
  bool resized;
  PackedWeights weights;
  int first;  // input needed: [first, last)
  int last;
};

Axis plan_axis(Filter filter, int input, int64_t output, int64_t offset, int target, bool horizontal, int lanes) {
  Axis axis;
  axis.begin = std::max<int64_t>(offset, 0);
  axis.end = std::min(offset + target, output);
  axis.resized = output != input;
  if (!axis.resized) {
    axis.first = static_cast<int>(axis.begin);
    axis.last = static_cast<int>(axis.end);
    return axis;
  }
  Weights weights = make_weights(filter, input, output, axis.begin, axis.end);
  axis.first = input;
  axis.last = 0;
  for (size_t i = 0; i < weights.first.size(); ++i) {
    axis.first = std::min(axis.first, weights.first[i]);
    axis.last = std::max(axis.last, weights.first[i] + weights.count[i]);
  }
  axis.weights = horizontal ? PackedWeights::horizontal(std::move(weights), axis.first, lanes) : PackedWeights::vertical(std::move(weights));
  return axis;
}

// Python's round: halves go to the even neighbour, as the default rounding mode does.
int64_t round_half_even(double value) { return static_cast<int64_t>(std::nearbyint(value)); }

int64_t center(int64_t size, int target) {
  if (size < target) return -((target - size) / 2);
  return round_half_even(static_cast<double>(size - target) / 2.0);
}

}  // namespace

Geometry plan(const clipengine_image_transform& transform, int width, int height) {
  Geometry geometry;
  if (transform.resize_mode == CLIPENGINE_RESIZE_SQUASH) {
    geometry.resized_width = transform.width;
    geometry.resized_height = transform.height;
  } else if (transform.width == transform.height) {
    const int64_t target = transform.width;
    const int64_t short_side = std::min(width, height);
    const int64_t long_side = std::max(width, height);
    const int64_t resized_long = static_cast<int64_t>(static_cast<double>(target * long_side) / static_cast<double>(short_side));
    geometry.resized_width = width <= height ? target : resized_long;
    geometry.resized_height = width <= height ? resized_long : target;
  } else {
    // open_clip's ResizeKeepRatio: the side that needs the least shrinking decides, so that nothing is left uncovered.
    const double ratio = std::min(static_cast<double>(height) / transform.height, static_cast<double>(width) / transform.width);
    geometry.resized_width = round_half_even(width / ratio);
    geometry.resized_height = round_half_even(height / ratio);
  }
  geometry.left = center(geometry.resized_width, transform.width);
  geometry.top = center(geometry.resized_height, transform.height);
  return geometry;
}

void transform_image(Decoder& decoder, const clipengine_image_transform& transform, const ResampleKernels& kernels, RowSink& sink) {
  if (transform.height < 1 || transform.width < 1 || transform.height > kMaximumTarget || transform.width > kMaximumTarget) {
    throw Error(CLIPENGINE_INVALID_ARGUMENT, "an image of " + std::to_string(transform.width) + " x " + std::to_string(transform.height) +
                                                 " pixels is asked for; expected sides of 1 to " + std::to_string(kMaximumTarget));
  }
  const Geometry geometry = plan(transform, decoder.width(), decoder.height());
  const Filter filter = transform.interpolation == CLIPENGINE_INTERPOLATION_BILINEAR ? Filter::kBilinear : Filter::kBicubic;
  const Axis columns = plan_axis(filter, decoder.width(), geometry.resized_width, geometry.left, transform.width, true, kernels.lanes);
  const Axis rows = plan_axis(filter, decoder.height(), geometry.resized_height, geometry.top, transform.height, false, 0);
  const Weights& row_weights = rows.weights.weights();
  const Window window{columns.first, columns.last, rows.first, rows.last};
  decoder.set_window(window);

  const size_t output_width = static_cast<size_t>(columns.end - columns.begin);
  const size_t left_padding = static_cast<size_t>(columns.begin - geometry.left);
  const size_t output_bytes = static_cast<size_t>(transform.width) * 3;
  const size_t padded_bytes = left_padding * 3;

  // Rows as decoded, then the sliding window of horizontally resized rows that the vertical pass looks at.
  const size_t input_stride = static_cast<size_t>(window.width()) * 3 + kRowPadding;
  std::vector<uint8_t> band(columns.resized ? input_stride * kBand : 0);
  const size_t held_stride = (output_width * 3 + 2 * kRowPadding - 1) / kRowPadding * kRowPadding;
  const int deepest = rows.resized ? *std::max_element(row_weights.count.begin(), row_weights.count.end()) : 1;
  const size_t capacity = static_cast<size_t>(deepest) * 2 + kBand;
  std::vector<uint8_t> held(capacity * held_stride + kRowPadding);
  int held_first = window.top;  // input row that lies at held[0]
  int held_end = window.top;
  const HorizontalPass pass = columns.weights.horizontal_pass();

  std::vector<uint8_t> out(output_bytes + kRowPadding);
  int y = 0;
  const auto emit = [&](const uint8_t* rgb) {
    if (left_padding != 0 || output_width != static_cast<size_t>(transform.width)) {
      std::fill(out.begin(), out.end(), uint8_t{0});
      std::memcpy(out.data() + padded_bytes, rgb, output_width * 3);
      rgb = out.data();
    }
    sink.row(y++, rgb);
  };

  const std::vector<uint8_t> black(output_bytes + kRowPadding);
  for (int64_t i = geometry.top; i < rows.begin; ++i) sink.row(y++, black.data());
  std::vector<uint8_t> line(output_width * 3 + kRowPadding);
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    const size_t index = static_cast<size_t>(i - rows.begin);
    const int first = rows.resized ? row_weights.first[index] : static_cast<int>(i);
    const int count = rows.resized ? row_weights.count[index] : 1;
    while (held_end < first + count) {
      const int fetched = std::min(kBand, window.bottom - held_end);
      if (static_cast<size_t>(held_end - held_first + fetched) > capacity) {
        // Rows before `first` are not needed again: outputs look at ever later rows.
        std::memmove(held.data(), held.data() + static_cast<size_t>(first - held_first) * held_stride,
                     static_cast<size_t>(held_end - first) * held_stride);
        held_first = first;
      }
      uint8_t* destination = held.data() + static_cast<size_t>(held_end - held_first) * held_stride;
      if (columns.resized) {
        decoder.read_rows(band.data(), input_stride, fetched);
        kernels.horizontal(pass, band.data(), input_stride, fetched, destination, held_stride);
      } else {
        decoder.read_rows(destination, held_stride, fetched);
      }
      held_end += fetched;
    }
    const uint8_t* source = held.data() + static_cast<size_t>(first - held_first) * held_stride;
    if (rows.resized) {
      kernels.vertical(rows.weights.vertical_pass(index), source, held_stride, line.data(), output_width * 3);
      source = line.data();
    }
    emit(source);
  }
  while (y < transform.height) sink.row(y++, black.data());
  decoder.finish();
}

}  // namespace clipengine::image
