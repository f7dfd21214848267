#include "image/transform.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "image/colour.h"
#include "image/resize_passes.h"

namespace clipengine::image {
namespace {

constexpr int kMaximumTarget = 8192;

// Rows worked on at a time: enough to share loaded weights, few enough to stay in the cache.
constexpr int kBand = 8;

// Python's round: halves go to the even neighbour, as the default rounding mode does.
int64_t round_half_even(double value) { return static_cast<int64_t>(std::nearbyint(value)); }

int64_t crop_start(int64_t size, int target, int rule) {
  return rule == CLIPENGINE_CROP_DOWN ? (size - target) / 2 : round_half_even(static_cast<double>(size - target) / 2.0);
}

// What an image is resized as.
enum class Form {
  kRgb,            // converted before
  kPremultiplied,  // alpha: colours multiplied by it, and divided behind the resize
  kCmyk,
  kGray16,
  kNearest,  // bilevel and palette images: Pillow takes the nearest pixel whatever filter is asked for
};

Form form_of(const Decoder& decoder, const clipengine_image_transform& transform, bool resized) {
  const bool laid_over_white = transform.alpha == CLIPENGINE_ALPHA_WHITE && has_transparency(decoder);
  // Where nothing is resized there is nothing to do in the file's own mode.
  if (transform.rgb_order == CLIPENGINE_RGB_FIRST || laid_over_white || !resized) return Form::kRgb;
  switch (decoder.mode()) {
    case PixelMode::kBilevel:
    case PixelMode::kPalette:
      return Form::kNearest;
    case PixelMode::kGrayAlpha:
    case PixelMode::kRgba:
      return Form::kPremultiplied;
    case PixelMode::kCmyk:
      return Form::kCmyk;
    case PixelMode::kGray16:
      return Form::kGray16;
    default:
      return Form::kRgb;  // of gray, all three channels are resized alike
  }
}

// The window's rows, in the form that is resized.
class Source {
 public:
  Source(Decoder& decoder, Form form, bool over_white, const Window& window)
      : decoder_(decoder), form_(form), over_white_(over_white), pixels_(static_cast<size_t>(window.width())) {
    decoder.set_window(window);
    converts_ = (form == Form::kRgb && decoder.mode() != PixelMode::kRgb) || form == Form::kPremultiplied;
    if (converts_) row_.resize(pixels_ * bytes_of_pixel(decoder.mode()));
  }

  void read(uint8_t* rows, size_t stride, int count) {
    if (!converts_) {
      decoder_.read_rows(rows, stride, count);
      return;
    }
    for (int i = 0; i < count; ++i, rows += stride) {
      decoder_.read_rows(row_.data(), row_.size(), 1);
      if (form_ == Form::kPremultiplied) {
        premultiply(decoder_.mode(), row_.data(), pixels_, rows);
      } else if (over_white_) {
        to_rgb_over_white(decoder_.mode(), decoder_.palette(), row_.data(), pixels_, rows);
      } else {
        to_rgb(decoder_.mode(), decoder_.palette(), row_.data(), pixels_, rows);
      }
    }
  }

 private:
  Decoder& decoder_;
  Form form_;
  bool over_white_;
  bool converts_;
  size_t pixels_;
  std::vector<uint8_t> row_;
};

// Takes resized rows, of the crop's width, and gives them on as RGB.
class Output {
 public:
  Output(Form form, size_t pixels, RowSink& sink) : form_(form), pixels_(pixels), sink_(sink), rgb_(pixels * 3) {}

  void row(const uint8_t* row) {
    if (form_ == Form::kPremultiplied) {
      unpremultiply_to_rgb(row, pixels_, rgb_.data());
    } else if (form_ != Form::kRgb) {
      to_rgb(form_ == Form::kCmyk ? PixelMode::kCmyk : PixelMode::kGray16, Palette(), row, pixels_, rgb_.data());
    }
    sink_.row(y_++, form_ == Form::kRgb ? row : rgb_.data());
  }

 private:
  Form form_;
  size_t pixels_;
  RowSink& sink_;
  std::vector<uint8_t> rgb_;
  int y_ = 0;
};

size_t padded(size_t bytes) { return (bytes + 2 * kRowPadding - 1) / kRowPadding * kRowPadding; }

// Both passes over a sliding window of rows: as they come out of the horizontal pass, or as they are read where that comes second.
void resize(Source& source, const ResizePasses& passes, const Axis& columns, const Axis& rows, bool vertical_first, Output& output) {
  const bool horizontal_first = columns.resized && !vertical_first;
  const bool horizontal_last = columns.resized && vertical_first;
  const size_t held_pixels = static_cast<size_t>(horizontal_first ? columns.outputs() : columns.inputs());
  const size_t input_stride = static_cast<size_t>(columns.inputs()) * passes.pixel() + kRowPadding;
  std::vector<uint8_t> band(horizontal_first ? input_stride * kBand : 0);

  const size_t held_stride = padded(held_pixels * passes.pixel());
  const int deepest = rows.resized ? *std::max_element(rows.weights.count.begin(), rows.weights.count.end()) : 1;
  const size_t capacity = static_cast<size_t>(deepest) * 2 + kBand;
  std::vector<uint8_t> held(capacity * held_stride + kRowPadding);
  int held_first = rows.first;  // input row that lies at held[0]
  int held_end = rows.first;

  // Rows behind the vertical pass, gathered where a horizontal one follows.
  std::vector<uint8_t> lines((horizontal_last ? kBand : 1) * held_stride + kRowPadding);
  const size_t out_stride = padded(static_cast<size_t>(columns.outputs()) * passes.pixel());
  std::vector<uint8_t> resized(horizontal_last ? kBand * out_stride + kRowPadding : 0);
  int gathered = 0;

  for (int64_t i = rows.begin; i < rows.end; ++i) {
    const size_t index = static_cast<size_t>(i - rows.begin);
    const int first = rows.resized ? rows.weights.first[index] : static_cast<int>(i);
    const int count = rows.resized ? rows.weights.count[index] : 1;
    while (held_end < first + count) {
      const int fetched = std::min(kBand, rows.last - held_end);
      if (static_cast<size_t>(held_end - held_first + fetched) > capacity) {
        // Rows before `first` are not needed again: outputs look at ever later rows.
        std::memmove(held.data(), held.data() + static_cast<size_t>(first - held_first) * held_stride,
                     static_cast<size_t>(held_end - first) * held_stride);
        held_first = first;
      }
      uint8_t* destination = held.data() + static_cast<size_t>(held_end - held_first) * held_stride;
      if (horizontal_first) {
        source.read(band.data(), input_stride, fetched);
        passes.horizontal(band.data(), input_stride, fetched, destination, held_stride);
      } else {
        source.read(destination, held_stride, fetched);
      }
      held_end += fetched;
    }
    const uint8_t* row = held.data() + static_cast<size_t>(first - held_first) * held_stride;
    if (rows.resized) {
      uint8_t* line = lines.data() + static_cast<size_t>(gathered) * held_stride;
      passes.vertical(index, row, held_stride, line, held_pixels);
      row = line;
    }
    if (!horizontal_last) {
      output.row(row);
      continue;
    }
    if (++gathered < kBand && i + 1 < rows.end) continue;
    passes.horizontal(lines.data(), held_stride, gathered, resized.data(), out_stride);
    for (int k = 0; k < gathered; ++k) output.row(resized.data() + static_cast<size_t>(k) * out_stride);
    gathered = 0;
  }
}

// The input that Pillow takes for each output [offset, offset + target): positions add up in double precision. -1, none, where the sum
// ends behind the image; such pixels are 0.
std::vector<int> nearest_inputs(int input, int64_t output, int64_t offset, int target) {
  const double step = static_cast<double>(input) / static_cast<double>(output);
  double position = step * 0.5;
  std::vector<int> inputs;
  for (int64_t i = 0; i < offset + target; ++i, position += step) {
    if (i >= offset) inputs.push_back(position < input ? static_cast<int>(position) : -1);
  }
  return inputs;
}

void resize_nearest(Decoder& decoder, const Geometry& geometry, const clipengine_image_transform& transform, RowSink& sink) {
  const std::vector<int> columns = nearest_inputs(decoder.width(), geometry.resized_width, geometry.left, transform.width);
  const std::vector<int> rows = nearest_inputs(decoder.height(), geometry.resized_height, geometry.top, transform.height);
  const int last_row = *std::max_element(rows.begin(), rows.end());
  const int top = std::max(0, rows.front());
  decoder.set_window({0, decoder.width(), top, std::max(top, last_row) + 1});
  std::vector<uint8_t> row(static_cast<size_t>(decoder.width()));
  std::vector<uint8_t> taken(columns.size());
  std::vector<uint8_t> rgb(columns.size() * 3);
  int read = top;  // rows before this one are read
  for (size_t y = 0; y < rows.size(); ++y) {
    if (rows[y] < 0) {
      std::fill(taken.begin(), taken.end(), uint8_t{0});
    } else if (y == 0 || rows[y] != rows[y - 1]) {
      for (; read <= rows[y]; ++read) decoder.read_rows(row.data(), row.size(), 1);
      for (size_t x = 0; x < columns.size(); ++x) taken[x] = columns[x] < 0 ? 0 : row[static_cast<size_t>(columns[x])];
    }
    to_rgb(decoder.mode(), decoder.palette(), taken.data(), taken.size(), rgb.data());
    sink.row(static_cast<int>(y), rgb.data());
  }
}

void check(const clipengine_image_transform& transform) {
  if (transform.height < 1 || transform.width < 1 || transform.height > kMaximumTarget || transform.width > kMaximumTarget) {
    throw Error(CLIPENGINE_INVALID_ARGUMENT, "an image of " + std::to_string(transform.width) + " x " + std::to_string(transform.height) +
                                                 " pixels is asked for; expected sides of 1 to " + std::to_string(kMaximumTarget));
  }
  if (transform.resampler == CLIPENGINE_RESAMPLER_TORCHVISION && transform.rgb_order != CLIPENGINE_RGB_FIRST) {
    throw Error(CLIPENGINE_INVALID_ARGUMENT, "torchvision resizes RGB: the conversion comes first");
  }
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
  geometry.left = crop_start(geometry.resized_width, transform.width, transform.crop_start);
  geometry.top = crop_start(geometry.resized_height, transform.height, transform.crop_start);
  return geometry;
}

void transform_image(Decoder& decoder, const clipengine_image_transform& transform, const ResampleKernels& kernels, RowSink& sink) {
  check(transform);
  const int width = decoder.width();
  const int height = decoder.height();
  const Geometry geometry = plan(transform, width, height);
  const bool resized = geometry.resized_width != width || geometry.resized_height != height;
  const Form form = form_of(decoder, transform, resized);
  if (form == Form::kNearest) {
    resize_nearest(decoder, geometry, transform, sink);
    decoder.finish();
    return;
  }

  // open_clip hands the interpolation to its squares only: ResizeKeepRatio always is bicubic.
  const bool keeps_ratio = transform.resize_mode == CLIPENGINE_RESIZE_SHORTEST && transform.width != transform.height;
  const Filter filter = transform.interpolation == CLIPENGINE_INTERPOLATION_BILINEAR && !keeps_ratio ? Filter::kBilinear : Filter::kBicubic;
  const Rounding rounding = form == Form::kGray16                                        ? Rounding::kNone
                            : transform.resampler == CLIPENGINE_RESAMPLER_TORCHVISION ? Rounding::kTorchvision
                                                                                      : Rounding::kPillow;
  const Axis columns = plan_axis(filter, rounding, width, geometry.resized_width, geometry.left, transform.width);
  const Axis rows = plan_axis(filter, rounding, height, geometry.resized_height, geometry.top, transform.height);
  // Pillow 13 takes the vertical pass first where that leaves much less for the other one.
  const bool vertical_first = transform.resampler == CLIPENGINE_RESAMPLER_PILLOW_13 &&
                              height - geometry.resized_height > 2 * std::max<int64_t>(0, width - geometry.resized_width);

  Source source(decoder, form, transform.alpha == CLIPENGINE_ALPHA_WHITE && has_transparency(decoder), {columns.first, columns.last, rows.first, rows.last});
  Output output(form, static_cast<size_t>(transform.width), sink);
  if (form == Form::kGray16) {
    resize(source, Gray16Passes(columns, rows), columns, rows, vertical_first, output);
  } else {
    resize(source, BytePasses(form == Form::kRgb ? 3 : 4, columns, rows, kernels), columns, rows, vertical_first, output);
  }
  decoder.finish();
}

}  // namespace clipengine::image
