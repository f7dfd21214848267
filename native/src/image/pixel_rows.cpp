#include "image/pixel_rows.h"

#include <cstring>

namespace clipengine::image {

PixelRows::PixelRows(const uint8_t* pixels, int width, int height, int64_t stride, int layout)
    : pixels_(pixels),
      stride_(static_cast<size_t>(stride)),
      pixel_bytes_(layout == CLIPENGINE_PIXELS_RGBA || layout == CLIPENGINE_PIXELS_BGRA ? 4 : 3),
      blue_first_(layout == CLIPENGINE_PIXELS_BGR || layout == CLIPENGINE_PIXELS_BGRA) {
  if (layout < CLIPENGINE_PIXELS_RGB || layout > CLIPENGINE_PIXELS_BGRA) {
    throw Error(CLIPENGINE_INVALID_ARGUMENT, "there is no pixel layout " + std::to_string(layout));
  }
  set_size("pixels", width, height);
  if (stride < static_cast<int64_t>(width) * static_cast<int64_t>(pixel_bytes_)) {
    throw Error(CLIPENGINE_INVALID_ARGUMENT, "a stride of " + std::to_string(stride) + " bytes is shorter than a row of " + std::to_string(width) + " pixels");
  }
}

void PixelRows::read_rows(uint8_t* rgb, size_t stride, int count) {
  const size_t width = static_cast<size_t>(window_.width());
  for (int i = 0; i < count; ++i, ++next_row_, rgb += stride) {
    const uint8_t* source = pixels_ + static_cast<size_t>(window_.top + next_row_) * stride_ + static_cast<size_t>(window_.left) * pixel_bytes_;
    if (pixel_bytes_ == 3 && !blue_first_) {
      std::memcpy(rgb, source, width * 3);
      continue;
    }
    const size_t red = blue_first_ ? 2 : 0;
    const size_t blue = blue_first_ ? 0 : 2;
    uint8_t* destination = rgb;
    for (size_t x = 0; x < width; ++x, source += pixel_bytes_, destination += 3) {
      destination[0] = source[red];
      destination[1] = source[1];
      destination[2] = source[blue];
    }
  }
}

}  // namespace clipengine::image
