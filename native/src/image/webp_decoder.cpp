// WebP through libwebp: a still image, or the first frame of an animation on its canvas, which is black (and transparent, where the
// image has alpha) where the frame leaves it bare.
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>

#include "image/decoder.h"

namespace clipengine::image {
namespace {

struct DemuxerDeleter {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};

class WebpDecoder final : public RowDecoder {
 public:
  explicit WebpDecoder(Bytes encoded) : encoded_(encoded) {
    const WebPData data{encoded.data, encoded.size};
    WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
    // The header alone first: a file that is cut off must still be refused for its size.
    std::unique_ptr<WebPDemuxer, DemuxerDeleter> demuxer(WebPDemuxPartial(&data, &state));
    if (demuxer == nullptr || state == WEBP_DEMUX_PARSE_ERROR) {
      if (state == WEBP_DEMUX_PARSING_HEADER) truncated();
      throw ImageError(Problem::kCorrupt, "WebP: its chunks make no sense");
    }
    if (state == WEBP_DEMUX_PARSING_HEADER) truncated();
    set_size("WebP", WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH), WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT));
    if (state != WEBP_DEMUX_DONE) truncated();
    // A still image can be "done" although its container goes on; only the strict parser minds.
    demuxer.reset(WebPDemux(&data));
    if (demuxer == nullptr) truncated();

    WebPBitstreamFeatures features;
    if (WebPGetFeatures(encoded.data, encoded.size, &features) != VP8_STATUS_OK) throw ImageError(Problem::kCorrupt, "WebP: its header makes no sense");
    mode_ = features.has_alpha ? PixelMode::kRgba : PixelMode::kRgb;
    constexpr int kLossy = 1;
    is_plain_lossy_ = features.format == kLossy && !features.has_alpha;

    WebPIterator frame;
    if (!WebPDemuxGetFrame(demuxer.get(), 1, &frame)) throw ImageError(Problem::kCorrupt, "WebP: it holds no frame");
    frame_ = {frame.x_offset, frame.x_offset + frame.width, frame.y_offset, frame.y_offset + frame.height};
    payload_ = {frame.fragment.bytes, frame.fragment.size};
    const bool complete = frame.complete != 0;
    WebPDemuxReleaseIterator(&frame);
    if (!complete) truncated();
    if (frame_.width() <= 0 || frame_.height() <= 0 || frame_.left < 0 || frame_.top < 0 || frame_.right > width() || frame_.bottom > height()) {
      throw ImageError(Problem::kCorrupt, "WebP: its first frame lies outside the canvas");
    }
  }

  int format() const override { return CLIPENGINE_IMAGE_WEBP; }

  // The frame as it is given out, and what libwebp keeps whole beside it: the pixels of lossless images, and alpha.
  int64_t memory() const override {
    return int64_t{frame_.width()} * frame_.height() * static_cast<int64_t>(bytes_of_pixel(mode_) + (is_plain_lossy_ ? 0 : 4));
  }

 protected:
  void decode_row(uint8_t* row) override {
    if (pixels_.empty()) decode_frame();
    const int y = row_++;
    const size_t pixel = bytes_of_pixel(mode_);
    const size_t frame_bytes = static_cast<size_t>(frame_.width()) * pixel;
    if (frame_.width() < width() || y < frame_.top || y >= frame_.bottom) std::memset(row, 0, static_cast<size_t>(width()) * pixel);
    if (y < frame_.top || y >= frame_.bottom) return;
    std::memcpy(row + static_cast<size_t>(frame_.left) * pixel, pixels_.data() + static_cast<size_t>(y - frame_.top) * frame_bytes, frame_bytes);
  }

  // The demuxer has seen every chunk whole before anything was decoded.
  void finish_file() override {}

 private:
  [[noreturn]] void truncated() const {
    throw ImageError(Problem::kTruncated, "WebP: the file ends too early, after " + std::to_string(encoded_.size) + " bytes");
  }

  void decode_frame() {
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) throw Error(CLIPENGINE_INTERNAL, "libwebp is of another version than its header");
    const size_t stride = static_cast<size_t>(frame_.width()) * bytes_of_pixel(mode_);
    pixels_.resize(stride * static_cast<size_t>(frame_.height()));
    config.output.colorspace = mode_ == PixelMode::kRgba ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = pixels_.data();
    config.output.u.RGBA.stride = static_cast<int>(stride);
    config.output.u.RGBA.size = pixels_.size();
    const VP8StatusCode status = WebPDecode(payload_.data, payload_.size, &config);
    switch (status) {
      case VP8_STATUS_OK:
        return;
      case VP8_STATUS_OUT_OF_MEMORY:
        throw std::bad_alloc();
      case VP8_STATUS_SUSPENDED:
      case VP8_STATUS_NOT_ENOUGH_DATA:
        truncated();
      default:
        throw ImageError(Problem::kCorrupt, "WebP: the image data is damaged (libwebp status " + std::to_string(status) + ")");
    }
  }

  Bytes encoded_;
  Bytes payload_{};
  Window frame_{};
  bool is_plain_lossy_ = false;
  int row_ = 0;
  std::vector<uint8_t> pixels_;
};

}  // namespace

std::unique_ptr<Decoder> open_webp(Bytes encoded) { return std::make_unique<WebpDecoder>(encoded); }

}  // namespace clipengine::image
