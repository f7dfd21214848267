// What every format's decoder offers: size and mode from the header, then rows of pixels in that mode.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/status.h"

namespace clipengine::image {

// Pillow raises beyond twice its MAX_IMAGE_PIXELS; we refuse where it raises.
inline constexpr int64_t kMaximumPixels = 178'956'970;
inline constexpr int64_t kMaximumSide = 1'000'000;
// A progressive image costs a pass over all its blocks per scan. Encoders write about ten.
inline constexpr int kMaximumScans = 100;

// Zeroed bytes behind every row that the resizing kernels read: they load whole vectors.
inline constexpr size_t kRowPadding = 64;

enum class Problem : int32_t {
  kNone = 0,
  kNotAnImage = CLIPENGINE_IMAGE_NOT_AN_IMAGE,
  kUnsupported = CLIPENGINE_IMAGE_UNSUPPORTED,
  kTooLarge = CLIPENGINE_IMAGE_TOO_LARGE,
  kTruncated = CLIPENGINE_IMAGE_TRUNCATED,
  kCorrupt = CLIPENGINE_IMAGE_CORRUPT,
};

// A refusal of the user's image.
class ImageError : public Error {
 public:
  ImageError(Problem problem, const std::string& message) : Error(CLIPENGINE_BAD_INPUT, message), problem_(problem) {}
  Problem problem() const noexcept { return problem_; }

 private:
  Problem problem_;
};

struct Bytes {
  const uint8_t* data;
  size_t size;
};

// What a file stores of a pixel, told apart as Pillow's modes are: the mode decides how an image is resized before it is RGB.
enum class PixelMode {
  kBilevel,    // 1 byte, 0 or 255: Pillow's "1"
  kPalette,    // 1 byte, an index: "P"
  kGray,       // 1 byte: "L"
  kGrayAlpha,  // 2 bytes: "LA"
  kRgb,        // 3 bytes
  kRgba,       // 4 bytes
  kCmyk,       // 4 bytes, ink: 0 is none
  kGray16,     // 2 bytes, a number of this processor's order: "I;16"
};

constexpr size_t bytes_of_pixel(PixelMode mode) {
  switch (mode) {
    case PixelMode::kBilevel:
    case PixelMode::kPalette:
    case PixelMode::kGray:
      return 1;
    case PixelMode::kGrayAlpha:
    case PixelMode::kGray16:
      return 2;
    case PixelMode::kRgb:
      return 3;
    default:
      return 4;
  }
}

// The colours of PixelMode::kPalette.
struct Palette {
  // An index beyond the file's table is its own gray level, as in Pillow.
  Palette() {
    for (size_t i = 0; i < colour.size(); ++i) colour[i] = {static_cast<uint8_t>(i), static_cast<uint8_t>(i), static_cast<uint8_t>(i), 255};
  }

  std::array<std::array<uint8_t, 4>, 256> colour;  // red, green, blue, alpha
  bool has_alpha = false;                          // the file says which entries are transparent
};

// Columns [left, right) and rows [top, bottom) of the decoded image.
struct Window {
  int left;
  int right;
  int top;
  int bottom;
  int width() const { return right - left; }
  int height() const { return bottom - top; }
};

// Constructed from a header that has been checked against the limits; nothing has been decoded yet.
class Decoder {
 public:
  virtual ~Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  virtual int format() const = 0;
  int width() const { return width_; }
  int height() const { return height_; }
  PixelMode mode() const { return mode_; }
  const Palette& palette() const { return palette_; }

  // Bytes that decoding keeps at once, beside a few rows; estimated from the header.
  virtual int64_t memory() const { return 0; }

  // Says which part will be asked for; at most once, before the first row. A decoder may leave out the rest.
  void set_window(const Window& window) { window_ = window; }

  // Writes the window's next count rows in mode(), stride bytes apart.
  virtual void read_rows(uint8_t* rows, size_t stride, int count) = 0;

  // Called behind the last row: reads on until the image is known to be whole.
  virtual void finish() = 0;

 protected:
  Decoder() = default;

  // Checks the limits and takes the size. `format` names it in messages.
  void set_size(const char* format, int64_t width, int64_t height);

  Window window_{};
  PixelMode mode_ = PixelMode::kRgb;
  Palette palette_;

 private:
  int width_ = 0;
  int height_ = 0;
};

// A decoder that makes whole rows one after the other.
class RowDecoder : public Decoder {
 public:
  void read_rows(uint8_t* rows, size_t stride, int count) final;
  void finish() final;

 protected:
  // Makes row next_row_ [width] in mode().
  virtual void decode_row(uint8_t* row) = 0;
  // Behind the last row: throws unless the file goes on to its proper end.
  virtual void finish_file() = 0;

 private:
  int next_row_ = 0;
  std::vector<uint8_t> row_;
};

// Reads the header. Throws ImageError for what is not an image, is not supported or is beyond a limit.
std::unique_ptr<Decoder> open_image(Bytes encoded);

std::unique_ptr<Decoder> open_jpeg(Bytes encoded);
std::unique_ptr<Decoder> open_png(Bytes encoded);
std::unique_ptr<Decoder> open_webp(Bytes encoded);
std::unique_ptr<Decoder> open_bmp(Bytes encoded);
std::unique_ptr<Decoder> open_gif(Bytes encoded);

}  // namespace clipengine::image
