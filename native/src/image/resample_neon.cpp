// Resampling for NEON. A pixel's channels are the lanes of a register; each tap is a product with one lane of the weights. Narrow
// weights are multiplied as numbers of 16 bits, others as 32: sums modulo 2^32 are exact either way.
#include "image/resample.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstring>

namespace clipengine::image {
namespace {

// Bytes of pixel kPixel of 16 bytes, widened to a lane each.
template <int Channels, int kPixel>
inline uint8x16_t spread_bytes() {
  constexpr uint8_t p = kPixel * Channels, none = 255;
  constexpr uint8_t last = Channels == 4 ? p + 3 : none;
  return uint8x16_t{p, none, none, none, p + 1, none, none, none, p + 2, none, none, none, last, none, none, none};
}
// The same for two pixels and 16 bits.
template <int Channels, int kPixel>
inline uint8x16_t spread_two() {
  constexpr uint8_t p = kPixel * Channels, q = p + Channels, none = 255;
  constexpr uint8_t last_p = Channels == 4 ? p + 3 : none, last_q = Channels == 4 ? q + 3 : none;
  return uint8x16_t{p, none, p + 1, none, p + 2, none, last_p, none, q, none, q + 1, none, q + 2, none, last_q, none};
}

template <int Channels, int Rows, bool Narrow>
void horizontal_rows(const HorizontalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t out_stride) {
  const uint8x16_t one[4] = {spread_bytes<Channels, 0>(), spread_bytes<Channels, 1>(), spread_bytes<Channels, 2>(), spread_bytes<Channels, 3>()};
  const uint8x16_t two[2] = {spread_two<Channels, 0>(), spread_two<Channels, 2>()};
  const int32x4_t half = vdupq_n_s32(1 << (pass.bits - 1)), shift = vdupq_n_s32(-pass.bits);
  for (int x = 0; x < pass.outputs; ++x) {
    int32x4_t sum[Rows];
    for (int r = 0; r < Rows; ++r) sum[r] = half;
    const uint8_t* pixel = rows + static_cast<size_t>(pass.first[x]) * Channels;
    const int32_t* weights = pass.value + static_cast<size_t>(x) * static_cast<size_t>(pass.taps);
    // Four taps at a time; those behind the last one weigh nothing. Rows are readable for a while behind their end.
    for (int k = 0; k < pass.count[x]; k += 4, pixel += 4 * Channels, weights += 4) {
      int32x4_t weight;
      if (k + 4 <= pass.count[x]) {
        weight = vld1q_s32(weights);
      } else {
        int32_t rest[4] = {};
        for (int i = 0; k + i < pass.count[x]; ++i) rest[i] = weights[i];
        weight = vld1q_s32(rest);
      }
      const int16x4_t narrow = vmovn_s32(weight);
      for (int r = 0; r < Rows; ++r) {
        const uint8x16_t bytes = vld1q_u8(pixel + static_cast<size_t>(r) * stride);
        if constexpr (Narrow) {
          const int16x8_t a = vreinterpretq_s16_u8(vqtbl1q_u8(bytes, two[0])), b = vreinterpretq_s16_u8(vqtbl1q_u8(bytes, two[1]));
          sum[r] = vmlal_lane_s16(sum[r], vget_low_s16(a), narrow, 0);
          sum[r] = vmlal_high_lane_s16(sum[r], a, narrow, 1);
          sum[r] = vmlal_lane_s16(sum[r], vget_low_s16(b), narrow, 2);
          sum[r] = vmlal_high_lane_s16(sum[r], b, narrow, 3);
        } else {
          sum[r] = vmlaq_laneq_s32(sum[r], vreinterpretq_s32_u8(vqtbl1q_u8(bytes, one[0])), weight, 0);
          sum[r] = vmlaq_laneq_s32(sum[r], vreinterpretq_s32_u8(vqtbl1q_u8(bytes, one[1])), weight, 1);
          sum[r] = vmlaq_laneq_s32(sum[r], vreinterpretq_s32_u8(vqtbl1q_u8(bytes, one[2])), weight, 2);
          sum[r] = vmlaq_laneq_s32(sum[r], vreinterpretq_s32_u8(vqtbl1q_u8(bytes, one[3])), weight, 3);
        }
      }
    }
    for (int r = 0; r < Rows; ++r) {
      const uint16x4_t words = vqmovun_s32(vshlq_s32(sum[r], shift));
      const uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(words, words))), 0);
      // Of RGB four bytes are stored for three: the next pixel overwrites the fourth.
      std::memcpy(out + static_cast<size_t>(r) * out_stride + static_cast<size_t>(x) * Channels, &bytes, sizeof bytes);
    }
  }
}

template <bool Narrow>
void vertical(const VerticalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t bytes) {
  const int32x4_t half = vdupq_n_s32(1 << (pass.bits - 1)), shift = vdupq_n_s32(-pass.bits);
  for (size_t i = 0; i < bytes; i += 16) {
    int32x4_t sum[4] = {half, half, half, half};
    const uint8_t* row = rows + i;
    for (int k = 0; k < pass.count; ++k, row += stride) {
      const uint8x16_t taps = vld1q_u8(row);
      const uint16x8_t low = vmovl_u8(vget_low_u8(taps)), high = vmovl_high_u8(taps);
      if constexpr (Narrow) {
        const int16_t weight = static_cast<int16_t>(pass.value[k]);
        sum[0] = vmlal_n_s16(sum[0], vreinterpret_s16_u16(vget_low_u16(low)), weight);
        sum[1] = vmlal_high_n_s16(sum[1], vreinterpretq_s16_u16(low), weight);
        sum[2] = vmlal_n_s16(sum[2], vreinterpret_s16_u16(vget_low_u16(high)), weight);
        sum[3] = vmlal_high_n_s16(sum[3], vreinterpretq_s16_u16(high), weight);
      } else {
        const int32_t weight = pass.value[k];
        sum[0] = vmlaq_n_s32(sum[0], vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))), weight);
        sum[1] = vmlaq_n_s32(sum[1], vreinterpretq_s32_u32(vmovl_high_u16(low)), weight);
        sum[2] = vmlaq_n_s32(sum[2], vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))), weight);
        sum[3] = vmlaq_n_s32(sum[3], vreinterpretq_s32_u32(vmovl_high_u16(high)), weight);
      }
    }
    for (int32x4_t& s : sum) s = vshlq_s32(s, shift);
    const uint16x8_t low = vqmovun_high_s32(vqmovun_s32(sum[0]), sum[1]), high = vqmovun_high_s32(vqmovun_s32(sum[2]), sum[3]);
    vst1q_u8(out + i, vqmovn_high_u16(vqmovn_u16(low), high));
  }
}

#include "image/resample_body.h"

}  // namespace

const ResampleKernels kNeonKernels = {"neon", 0, horizontal_any, vertical_any};

}  // namespace clipengine::image

#endif
