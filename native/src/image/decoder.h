// What every format's decoder offers: the size from the header, then rows of RGB.
#pragma once

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

  // Says which part will be asked for; at most once, before the first row. A decoder may leave out the rest.
  void set_window(const Window& window) { window_ = window; }

  // Writes the window's next count rows, RGB, stride bytes apart.
  virtual void read_rows(uint8_t* rgb, size_t stride, int count) = 0;

  // Called behind the last row: reads on until the image is known to be whole.
  virtual void finish() = 0;

 protected:
  Decoder() = default;

  // Checks the limits and takes the size. `format` names it in messages.
  void set_size(const char* format, int64_t width, int64_t height);

  Window window_{};

 private:
  int width_ = 0;
  int height_ = 0;
};

// A decoder that makes whole rows one after the other.
class RowDecoder : public Decoder {
 public:
  void read_rows(uint8_t* rgb, size_t stride, int count) final;
  void finish() final;

 protected:
  // Makes row next_row_ [width, 3].
  virtual void decode_row(uint8_t* rgb) = 0;
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
