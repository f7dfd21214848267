// The exported functions.
#include <algorithm>
#include <array>
#include <cstring>

#include "image/colour.h"
#include "image/pixel_rows.h"
#include "image/transform.h"

namespace {

using namespace clipengine;
using namespace clipengine::image;

thread_local int32_t last_problem = 0;

template <typename Body>
clipengine_status guard_image(Body&& body) noexcept {
  last_problem = 0;
  return guard([&] {
    try {
      body();
    } catch (const ImageError& error) {
      last_problem = static_cast<int32_t>(error.problem());
      throw;
    }
  });
}

Bytes check(const uint8_t* encoded, int64_t size, const void* result) {
  if ((encoded == nullptr && size != 0) || size < 0 || result == nullptr) throw Error(CLIPENGINE_INVALID_ARGUMENT, "a null pointer or a negative size");
  return {encoded, static_cast<size_t>(size)};
}

class CropSink final : public RowSink {
 public:
  CropSink(uint8_t* crop, size_t row_bytes) : crop_(crop), row_bytes_(row_bytes) {}
  void row(int y, const uint8_t* rgb) override { std::memcpy(crop_ + static_cast<size_t>(y) * row_bytes_, rgb, row_bytes_); }

 private:
  uint8_t* crop_;
  size_t row_bytes_;
};

// Each channel has 256 possible results, computed once by the formula itself.
class PixelSink final : public RowSink {
 public:
  PixelSink(const clipengine_image_transform& transform, float* pixels)
      : width_(static_cast<size_t>(transform.width)), plane_(width_ * static_cast<size_t>(transform.height)), pixels_(pixels) {
    for (size_t c = 0; c < 3; ++c) {
      if (!(transform.standard_deviation[c] > 0)) throw Error(CLIPENGINE_INVALID_ARGUMENT, "a standard deviation must be positive");
      const float mean = transform.mean[c];
      const float deviation = transform.standard_deviation[c];
      for (int i = 0; i < 256; ++i) {
        const float value = static_cast<float>(i);
        table_[c][static_cast<size_t>(i)] = transform.normalization == CLIPENGINE_NORMALIZE_IN_ONE_STEP ? (value - mean * 255.0f) / (deviation * 255.0f)
                                                                                                        : (value / 255.0f - mean) / deviation;
      }
    }
  }

  void row(int y, const uint8_t* rgb) override {
    float* red = pixels_ + static_cast<size_t>(y) * width_;
    float* green = red + plane_;
    float* blue = green + plane_;
    for (size_t x = 0; x < width_; ++x, rgb += 3) {
      red[x] = table_[0][rgb[0]];
      green[x] = table_[1][rgb[1]];
      blue[x] = table_[2][rgb[2]];
    }
  }

 private:
  size_t width_;
  size_t plane_;
  float* pixels_;
  std::array<std::array<float, 256>, 3> table_;
};

}  // namespace

extern "C" {

clipengine_status clipengine_image_probe(const uint8_t* encoded, int64_t size, clipengine_image_info* info) noexcept {
  return guard_image([&] {
    const std::unique_ptr<Decoder> decoder = open_image(check(encoded, size, info));
    *info = {decoder->format(), decoder->width(), decoder->height(), 0, decoder->memory()};
  });
}

clipengine_status clipengine_image_decode(const uint8_t* encoded, int64_t size, uint8_t* rgb, int64_t capacity) noexcept {
  return guard_image([&] {
    const std::unique_ptr<Decoder> decoder = open_image(check(encoded, size, rgb));
    const int64_t row_bytes = int64_t{decoder->width()} * 3;
    if (capacity != row_bytes * decoder->height()) {
      throw Error(CLIPENGINE_INVALID_ARGUMENT, "the buffer has " + std::to_string(capacity) + " bytes; expected " + std::to_string(row_bytes * decoder->height()));
    }
    const size_t pixels = static_cast<size_t>(decoder->width());
    std::vector<uint8_t> row(pixels * bytes_of_pixel(decoder->mode()));
    for (int y = 0; y < decoder->height(); ++y, rgb += row_bytes) {
      decoder->read_rows(row.data(), row.size(), 1);
      to_rgb(decoder->mode(), decoder->palette(), row.data(), pixels, rgb);
    }
    decoder->finish();
  });
}

clipengine_status clipengine_image_crop(const uint8_t* encoded, int64_t size, const clipengine_image_transform* transform, uint8_t* crop) noexcept {
  return guard_image([&] {
    const Bytes bytes = check(encoded, size, crop);
    if (transform == nullptr) throw Error(CLIPENGINE_INVALID_ARGUMENT, "no transform was given");
    const std::unique_ptr<Decoder> decoder = open_image(bytes);
    CropSink sink(crop, static_cast<size_t>(transform->width) * 3);
    transform_image(*decoder, *transform, resample_kernels(), sink);
  });
}

clipengine_status clipengine_image_preprocess(const uint8_t* encoded, int64_t size, const clipengine_image_transform* transform, float* pixels) noexcept {
  return guard_image([&] {
    const Bytes bytes = check(encoded, size, pixels);
    if (transform == nullptr) throw Error(CLIPENGINE_INVALID_ARGUMENT, "no transform was given");
    const std::unique_ptr<Decoder> decoder = open_image(bytes);
    PixelSink sink(*transform, pixels);
    transform_image(*decoder, *transform, resample_kernels(), sink);
  });
}

clipengine_status clipengine_image_preprocess_pixels(const uint8_t* decoded, int32_t width, int32_t height, int64_t stride, int32_t layout,
                                                     const clipengine_image_transform* transform, float* pixels) noexcept {
  return guard_image([&] {
    if (decoded == nullptr || pixels == nullptr || transform == nullptr) throw Error(CLIPENGINE_INVALID_ARGUMENT, "a null pointer");
    PixelRows rows(decoded, width, height, stride, layout);
    PixelSink sink(*transform, pixels);
    transform_image(rows, *transform, resample_kernels(), sink);
  });
}

int32_t clipengine_image_problem(void) noexcept { return last_problem; }

const char* clipengine_image_kernels(void) noexcept {
  try {
    return resample_kernels().name;
  } catch (const std::exception&) {
    return "none";  // CLIPENGINE_CPU asks for what is not there; the image calls say so
  }
}

}  // extern "C"
