// PNG through libpng. As Pillow does, 16-bit colour and 16-bit gray with alpha keep their high bytes; 16-bit gray stays what it is.
// A transparent colour of an image without palette is not looked at.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>

#include "image/decoder.h"

namespace clipengine::image {
namespace {

// What libpng's callbacks see. libpng leaves by longjmp: every call into it stands in a noexcept function that holds nothing with a
// destructor, returns false on an error, and the caller throws.
struct Source {
  const uint8_t* next = nullptr;
  size_t left = 0;
  bool truncated = false;
  char message[200] = {0};
};

void read_callback(png_structp png, png_bytep destination, size_t count) {
  Source* source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->left) {
    source->truncated = true;
    png_error(png, "the file ends too early");
  }
  std::memcpy(destination, source->next, count);
  source->next += count;
  source->left -= count;
}

void error_callback(png_structp png, png_const_charp message) {
  Source* source = static_cast<Source*>(png_get_error_ptr(png));
  std::strncpy(source->message, message, sizeof source->message - 1);
  png_longjmp(png, 1);
}

void warning_callback(png_structp, png_const_charp) {}

// libpng's own guard for what one chunk may take; pixels are counted beforehand.
constexpr size_t kMaximumChunk = 8'000'000;

bool read_header(png_structp png, png_infop info, Source* source) noexcept {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_read_fn(png, source, read_callback);
  png_set_user_limits(png, static_cast<png_uint_32>(kMaximumSide), static_cast<png_uint_32>(kMaximumSide));
  png_set_chunk_malloc_max(png, kMaximumChunk);
  // Profiles and texts change no pixel here; ignored, they are not inflated either.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_read_info(png, info);
  return true;
}

bool start(png_structp png, png_infop info, size_t* row_bytes) noexcept {
  if (setjmp(png_jmpbuf(png))) return false;
  const int type = png_get_color_type(png, info);
  const int depth = png_get_bit_depth(png, info);
  if (type == PNG_COLOR_TYPE_PALETTE) {
    png_set_packing(png);
  } else if (type == PNG_COLOR_TYPE_GRAY && depth < 8) {
    png_set_expand_gray_1_2_4_to_8(png);
  }
  if (depth == 16 && type != PNG_COLOR_TYPE_GRAY) png_set_strip_16(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  *row_bytes = png_get_rowbytes(png, info);
  return true;
}

bool read_row(png_structp png, uint8_t* row) noexcept {
  if (setjmp(png_jmpbuf(png))) return false;
  png_read_row(png, row, nullptr);
  return true;
}

bool read_image(png_structp png, uint8_t** rows) noexcept {
  if (setjmp(png_jmpbuf(png))) return false;
  png_read_image(png, rows);
  return true;
}

bool read_end(png_structp png) noexcept {
  if (setjmp(png_jmpbuf(png))) return false;
  png_read_end(png, nullptr);
  return true;
}

uint32_t big_endian(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 | static_cast<uint32_t>(p[2]) << 8 | p[3];
}

class PngDecoder final : public RowDecoder {
 public:
  explicit PngDecoder(Bytes encoded) {
    constexpr size_t kHeader = 8 + 8 + 13 + 4;
    if (encoded.size < kHeader) throw ImageError(Problem::kTruncated, "PNG: the file ends inside its header, after " + std::to_string(encoded.size) + " bytes");
    if (big_endian(encoded.data + 8) != 13 || std::memcmp(encoded.data + 12, "IHDR", 4) != 0) {
      throw ImageError(Problem::kCorrupt, "PNG: it does not begin with a header chunk");
    }
    set_size("PNG", big_endian(encoded.data + 16), big_endian(encoded.data + 20));
    const int64_t depth = encoded.data[24];
    const int type = encoded.data[25];
    const int64_t channels = type == 2 ? 3 : type == 4 ? 2 : type == 6 ? 4 : 1;
    const bool legal = (type == 0 && (depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16)) ||
                       (type == 3 && (depth == 1 || depth == 2 || depth == 4 || depth == 8)) ||
                       ((type == 2 || type == 4 || type == 6) && (depth == 8 || depth == 16));
    if (!legal) {
      throw ImageError(Problem::kCorrupt, "PNG: colour type " + std::to_string(type) + " with " + std::to_string(depth) + " bits does not exist");
    }
    // Deflate never shrinks by more than 1032 to 1.
    const int64_t raw = (width() * channels * depth + 7) / 8 * height();
    if (raw / 1032 > static_cast<int64_t>(encoded.size)) {
      throw ImageError(Problem::kTruncated, "PNG: " + std::to_string(encoded.size) + " bytes cannot hold the " + std::to_string(width()) + " x " +
                                                std::to_string(height()) + " pixels of the header");
    }

    source_.next = encoded.data;
    source_.left = encoded.size;
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source_, error_callback, warning_callback);
    if (png_ == nullptr) throw std::bad_alloc();
    info_ = png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw std::bad_alloc();
    }
    try {
      read_mode();
    } catch (...) {
      png_destroy_read_struct(&png_, &info_, nullptr);
      throw;
    }
  }

  ~PngDecoder() override { png_destroy_read_struct(&png_, &info_, nullptr); }

  int format() const override { return CLIPENGINE_IMAGE_PNG; }
  int64_t memory() const override { return interlaced_ ? int64_t{width()} * height() * static_cast<int64_t>(bytes_of_pixel(mode_)) : 0; }

 protected:
  void decode_row(uint8_t* row) override {
    if (!begun_) begin();
    const size_t bytes = static_cast<size_t>(width()) * bytes_of_pixel(mode_);
    if (interlaced_) {
      std::memcpy(row, image_.data() + static_cast<size_t>(row_++) * bytes, bytes);
    } else if (!read_row(png_, row)) {
      fail();
    }
    if (mode_ == PixelMode::kGray16) {
      for (size_t i = 0; i < bytes; i += 2) {
        const uint16_t value = static_cast<uint16_t>(row[i] << 8 | row[i + 1]);
        std::memcpy(row + i, &value, sizeof value);
      }
    }
  }

  void finish_file() override {
    if (!read_end(png_)) fail();
  }

 private:
  void read_mode() {
    if (!read_header(png_, info_, &source_)) fail();
    const int type = png_get_color_type(png_, info_);
    interlaced_ = png_get_interlace_type(png_, info_) != PNG_INTERLACE_NONE;
    const int depth = png_get_bit_depth(png_, info_);
    switch (type) {
      case PNG_COLOR_TYPE_PALETTE:
        mode_ = PixelMode::kPalette;
        break;
      case PNG_COLOR_TYPE_GRAY:
        mode_ = depth == 1 ? PixelMode::kBilevel : depth == 16 ? PixelMode::kGray16 : PixelMode::kGray;
        break;
      case PNG_COLOR_TYPE_GRAY_ALPHA:
        mode_ = PixelMode::kGrayAlpha;
        break;
      case PNG_COLOR_TYPE_RGB_ALPHA:
        mode_ = PixelMode::kRgba;
        break;
      default:
        mode_ = PixelMode::kRgb;
    }
    if (mode_ != PixelMode::kPalette) return;
    png_colorp colours = nullptr;
    int count = 0;
    png_get_PLTE(png_, info_, &colours, &count);
    for (int i = 0; i < count && i < 256; ++i) palette_.colour[static_cast<size_t>(i)] = {colours[i].red, colours[i].green, colours[i].blue, 255};
    png_bytep alpha = nullptr;
    if (png_get_tRNS(png_, info_, &alpha, &count, nullptr) != 0 && alpha != nullptr) {
      palette_.has_alpha = true;
      for (int i = 0; i < count && i < 256; ++i) palette_.colour[static_cast<size_t>(i)][3] = alpha[i];
    }
  }

  void begin() {
    size_t row_bytes = 0;
    if (!start(png_, info_, &row_bytes)) fail();
    if (row_bytes != static_cast<size_t>(width()) * bytes_of_pixel(mode_)) throw Error(CLIPENGINE_INTERNAL, "libpng makes rows of another length than was asked for");
    begun_ = true;
    if (!interlaced_) return;
    image_.resize(row_bytes * static_cast<size_t>(height()));
    std::vector<uint8_t*> rows(static_cast<size_t>(height()));
    for (size_t y = 0; y < rows.size(); ++y) rows[y] = image_.data() + y * row_bytes;
    if (!read_image(png_, rows.data())) fail();
  }

  [[noreturn]] void fail() const {
    if (source_.truncated) throw ImageError(Problem::kTruncated, "PNG: the file ends too early");
    if (std::strstr(source_.message, "ut of memory") != nullptr) throw std::bad_alloc();
    throw ImageError(std::strstr(source_.message, "ot enough image data") != nullptr ? Problem::kTruncated : Problem::kCorrupt,
                     std::string("PNG: ") + source_.message);
  }

  Source source_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  bool interlaced_ = false;
  bool begun_ = false;
  int row_ = 0;
  std::vector<uint8_t> image_;
};

}  // namespace

std::unique_ptr<Decoder> open_png(Bytes encoded) { return std::make_unique<PngDecoder>(encoded); }

}  // namespace clipengine::image
