#include "image/decoder.h"

#include <cstdio>
#include <cstring>
#include <string_view>

namespace clipengine::image {
namespace {

using namespace std::literals;

bool has(Bytes encoded, std::string_view text, size_t at = 0) {
  return encoded.size >= at + text.size() && std::memcmp(encoded.data + at, text.data(), text.size()) == 0;
}

// What a file is that is no image of ours: people meet error pages and documents under image names.
std::string looks_like(Bytes encoded) {
  if (encoded.size == 0) return "the file is empty";
  if (has(encoded, "II*\0"sv) || has(encoded, "MM\0*"sv)) return "it is a TIFF image";
  if (has(encoded, "ftyp"sv, 4)) {
    for (const std::string_view brand : {"heic"sv, "heix"sv, "heif"sv, "mif1"sv, "msf1"sv, "hevc"sv}) {
      if (has(encoded, brand, 8)) return "it is a HEIF image";
    }
    if (has(encoded, "avif"sv, 8) || has(encoded, "avis"sv, 8)) return "it is an AVIF image";
    return "it is an ISO media file (a video?)";
  }
  if (has(encoded, "\xff\x0a"sv) || has(encoded, "\0\0\0\x0cJXL "sv)) return "it is a JPEG XL image";
  if (has(encoded, "\0\0\0\x0cjP  "sv) || has(encoded, "\xff\x4f\xff\x51"sv)) return "it is a JPEG 2000 image";
  if (has(encoded, "8BPS"sv)) return "it is a Photoshop document";
  if (has(encoded, "%PDF"sv)) return "it is a PDF document";
  if (has(encoded, "PK\x03\x04"sv)) return "it is a zip archive";
  if (has(encoded, "\x1f\x8b"sv)) return "it is gzip data";
  if (has(encoded, "\x93NUMPY"sv)) return "it is a NumPy array";
  if (has(encoded, "version https://git-lfs"sv)) return "it is a Git LFS pointer; the image itself was not fetched";

  // Text in one of its guises: skip white space and a byte order mark.
  size_t at = has(encoded, "\xef\xbb\xbf"sv) ? 3 : 0;
  while (at < encoded.size && std::strchr(" \t\r\n", encoded.data[at]) != nullptr && encoded.data[at] != 0) ++at;
  if (at == encoded.size) return "the file holds nothing but white space";
  std::string head;
  bool printable = true;
  for (size_t i = at; i < encoded.size && i < at + 256; ++i) {
    const unsigned char c = encoded.data[i];
    if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') printable = false;
    head.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : static_cast<char>(c));
  }
  if (printable && head[0] == '<') {
    if (head.find("<svg") != std::string::npos) return "it is an SVG drawing";
    if (head.find("<!doctype html") != std::string::npos || head.find("<html") != std::string::npos) return "it is an HTML page (an error page?)";
    return "it is XML or HTML text";
  }
  if (printable) return "it looks like text";

  char bytes[64] = {0};
  size_t length = 0;
  for (size_t i = 0; i < encoded.size && i < 8; ++i) {
    length += static_cast<size_t>(std::snprintf(bytes + length, sizeof bytes - length, i == 0 ? "%02x" : " %02x", encoded.data[i]));
  }
  return std::string("its first bytes are ") + bytes;
}

}  // namespace

void Decoder::set_size(const char* format, int64_t width, int64_t height) {
  const std::string size = std::to_string(width) + " x " + std::to_string(height) + " pixels";
  if (width <= 0 || height <= 0) throw ImageError(Problem::kCorrupt, std::string(format) + ": the header says " + size);
  if (width > kMaximumSide || height > kMaximumSide) {
    throw ImageError(Problem::kTooLarge, std::string(format) + ": the header says " + size + "; a side may have at most " + std::to_string(kMaximumSide));
  }
  if (width * height > kMaximumPixels) {
    throw ImageError(Problem::kTooLarge, std::string(format) + ": the header says " + size + "; at most " + std::to_string(kMaximumPixels) + " pixels are read");
  }
  width_ = static_cast<int>(width);
  height_ = static_cast<int>(height);
  window_ = {0, width_, 0, height_};
}

void RowDecoder::read_rows(uint8_t* rows, size_t stride, int count) {
  const size_t pixel = bytes_of_pixel(mode_);
  const bool whole = window_.left == 0 && window_.right == width();
  if (row_.empty()) row_.resize(static_cast<size_t>(width()) * pixel);
  for (; next_row_ < window_.top; ++next_row_) decode_row(row_.data());
  for (int i = 0; i < count; ++i, ++next_row_, rows += stride) {
    if (whole) {
      decode_row(rows);
    } else {
      decode_row(row_.data());
      std::memcpy(rows, row_.data() + static_cast<size_t>(window_.left) * pixel, static_cast<size_t>(window_.width()) * pixel);
    }
  }
}

void RowDecoder::finish() {
  for (; next_row_ < height(); ++next_row_) decode_row(row_.data());
  finish_file();
}

std::unique_ptr<Decoder> open_image(Bytes encoded) {
  if (has(encoded, "\xff\xd8\xff"sv)) return open_jpeg(encoded);
  if (has(encoded, "\x89PNG\r\n\x1a\n"sv)) return open_png(encoded);
  if (has(encoded, "RIFF"sv) && has(encoded, "WEBP"sv, 8)) return open_webp(encoded);
  if (has(encoded, "GIF87a"sv) || has(encoded, "GIF89a"sv)) return open_gif(encoded);
  if (has(encoded, "BM"sv)) return open_bmp(encoded);
  throw ImageError(Problem::kNotAnImage, "not a JPEG, PNG, WebP, BMP or GIF image: " + looks_like(encoded));
}

}  // namespace clipengine::image
