// Separable resampling with antialiasing, as Pillow and torchvision do it: bytes with whole-number weights, 16-bit gray in double
// precision. Each pass is rounded and clipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace clipengine::image {

// Pillow's weights carry 32 - 8 - 2 fraction bits: 8 for a byte, 2 to spare for filters that overshoot.
inline constexpr int kPillowBits = 32 - 8 - 2;

enum class Filter { kBicubic, kBilinear };

// What becomes of the weights, which are computed in double precision.
enum class Rounding {
  kPillow,       // kPillowBits fraction bits
  kTorchvision,  // 16-bit numbers with as many fraction bits, for all weights of the axis, as the largest weight leaves room for
  kNone,         // they stay as they are: 16-bit gray
};

// For each of a run of output pixels: which input pixels, and with what weights.
struct Weights {
  int taps = 0;                // weights stored per output pixel, the unused ones zero
  std::vector<int> first;      // [outputs] first input pixel
  std::vector<int> count;      // [outputs] input pixels used
  std::vector<int32_t> value;  // [outputs, taps]; empty with Rounding::kNone
  std::vector<double> exact;   // [outputs, taps]; empty but with Rounding::kNone
  int bits = 0;                // fraction bits of value
  bool narrow = false;         // each value fits into 16 bits
  int outputs() const { return static_cast<int>(first.size()); }
};

// Outputs [begin, end) of resizing input_size pixels to output_size.
Weights make_weights(Filter filter, Rounding rounding, int input_size, int64_t output_size, int64_t begin, int64_t end);

// The same weights, split into halves of 16 bits that the vector kernels multiply exactly: weight = high * 2^15 + low. Narrow weights
// are their low halves alone.
// Only plain arrays cross into the files of the instruction sets: an inline function of a vector class compiled there could be the copy
// that the linker keeps for everybody.
struct HorizontalPass {
  int channels;          // 3 or 4
  int bits;              // fraction bits of the weights
  bool narrow;           // the high halves are zero
  int outputs;
  int taps;
  const int* first;      // [outputs] first pixel, counted from the row's beginning
  const int* count;      // [outputs]
  const int32_t* value;  // [outputs, taps], for the plain kernel
  const int* blocks;     // [outputs] groups of 4 * lanes pixels
  // [outputs, block_capacity, 4, 8 * lanes]: for pixels 0 1 of each lane's four the low halves as (w0 w1) x 4 channels,
  // then their high halves; the same for pixels 2 3.
  const int16_t* packed;
  int block_capacity;
};

struct VerticalPass {
  int bits;
  bool narrow;
  int count;             // rows of this output
  const int32_t* value;  // [count], for the plain kernel
  const int32_t* pairs;  // [(count + 1) / 2, 2]: for two rows the low halves in one word, then the high halves
};

// Rows that vector kernels take through a horizontal pass together.
constexpr int kRowsTogether = 4;

// One implementation per instruction set; all give the same bits.
struct ResampleKernels {
  const char* name;
  int lanes;  // of 16 bytes in a vector; 0 where packed weights are not used

  // rows [count] of pixels of pass.channels bytes, stride bytes apart, readable for kRowPadding bytes behind their last pixel;
  // out [count, outputs, channels], out_stride apart, writable for kRowPadding bytes behind its last pixel.
  void (*horizontal)(const HorizontalPass& pass, const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride);

  // out [bytes] from pass.count rows, stride bytes apart; both may be touched for kRowPadding bytes behind their end.
  void (*vertical)(const VerticalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t bytes);
};

// Owns what the passes point to.
class PackedWeights {
 public:
  // first_pixel is subtracted from every position: rows begin there.
  static PackedWeights horizontal(Weights weights, int channels, int first_pixel, int lanes);
  static PackedWeights vertical(Weights weights);

  const Weights& weights() const { return weights_; }
  HorizontalPass horizontal_pass() const;
  VerticalPass vertical_pass(size_t output) const;

 private:
  Weights weights_;
  std::vector<int> blocks_;
  std::vector<int16_t> packed_;
  std::vector<int32_t> pairs_;
  int block_capacity_ = 0;
  int channels_ = 3;
};

extern const ResampleKernels kPlainKernels;
#if defined(__x86_64__)
extern const ResampleKernels kAvx2Kernels;
extern const ResampleKernels kAvx512Kernels;
#elif defined(__aarch64__)
extern const ResampleKernels kNeonKernels;
#endif

// Chosen once, by the rule of all CPU kernels: the best that the processor has, or what CLIPENGINE_CPU names.
const ResampleKernels& resample_kernels();

}  // namespace clipengine::image
