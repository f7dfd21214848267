// BMP: 1, 4, 8, 16, 24 and 32 bits, run-length coded ones too, as far as Pillow reads them. Where Pillow reads a legal file wrongly
// (a gray palette of unusual length, some escapes of run-length coding) the file is refused: neither its pixels nor the right ones would
// be what a user expects from a bit-for-bit engine.
#include <algorithm>
#include <array>
#include <cstring>

#include "image/byte_reader.h"

namespace clipengine::image {
namespace {

enum Compression : uint32_t { kRaw = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3 };

class BmpDecoder final : public RowDecoder {
 public:
  explicit BmpDecoder(Bytes encoded) : bytes_(encoded) {
    ByteReader reader(encoded, "BMP");
    reader.seek(10);
    uint64_t offset = reader.u32();
    const uint32_t header_size = reader.u32();
    uint32_t colours = 0;
    uint32_t compression = kRaw;
    size_t palette_entry = 4;
    int64_t width;
    int64_t height;
    if (header_size == 12) {
      width = reader.u16();
      height = reader.u16();
      reader.take(2);
      bits_ = reader.u16();
      palette_entry = 3;
    } else if (header_size == 40 || header_size == 64 || header_size == 108 || header_size == 124) {
      width = reader.u32();
      const uint32_t stored_height = reader.u32();
      top_down_ = (stored_height >> 24) == 0xFF;
      height = top_down_ ? int64_t{0x100000000} - stored_height : stored_height;
      reader.take(2);
      bits_ = reader.u16();
      compression = reader.u32();
      reader.take(12);
      colours = reader.u32();
      reader.take(4);
      reader.seek(14 + static_cast<size_t>(header_size));
    } else {
      throw ImageError(Problem::kUnsupported, "BMP: a header of " + std::to_string(header_size) + " bytes; expected 12, 40, 64, 108 or 124");
    }
    set_size("BMP", width, height);
    if (bits_ != 1 && bits_ != 4 && bits_ != 8 && bits_ != 16 && bits_ != 24 && bits_ != 32) {
      throw ImageError(Problem::kUnsupported, "BMP: " + std::to_string(bits_) + " bits a pixel; expected 1, 4, 8, 16, 24 or 32");
    }
    if (colours == 0 && bits_ <= 8) colours = 1u << bits_;
    if (offset == 14 + static_cast<uint64_t>(header_size) && bits_ <= 8) offset += 4 * static_cast<uint64_t>(colours);

    switch (compression) {
      case kRaw:
        set_channels(bits_ == 16 ? Layout{16, 10, 5, 0, 5, -1} : Layout{bits_, 2, 1, 0, 0, -1});
        break;
      case kBitFields:
        read_masks(reader, header_size);
        break;
      case kRle8:
      case kRle4:
        if (bits_ != (compression == kRle8 ? 8 : 4)) {
          throw ImageError(Problem::kUnsupported, "BMP: run-length coding of " + std::to_string(bits_) + " bits a pixel");
        }
        run_length_ = true;
        break;
      default:
        throw ImageError(Problem::kUnsupported, "BMP: compression " + std::to_string(compression) + "; expected none, run-length or bit fields");
    }

    if (bits_ <= 8) read_palette(reader, colours, palette_entry);
    data_ = offset != 0 ? offset : reader.position();
    if (data_ > encoded.size) reader.truncated();

    stride_ = ((static_cast<size_t>(width) * static_cast<size_t>(bits_) + 31) / 8) & ~size_t{3};
    if (!run_length_) {
      // The padding of the last row may be missing.
      const uint64_t needed = data_ + static_cast<uint64_t>(stride_) * static_cast<uint64_t>(height - 1) +
                              (static_cast<uint64_t>(width) * static_cast<uint64_t>(bits_) + 7) / 8;
      if (needed > encoded.size) reader.truncated();
    }
  }

  int format() const override { return CLIPENGINE_IMAGE_BMP; }
  int64_t memory() const override { return run_length_ ? int64_t{width()} * height() : 0; }

 protected:
  void decode_row(uint8_t* row) override {
    if (run_length_ && indices_.empty()) decode_run_lengths();
    const size_t width = static_cast<size_t>(this->width());
    const int y = row_++;
    const size_t stored = static_cast<size_t>(top_down_ ? y : height() - 1 - y);
    if (run_length_) {
      std::memcpy(row, indices_.data() + stored * width, width);
      return;
    }
    const uint8_t* source = bytes_.data + data_ + stored * stride_;
    switch (bits_) {
      case 1: {
        const uint8_t set = mode_ == PixelMode::kBilevel ? 255 : 1;
        for (size_t x = 0; x < width; ++x) row[x] = (source[x / 8] >> (7 - x % 8) & 1) != 0 ? set : 0;
        break;
      }
      case 4:
        for (size_t x = 0; x < width; ++x) row[x] = static_cast<uint8_t>(x % 2 == 0 ? source[x / 2] >> 4 : source[x / 2] & 15);
        break;
      case 8:
        std::memcpy(row, source, width);
        break;
      case 16:
        for (size_t x = 0; x < width; ++x) {
          const int pixel = source[2 * x] | source[2 * x + 1] << 8;
          const int green_maximum = (1 << layout_.green_bits) - 1;
          row[3 * x] = static_cast<uint8_t>((pixel >> layout_.red & 31) * 255 / 31);
          row[3 * x + 1] = static_cast<uint8_t>((pixel >> layout_.green & green_maximum) * 255 / green_maximum);
          row[3 * x + 2] = static_cast<uint8_t>((pixel & 31) * 255 / 31);
        }
        break;
      default: {
        const size_t step = static_cast<size_t>(bits_) / 8;
        const size_t channels = bytes_of_pixel(mode_);
        for (size_t x = 0; x < width; ++x) {
          row[channels * x] = source[step * x + static_cast<size_t>(layout_.red)];
          row[channels * x + 1] = source[step * x + static_cast<size_t>(layout_.green)];
          row[channels * x + 2] = source[step * x + static_cast<size_t>(layout_.blue)];
          if (channels == 4) row[channels * x + 3] = source[step * x + static_cast<size_t>(layout_.alpha)];
        }
      }
    }
  }

  void finish_file() override {}

 private:
  // For 16 bits the lowest bit of each channel and the bits of green; else the byte of each channel.
  struct Layout {
    int bits;
    int red;
    int green;
    int blue;
    int green_bits;
    int alpha;  // -1 for none
  };

  void set_channels(const Layout& layout) {
    layout_ = layout;
    mode_ = layout.alpha >= 0 ? PixelMode::kRgba : PixelMode::kRgb;
  }

  void read_masks(ByteReader& reader, uint32_t header_size) {
    // Short headers are followed by three masks; longer ones hold four.
    std::array<uint32_t, 4> mask{};
    const bool inside = header_size >= 56;
    if (inside) reader.seek(54);
    for (size_t i = 0; i < (inside ? 4u : 3u); ++i) mask[i] = reader.u32();
    if (inside) reader.seek(14 + static_cast<size_t>(header_size));

    struct Known {
      int bits;
      std::array<uint32_t, 4> mask;
      Layout layout;
    };
    static constexpr Known kKnown[] = {
        {32, {0xFF0000, 0xFF00, 0xFF, 0}, {32, 2, 1, 0, 0, -1}},
        {32, {0xFF000000, 0xFF0000, 0xFF00, 0}, {32, 3, 2, 1, 0, -1}},
        {32, {0xFF000000, 0xFF0000, 0xFF00, 0xFF}, {32, 3, 2, 1, 0, 0}},
        {32, {0xFF, 0xFF00, 0xFF0000, 0xFF000000}, {32, 0, 1, 2, 0, 3}},
        {32, {0xFF0000, 0xFF00, 0xFF, 0xFF000000}, {32, 2, 1, 0, 0, 3}},
        {32, {0, 0, 0, 0}, {32, 2, 1, 0, 0, 3}},
        {24, {0xFF0000, 0xFF00, 0xFF, 0}, {24, 2, 1, 0, 0, -1}},
        {16, {0xF800, 0x7E0, 0x1F, 0}, {16, 11, 5, 0, 6, -1}},
        {16, {0x7C00, 0x3E0, 0x1F, 0}, {16, 10, 5, 0, 5, -1}},
    };
    for (const Known& known : kKnown) {
      const size_t compared = known.bits == 32 ? 4 : 3;
      if (known.bits == bits_ && std::equal(mask.begin(), mask.begin() + compared, known.mask.begin())) {
        set_channels(known.layout);
        return;
      }
    }
    char text[96];
    std::snprintf(text, sizeof text, "BMP: bit fields %08x %08x %08x %08x of %d bits are not read", mask[0], mask[1], mask[2], mask[3], bits_);
    throw ImageError(Problem::kUnsupported, text);
  }

  void read_palette(ByteReader& reader, uint32_t colours, size_t entry) {
    if (colours > 256) throw ImageError(Problem::kUnsupported, "BMP: a palette of " + std::to_string(colours) + " colours; at most 256 are read");
    bool gray = true;
    for (uint32_t i = 0; i < colours; ++i) {
      const uint8_t* p = reader.take(entry);
      palette_.colour[i] = {p[2], p[1], p[0], 255};
      const uint32_t ramp = colours == 2 ? i * 255 : i;
      gray = gray && p[0] == ramp && p[1] == ramp && p[2] == ramp;
    }
    // The reference takes such a palette for a bilevel or 8-bit gray image whatever the depth.
    if (gray && (colours == 2 ? bits_ != 1 || run_length_ : bits_ != 8 && !run_length_)) {
      throw ImageError(Problem::kUnsupported, "BMP: a gray palette of " + std::to_string(colours) + " entries with " + std::to_string(bits_) +
                                                  " bits a pixel, which the reference misreads. Save it as PNG");
    }
    mode_ = !gray ? PixelMode::kPalette : colours == 2 ? PixelMode::kBilevel : PixelMode::kGray;
  }

  void decode_run_lengths() {
    const size_t width = static_cast<size_t>(this->width());
    const size_t total = width * static_cast<size_t>(height());
    const bool nibbles = bits_ == 4;
    ByteReader reader(bytes_, "BMP");
    reader.seek(data_);
    std::vector<uint8_t> pixels;
    size_t x = 0;
    while (pixels.size() < total) {
      const uint8_t count = reader.u8();
      const uint8_t value = reader.u8();
      if (count != 0) {
        const size_t kept = std::min<size_t>(count, width > x ? width - x : 0);
        for (size_t i = 0; i < kept; ++i) pixels.push_back(!nibbles ? value : i % 2 == 0 ? value >> 4 : value & 15);
        x += kept;
      } else if (value == 0) {
        pixels.resize((pixels.size() + width - 1) / width * width);
        x = 0;
      } else if (value == 1) {
        throw ImageError(Problem::kTruncated, "BMP: the run-length data ends before the last pixel");
      } else if (value == 2) {
        throw ImageError(Problem::kUnsupported, "BMP: run-length data with a jump, which the reference misreads. Save it as PNG");
      } else {
        if (nibbles && value % 2 != 0) {
          throw ImageError(Problem::kUnsupported, "BMP: an odd stretch in 4-bit run-length data, which the reference misreads. Save it as PNG");
        }
        const size_t bytes = nibbles ? value / 2u : value;
        const uint8_t* p = reader.take(bytes);
        for (size_t i = 0; i < bytes; ++i) {
          if (nibbles) {
            pixels.push_back(p[i] >> 4);
            pixels.push_back(p[i] & 15);
          } else {
            pixels.push_back(p[i]);
          }
        }
        x += value;
        if (reader.position() % 2 != 0 && reader.remaining() > 0) reader.take(1);
      }
    }
    pixels.resize(total);
    indices_ = std::move(pixels);
  }

  Bytes bytes_;
  int bits_ = 0;
  bool top_down_ = false;
  bool run_length_ = false;
  Layout layout_{};
  uint64_t data_ = 0;
  size_t stride_ = 0;
  int row_ = 0;
  std::vector<uint8_t> indices_;
};

}  // namespace

std::unique_ptr<Decoder> open_bmp(Bytes encoded) { return std::make_unique<BmpDecoder>(encoded); }

}  // namespace clipengine::image
