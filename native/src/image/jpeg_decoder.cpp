// JPEG through libjpeg-turbo with the settings that Pillow leaves at their defaults: the accurate integer DCT, fancy upsampling, block
// smoothing. Four-component images are taken for Adobe's inverted CMYK, as Pillow does.
#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include <jpeglib.h>
// jpeglib.h must come first.
#include <jerror.h>

#include "image/decoder.h"

namespace clipengine::image {
namespace {

// libjpeg's objects and what its callbacks need. libjpeg leaves by longjmp: every call into it stands in a noexcept function that holds
// nothing with a destructor and returns false on an error; the caller throws.
struct State {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  jpeg_source_mgr source;
  jpeg_progress_mgr progress;
  std::jmp_buf jump;
  Problem problem;
  char message[JMSG_LENGTH_MAX];
};

State* state_of(j_common_ptr info) { return static_cast<State*>(info->client_data); }

[[noreturn]] void leave(State* state, Problem problem) {
  state->problem = problem;
  std::longjmp(state->jump, 1);
}

[[noreturn]] void on_error(j_common_ptr info) {
  State* state = state_of(info);
  info->err->format_message(info, state->message);
  const int code = info->err->msg_code;
  if (code == JERR_OUT_OF_MEMORY) leave(state, Problem::kNone);
  const bool unsupported = code == JERR_BAD_PRECISION || code == JERR_SOF_UNSUPPORTED || code == JERR_NOT_COMPILED || code == JERR_CONVERSION_NOTIMPL ||
                           code == JERR_ARITH_NOTIMPL || code == JERR_CCIR601_NOTIMPL || code == JERR_FRACT_SAMPLE_NOTIMPL;
  leave(state, unsupported ? Problem::kUnsupported : Problem::kCorrupt);
}

// libjpeg only warns where coded data is missing or damaged, and goes on with gray. Nobody would hear of it.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  ++info->err->num_warnings;
  switch (info->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_JPEG_EOF: {
      State* state = state_of(info);
      info->err->format_message(info, state->message);
      leave(state, info->err->msg_code == JWRN_HIT_MARKER ? Problem::kTruncated : Problem::kCorrupt);
    }
    default:
      return;  // junk between segments, an unknown Adobe code: harmless, and the reference reads such files
  }
}

void on_output(j_common_ptr) {}

void on_source(j_decompress_ptr) {}

boolean on_source_empty(j_decompress_ptr info) {
  State* state = state_of(reinterpret_cast<j_common_ptr>(info));
  std::strcpy(state->message, "the file ends too early");
  leave(state, Problem::kTruncated);
}

void on_skip(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  jpeg_source_mgr* source = info->src;
  if (static_cast<size_t>(count) > source->bytes_in_buffer) on_source_empty(info);
  source->next_input_byte += count;
  source->bytes_in_buffer -= static_cast<size_t>(count);
}

void on_progress(j_common_ptr common) {
  j_decompress_ptr info = reinterpret_cast<j_decompress_ptr>(common);
  if (info->input_scan_number <= kMaximumScans) return;
  State* state = state_of(common);
  std::snprintf(state->message, sizeof state->message, "more than %d scans", kMaximumScans);
  leave(state, Problem::kTooLarge);
}

bool create(State* state, Bytes encoded) noexcept {
  std::memset(&state->info, 0, sizeof state->info);
  state->info.err = jpeg_std_error(&state->errors);
  state->errors.error_exit = on_error;
  state->errors.emit_message = on_message;
  state->errors.output_message = on_output;
  state->info.client_data = state;
  if (setjmp(state->jump)) return false;
  jpeg_create_decompress(&state->info);
  state->source.init_source = on_source;
  state->source.fill_input_buffer = on_source_empty;
  state->source.skip_input_data = on_skip;
  state->source.resync_to_restart = jpeg_resync_to_restart;
  state->source.term_source = on_source;
  state->source.next_input_byte = encoded.data;
  state->source.bytes_in_buffer = encoded.size;
  state->info.src = &state->source;
  state->progress.progress_monitor = on_progress;
  state->info.progress = &state->progress;
  return true;
}

bool read_header(State* state) noexcept {
  if (setjmp(state->jump)) return false;
  jpeg_read_header(&state->info, TRUE);
  return true;
}

bool start(State* state) noexcept {
  if (setjmp(state->jump)) return false;
  const int components = state->info.num_components;
  state->info.out_color_space = components == 4 ? JCS_CMYK : components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  return jpeg_start_decompress(&state->info) != FALSE;
}

bool crop_columns(State* state, JDIMENSION* left, JDIMENSION* width) noexcept {
  if (setjmp(state->jump)) return false;
  jpeg_crop_scanline(&state->info, left, width);
  return true;
}

bool skip_rows(State* state, JDIMENSION count) noexcept {
  if (setjmp(state->jump)) return false;
  return jpeg_skip_scanlines(&state->info, count) == count;
}

bool read_row(State* state, uint8_t* row) noexcept {
  if (setjmp(state->jump)) return false;
  return jpeg_read_scanlines(&state->info, &row, 1) == 1;
}

bool finish_image(State* state) noexcept {
  if (setjmp(state->jump)) return false;
  return jpeg_finish_decompress(&state->info) != FALSE;
}

class JpegDecoder final : public Decoder {
 public:
  explicit JpegDecoder(Bytes encoded) : state_(std::make_unique<State>()) {
    if (!create(state_.get(), encoded)) fail();
    try {
      if (!read_header(state_.get())) fail();
      const jpeg_decompress_struct& info = state_->info;
      set_size("JPEG", info.image_width, info.image_height);
      if (info.num_components != 1 && info.num_components != 3 && info.num_components != 4) {
        throw ImageError(Problem::kUnsupported, "JPEG: " + std::to_string(info.num_components) + " components; expected 1, 3 or 4");
      }
      mode_ = info.num_components == 4 ? PixelMode::kCmyk : info.num_components == 1 ? PixelMode::kGray : PixelMode::kRgb;
      // A Huffman code has at least one bit and every block at least one code, so the file's length bounds its blocks.
      const int64_t blocks = (int64_t{width()} + 7) / 8 * ((int64_t{height()} + 7) / 8) /
                             (int64_t{info.max_h_samp_factor} * info.max_v_samp_factor);
      if (!info.arith_code && blocks / 8 > static_cast<int64_t>(encoded.size)) {
        throw ImageError(Problem::kTruncated, "JPEG: " + std::to_string(encoded.size) + " bytes cannot hold the " + std::to_string(width()) + " x " +
                                                  std::to_string(height()) + " pixels of the header");
      }
    } catch (...) {
      jpeg_destroy_decompress(&state_->info);
      throw;
    }
  }

  ~JpegDecoder() override { jpeg_destroy_decompress(&state_->info); }

  int format() const override { return CLIPENGINE_IMAGE_JPEG; }

  // Where an image comes in several scans, the coefficients of all of it: two bytes for each sample.
  int64_t memory() const override {
    const jpeg_decompress_struct& info = state_->info;
    if (!info.progressive_mode && info.comps_in_scan == info.num_components) return 0;
    int64_t samples = 0;
    for (int i = 0; i < info.num_components; ++i) samples += int64_t{info.comp_info[i].h_samp_factor} * info.comp_info[i].v_samp_factor;
    return int64_t{width()} * height() * samples / (int64_t{info.max_h_samp_factor} * info.max_v_samp_factor) * 2;
  }

  void read_rows(uint8_t* rows, size_t stride, int count) override {
    if (row_.empty()) begin();
    const size_t pixel = bytes_of_pixel(mode_);
    const size_t bytes = static_cast<size_t>(window_.width()) * pixel;
    for (int i = 0; i < count; ++i, rows += stride) {
      if (bytes == row_.size()) {
        if (!read_row(state_.get(), rows)) fail();
      } else {
        if (!read_row(state_.get(), row_.data())) fail();
        std::memcpy(rows, row_.data() + offset_ * pixel, bytes);
      }
      // Such files store ink inverted: 255 is none.
      if (mode_ == PixelMode::kCmyk) std::transform(rows, rows + bytes, rows, [](uint8_t value) { return static_cast<uint8_t>(255 - value); });
    }
  }

  void finish() override {
    if (row_.empty()) begin();
    // The last row is read for what it proves: skipping to the very end, libjpeg stops looking at the file.
    const JDIMENSION left = state_->info.output_height - state_->info.output_scanline;
    if (left > 1) skip(left - 1);
    if (left > 0 && !read_row(state_.get(), row_.data())) fail();
    if (!finish_image(state_.get())) fail();
  }

 private:
  void begin() {
    if (!start(state_.get())) fail();
    jpeg_decompress_struct& info = state_->info;
    // libjpeg can leave out the inverse transform of what is not asked for. Only where all components come in one sequential scan:
    // smoothing of progressive images would look at blocks that are left out.
    can_skip_ = !info.progressive_mode && info.comps_in_scan == info.num_components;
    JDIMENSION left = 0;
    JDIMENSION columns = info.output_width;
    // Fancy upsampling looks one chroma sample to each side, two pixels: leave a margin, so that no wanted pixel lies at a false border.
    constexpr int kMargin = 8;
    const int wanted_left = std::max(0, window_.left - kMargin);
    const int wanted_right = std::min(width(), window_.right + kMargin);
    if (can_skip_ && wanted_right - wanted_left < width()) {
      left = static_cast<JDIMENSION>(wanted_left);
      columns = static_cast<JDIMENSION>(wanted_right - wanted_left);
      if (!crop_columns(state_.get(), &left, &columns)) fail();
    }
    offset_ = static_cast<size_t>(window_.left) - left;
    row_.resize(static_cast<size_t>(columns) * static_cast<size_t>(info.output_components));
    if (window_.top > 0) skip(static_cast<JDIMENSION>(window_.top));
  }

  void skip(JDIMENSION rows) {
    if (can_skip_) {
      if (!skip_rows(state_.get(), rows)) fail();
      return;
    }
    for (; rows > 0; --rows) {
      if (!read_row(state_.get(), row_.data())) fail();
    }
  }

  [[noreturn]] void fail() const {
    if (state_->problem == Problem::kNone) throw std::bad_alloc();
    throw ImageError(state_->problem, std::string("JPEG: ") + state_->message);
  }

  std::unique_ptr<State> state_;
  bool can_skip_ = false;
  size_t offset_ = 0;  // of the window in the columns that libjpeg gives
  std::vector<uint8_t> row_;
};

}  // namespace

std::unique_ptr<Decoder> open_jpeg(Bytes encoded) { return std::make_unique<JpegDecoder>(encoded); }

}  // namespace clipengine::image
