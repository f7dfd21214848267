// Rows of one kind of pixel as another, by Pillow's integer formulas.
#pragma once

#include "image/decoder.h"

namespace clipengine::image {

// Pillow's product of two bytes over 255, rounded.
inline int multiply(int a, int b) {
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

// Whether the file says that some of the image is transparent: what transformers lays over white.
bool has_transparency(const Decoder& decoder);

// rows [pixels] in the decoder's mode to rgb [pixels, 3]; alpha is left out. They may be the same memory only for PixelMode::kRgb.
void to_rgb(PixelMode mode, const Palette& palette, const uint8_t* row, size_t pixels, uint8_t* rgb);

// The same for PixelMode::kPalette, kGrayAlpha and kRgba, laid over white by their alpha.
void to_rgb_over_white(PixelMode mode, const Palette& palette, const uint8_t* row, size_t pixels, uint8_t* rgb);

// PixelMode::kGrayAlpha and kRgba to rgba [pixels, 4], colours multiplied by alpha; what Pillow calls RGBa.
void premultiply(PixelMode mode, const uint8_t* row, size_t pixels, uint8_t* rgba);

// Back: rgba [pixels, 4] to rgb [pixels, 3], colours divided by alpha; alpha is left out.
void unpremultiply_to_rgb(const uint8_t* rgba, size_t pixels, uint8_t* rgb);

}  // namespace clipengine::image
