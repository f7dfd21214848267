// Pixels that are in memory already, as rows of RGB: what a decoder would give for a file with the same pixels.
#pragma once

#include "image/decoder.h"

namespace clipengine::image {

class PixelRows final : public Decoder {
 public:
  // layout: CLIPENGINE_PIXELS_RGB ...; stride in bytes, at least one row. The pixels must outlive the object.
  PixelRows(const uint8_t* pixels, int width, int height, int64_t stride, int layout);

  int format() const override { return 0; }
  void read_rows(uint8_t* rgb, size_t stride, int count) override;
  void finish() override {}

 private:
  const uint8_t* pixels_;
  size_t stride_;
  size_t pixel_bytes_;
  bool blue_first_;
  int next_row_ = 0;
};

}  // namespace clipengine::image
