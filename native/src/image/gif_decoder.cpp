// GIF's first frame, as Pillow shows it: the frame lies on a canvas of the logical screen's size (enlarged where the frame sticks out)
// that is filled with the transparent index, or 0. A palette that is the plain gray ramp makes a gray image; an index beyond the palette
// is its own gray level.
#include <array>
#include <cstring>

#include "image/byte_reader.h"

namespace clipengine::image {
namespace {

constexpr int kTableSize = 4096;
constexpr int kMaximumCodeSize = 12;

class GifDecoder final : public RowDecoder {
 public:
  explicit GifDecoder(Bytes encoded) : reader_(encoded, "GIF") {
    reader_.take(6);
    int64_t canvas_width = reader_.u16();
    int64_t canvas_height = reader_.u16();
    const uint8_t flags = reader_.u8();
    reader_.take(2);
    if (flags & 0x80) read_palette(flags);

    for (;;) {
      const uint8_t block = reader_.u8();
      if (block == ',') break;
      if (block == ';') throw ImageError(Problem::kCorrupt, "GIF: it holds no frame");
      if (block == '!') skip_extension();
      // Anything else is skipped byte by byte, as the reference does.
    }

    left_ = reader_.u16();
    top_ = reader_.u16();
    frame_width_ = reader_.u16();
    frame_height_ = reader_.u16();
    if (frame_width_ == 0 || frame_height_ == 0) throw ImageError(Problem::kCorrupt, "GIF: its first frame has no pixels");
    canvas_width = std::max<int64_t>(canvas_width, left_ + frame_width_);
    canvas_height = std::max<int64_t>(canvas_height, top_ + frame_height_);
    set_size("GIF", canvas_width, canvas_height);
    const uint8_t frame_flags = reader_.u8();
    interlaced_ = (frame_flags & 0x40) != 0;
    if (frame_flags & 0x80) read_palette(frame_flags);
    mode_ = is_gray_ramp(palette_) ? PixelMode::kGray : PixelMode::kPalette;
    if (has_fill_) {
      palette_.has_alpha = true;
      palette_.colour[fill_][3] = 0;
    }
    minimum_code_size_ = reader_.u8();
    if (minimum_code_size_ < 1 || minimum_code_size_ > 8) {
      throw ImageError(Problem::kCorrupt, "GIF: a code size of " + std::to_string(minimum_code_size_) + "; expected 1 to 8");
    }

    // A code has at least two bits and stands for at most 4096 pixels, so the file's length bounds what it can hold.
    const int64_t possible = static_cast<int64_t>(reader_.remaining()) * 4 * kTableSize;
    if (static_cast<int64_t>(frame_width_) * frame_height_ > possible) reader_.truncated();
  }

  int format() const override { return CLIPENGINE_IMAGE_GIF; }
  int64_t memory() const override { return int64_t{frame_width_} * frame_height_; }

 protected:
  void decode_row(uint8_t* row) override {
    if (indices_.empty()) decode_frame();
    const int y = row_++;
    std::memset(row, fill_, static_cast<size_t>(width()));
    if (y < top_ || y >= top_ + frame_height_) return;
    std::memcpy(row + left_, indices_.data() + static_cast<size_t>(y - top_) * static_cast<size_t>(frame_width_), static_cast<size_t>(frame_width_));
  }

  // decode_frame has read through the frame's terminator. Later frames are not looked at.
  void finish_file() override {}

 private:
  void read_palette(uint8_t flags) {
    const size_t colours = size_t{2} << (flags & 7);
    const uint8_t* p = reader_.take(colours * 3);
    palette_ = Palette();
    for (size_t i = 0; i < colours; ++i, p += 3) palette_.colour[i] = {p[0], p[1], p[2], 255};
  }

  static bool is_gray_ramp(const Palette& palette) { return palette.colour == Palette().colour; }

  void skip_extension() {
    const uint8_t label = reader_.u8();
    const uint8_t length = reader_.u8();
    const uint8_t* block = reader_.take(length);
    if (label == 0xF9) {
      if (length < 4) throw ImageError(Problem::kCorrupt, "GIF: a graphic control block of " + std::to_string(length) + " bytes; expected 4");
      if (block[0] & 1) {
        fill_ = block[3];
        has_fill_ = true;
      }
    }
    if (length == 0) {
      if (label == 0xFE) return;
      // What follows is ambiguous: the reference reads on for more sub-blocks.
      throw ImageError(Problem::kCorrupt, "GIF: an extension without data");
    }
    while (const uint8_t next = reader_.u8()) reader_.take(next);
  }

  void decode_frame() {
    const size_t width = static_cast<size_t>(frame_width_);
    const size_t height = static_cast<size_t>(frame_height_);
    indices_.resize(width * height);

    const int clear = 1 << minimum_code_size_;
    const int end = clear + 1;
    std::array<uint16_t, kTableSize> link{};
    std::array<uint8_t, kTableSize> data{};
    std::array<uint8_t, kTableSize + 1> string{};
    int code_size = minimum_code_size_ + 1;
    int next = clear + 2;
    int last_code = -1;  // none since the last clear code
    uint8_t last_data = 0;

    uint32_t bits = 0;
    int bit_count = 0;
    size_t block_left = 0;
    const uint8_t* block = nullptr;

    size_t x = 0;
    size_t y = 0;
    size_t rows_done = 0;
    int pass = 0;
    static constexpr size_t kStart[] = {0, 4, 2, 1};
    static constexpr size_t kStep[] = {8, 8, 4, 2};

    for (;;) {
      while (bit_count < code_size) {
        if (block_left == 0) {
          block_left = reader_.u8();
          if (block_left == 0) throw ImageError(Problem::kTruncated, "GIF: the frame's data ends before its last pixel");
          block = reader_.take(block_left);
        }
        bits |= static_cast<uint32_t>(*block++) << bit_count;
        bit_count += 8;
        --block_left;
      }
      int code = static_cast<int>(bits & ((1u << code_size) - 1));
      bits >>= code_size;
      bit_count -= code_size;

      if (code == clear) {
        code_size = minimum_code_size_ + 1;
        next = clear + 2;
        last_code = -1;
        continue;
      }
      if (code == end) throw ImageError(Problem::kTruncated, "GIF: the frame's data ends before its last pixel");

      size_t at = string.size();
      if (last_code < 0) {
        if (code > clear) throw ImageError(Problem::kCorrupt, "GIF: a code that stands for nothing");
        last_data = static_cast<uint8_t>(code);
        string[--at] = last_data;
        last_code = code;
      } else {
        const int this_code = code;
        if (code > next) throw ImageError(Problem::kCorrupt, "GIF: a code that stands for nothing");
        if (code == next) {
          string[--at] = last_data;
          code = last_code;
        }
        while (code >= clear) {
          if (at <= 1 || code >= kTableSize) throw ImageError(Problem::kCorrupt, "GIF: a code that stands for nothing");
          string[--at] = data[static_cast<size_t>(code)];
          code = link[static_cast<size_t>(code)];
        }
        last_data = static_cast<uint8_t>(code);
        string[--at] = last_data;
        if (next < kTableSize) {
          data[static_cast<size_t>(next)] = last_data;
          link[static_cast<size_t>(next)] = static_cast<uint16_t>(last_code);
          if (next == (1 << code_size) - 1 && code_size < kMaximumCodeSize) ++code_size;
          ++next;
        }
        last_code = this_code;
      }

      while (at < string.size()) {
        const size_t count = std::min(string.size() - at, width - x);
        std::memcpy(indices_.data() + y * width + x, string.data() + at, count);
        at += count;
        x += count;
        if (x < width) continue;
        x = 0;
        if (++rows_done == height) {
          // Codes behind the last pixel do not matter; the frame's own end does.
          while (const uint8_t length = reader_.u8()) reader_.take(length);
          return;
        }
        if (!interlaced_) {
          ++y;
          continue;
        }
        y += kStep[pass];
        while (y >= height) y = kStart[++pass];
      }
    }
  }

  ByteReader reader_;
  uint8_t fill_ = 0;
  bool has_fill_ = false;  // a transparent index is named
  int left_ = 0;
  int top_ = 0;
  int frame_width_ = 0;
  int frame_height_ = 0;
  bool interlaced_ = false;
  int minimum_code_size_ = 0;
  int row_ = 0;
  std::vector<uint8_t> indices_;
};

}  // namespace

std::unique_ptr<Decoder> open_gif(Bytes encoded) { return std::make_unique<GifDecoder>(encoded); }

}  // namespace clipengine::image
