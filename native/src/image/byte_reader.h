// Reads numbers out of a file's bytes and never beyond them.
#pragma once

#include "image/decoder.h"

namespace clipengine::image {

class ByteReader {
 public:
  ByteReader(Bytes bytes, const char* format) : bytes_(bytes), format_(format) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size - position_; }

  void seek(size_t position) {
    if (position > bytes_.size) truncated();
    position_ = position;
  }

  // The next count bytes, in place.
  const uint8_t* take(size_t count) {
    if (count > remaining()) truncated();
    const uint8_t* taken = bytes_.data + position_;
    position_ += count;
    return taken;
  }

  uint8_t u8() { return *take(1); }
  uint16_t u16() {
    const uint8_t* p = take(2);
    return static_cast<uint16_t>(p[0] | p[1] << 8);
  }
  uint32_t u32() {
    const uint8_t* p = take(4);
    return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16 | static_cast<uint32_t>(p[3]) << 24;
  }

  [[noreturn]] void truncated() const {
    throw ImageError(Problem::kTruncated, std::string(format_) + ": the file ends too early, after " + std::to_string(bytes_.size) + " bytes");
  }

 private:
  Bytes bytes_;
  const char* format_;
  size_t position_ = 0;
};

}  // namespace clipengine::image
