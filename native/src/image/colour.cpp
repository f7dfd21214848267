#include "image/colour.h"

#include <algorithm>
#include <cstring>

namespace clipengine::image {
namespace {

// One byte of a colour over white; alpha in [0, 255]. Pillow's alpha_composite: 7 more bits, divisions rounded.
uint8_t over_white(int value, int alpha) {
  constexpr int kBits = 7;
  const uint32_t own = static_cast<uint32_t>(alpha) * 255 * 255 * (1u << kBits) / (255 * 255);
  const uint32_t sum = static_cast<uint32_t>(value) * own + 255 * (255 * (1u << kBits) - own) + (0x80u << kBits);
  return static_cast<uint8_t>((((sum >> 8) + sum) >> 8) >> kBits);
}

// 255 / alpha with kInverseBits fraction bits, rounded up: with it every quotient 255 c / alpha of bytes is cut to the same whole number,
// because it lies at least 1 / 255 below the next one.
constexpr int kInverseBits = 24;
constexpr std::array<uint32_t, 256> kInverse = [] {
  std::array<uint32_t, 256> inverse{};
  for (uint64_t alpha = 1; alpha < 256; ++alpha) inverse[alpha] = static_cast<uint32_t>(((uint64_t{255} << kInverseBits) + alpha - 1) / alpha);
  return inverse;
}();

void put_gray(uint8_t* rgb, uint8_t value) { rgb[0] = rgb[1] = rgb[2] = value; }

}  // namespace

bool has_transparency(const Decoder& decoder) {
  const PixelMode mode = decoder.mode();
  return mode == PixelMode::kGrayAlpha || mode == PixelMode::kRgba || (mode == PixelMode::kPalette && decoder.palette().has_alpha);
}

void to_rgb(PixelMode mode, const Palette& palette, const uint8_t* row, size_t pixels, uint8_t* rgb) {
  switch (mode) {
    case PixelMode::kRgb:
      if (row != rgb) std::memcpy(rgb, row, pixels * 3);
      break;
    case PixelMode::kBilevel:
    case PixelMode::kGray:
      for (size_t x = 0; x < pixels; ++x) put_gray(rgb + 3 * x, row[x]);
      break;
    case PixelMode::kGrayAlpha:
      for (size_t x = 0; x < pixels; ++x) put_gray(rgb + 3 * x, row[2 * x]);
      break;
    case PixelMode::kGray16:
      for (size_t x = 0; x < pixels; ++x) {
        uint16_t value;
        std::memcpy(&value, row + 2 * x, sizeof value);
        put_gray(rgb + 3 * x, static_cast<uint8_t>(std::min<int>(value, 255)));
      }
      break;
    case PixelMode::kPalette:
      for (size_t x = 0; x < pixels; ++x) std::memcpy(rgb + 3 * x, palette.colour[row[x]].data(), 3);
      break;
    case PixelMode::kRgba:
      for (size_t x = 0; x < pixels; ++x) std::memcpy(rgb + 3 * x, row + 4 * x, 3);
      break;
    case PixelMode::kCmyk:
      for (size_t x = 0; x < pixels; ++x) {
        const int light = 255 - row[4 * x + 3];
        for (size_t c = 0; c < 3; ++c) rgb[3 * x + c] = static_cast<uint8_t>(std::max(0, light - multiply(row[4 * x + c], light)));
      }
      break;
  }
}

void to_rgb_over_white(PixelMode mode, const Palette& palette, const uint8_t* row, size_t pixels, uint8_t* rgb) {
  if (mode == PixelMode::kPalette) {
    std::array<std::array<uint8_t, 3>, 256> colour;
    for (size_t i = 0; i < colour.size(); ++i) {
      for (size_t c = 0; c < 3; ++c) colour[i][c] = over_white(palette.colour[i][c], palette.colour[i][3]);
    }
    for (size_t x = 0; x < pixels; ++x) std::memcpy(rgb + 3 * x, colour[row[x]].data(), 3);
  } else if (mode == PixelMode::kGrayAlpha) {
    for (size_t x = 0; x < pixels; ++x) put_gray(rgb + 3 * x, over_white(row[2 * x], row[2 * x + 1]));
  } else {
    for (size_t x = 0; x < pixels; ++x) {
      for (size_t c = 0; c < 3; ++c) rgb[3 * x + c] = over_white(row[4 * x + c], row[4 * x + 3]);
    }
  }
}

void premultiply(PixelMode mode, const uint8_t* row, size_t pixels, uint8_t* rgba) {
  const bool gray = mode == PixelMode::kGrayAlpha;
  // multiply() on three colours at once, each in 16 bits of one word: no sum reaches the next.
  constexpr uint64_t kLow = 0x0000'00FF'00FF'00FF;
  constexpr uint64_t kHalf = 0x0000'0080'0080'0080;
  for (size_t x = 0; x < pixels; ++x, rgba += 4) {
    const uint8_t* in = row + (gray ? 2 : 4) * x;
    const uint64_t alpha = in[gray ? 1 : 3];
    const uint64_t colours = gray ? in[0] * uint64_t{0x0000'0001'0001'0001} : in[0] | uint64_t{in[1]} << 16 | uint64_t{in[2]} << 32;
    uint64_t product = colours * alpha + kHalf;
    product = (product + (product >> 8 & kLow)) >> 8 & kLow;
    rgba[0] = static_cast<uint8_t>(product);
    rgba[1] = static_cast<uint8_t>(product >> 16);
    rgba[2] = static_cast<uint8_t>(product >> 32);
    rgba[3] = static_cast<uint8_t>(alpha);
  }
}

void unpremultiply_to_rgb(const uint8_t* rgba, size_t pixels, uint8_t* rgb) {
  for (size_t x = 0; x < pixels; ++x, rgba += 4, rgb += 3) {
    const uint64_t inverse = kInverse[rgba[3] == 0 ? 255 : rgba[3]];  // Pillow leaves what is wholly transparent as it is
    for (size_t c = 0; c < 3; ++c) rgb[c] = static_cast<uint8_t>(std::min<uint64_t>(255, rgba[c] * inverse >> kInverseBits));
  }
}

}  // namespace clipengine::image
