// Resampling for AVX2. A lane of 16 bytes takes four pixels: shuffled to words (r0 r1 g0 g1 b0 b1 a0 a1) and (r2 r3 ...), so that one
// multiply-add gives the channels' sums of two taps; of RGB the last two words are zero. Weights come as two halves of 15 and 17 bits,
// hence two products each; narrow ones as one of 16.
#include <immintrin.h>

#include "image/resample.h"

namespace clipengine::image {
namespace {

constexpr int kRows = 4;

typedef int unaligned_int __attribute__((may_alias, aligned(1)));

template <int Channels, int Rows, bool Narrow>
void horizontal_rows(const HorizontalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t out_stride) {
  const __m256i first_two = _mm256_broadcastsi128_si256(Channels == 3 ? _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1)
                                                                      : _mm_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1));
  const __m256i last_two = _mm256_broadcastsi128_si256(Channels == 3 ? _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1)
                                                                     : _mm_setr_epi8(8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1));
  const __m128i half = _mm_set1_epi32(1 << (pass.bits - 1));
  const __m128i bits = _mm_cvtsi32_si128(pass.bits);
  for (int x = 0; x < pass.outputs; ++x) {
    __m256i low[Rows];
    __m256i high[Rows];
    for (int r = 0; r < Rows; ++r) low[r] = high[r] = _mm256_setzero_si256();
    const uint8_t* pixel = rows + static_cast<size_t>(pass.first[x]) * Channels;
    const __m256i* weight = reinterpret_cast<const __m256i*>(pass.packed) + static_cast<size_t>(x) * static_cast<size_t>(pass.block_capacity) * 4;
    for (int block = 0; block < pass.blocks[x]; ++block, pixel += 8 * Channels, weight += 4) {
      const __m256i low01 = _mm256_loadu_si256(weight);
      const __m256i high01 = _mm256_loadu_si256(weight + 1);
      const __m256i low23 = _mm256_loadu_si256(weight + 2);
      const __m256i high23 = _mm256_loadu_si256(weight + 3);
      for (int r = 0; r < Rows; ++r) {
        const uint8_t* p = pixel + static_cast<size_t>(r) * stride;
        const __m256i bytes = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
                                                      _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 4 * Channels)), 1);
        const __m256i a = _mm256_shuffle_epi8(bytes, first_two);
        const __m256i b = _mm256_shuffle_epi8(bytes, last_two);
        low[r] = _mm256_add_epi32(low[r], _mm256_add_epi32(_mm256_madd_epi16(a, low01), _mm256_madd_epi16(b, low23)));
        if constexpr (!Narrow) high[r] = _mm256_add_epi32(high[r], _mm256_add_epi32(_mm256_madd_epi16(a, high01), _mm256_madd_epi16(b, high23)));
      }
    }
    __m128i sums[kRows];
    for (int r = 0; r < kRows; ++r) sums[r] = _mm_setzero_si128();
    for (int r = 0; r < Rows; ++r) {
      const __m256i sum = Narrow ? low[r] : _mm256_add_epi32(low[r], _mm256_slli_epi32(high[r], 15));
      const __m128i total = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
      sums[r] = _mm_sra_epi32(_mm_add_epi32(total, half), bits);
    }
    const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(sums[0], sums[1]), _mm_packs_epi32(sums[2], sums[3]));
    // Of RGB four bytes are stored for three: the next pixel overwrites the fourth.
    uint8_t* o = out + static_cast<size_t>(x) * Channels;
    *reinterpret_cast<unaligned_int*>(o) = _mm_extract_epi32(bytes, 0);
    if constexpr (Rows > 1) *reinterpret_cast<unaligned_int*>(o + out_stride) = _mm_extract_epi32(bytes, 1);
    if constexpr (Rows > 2) *reinterpret_cast<unaligned_int*>(o + 2 * out_stride) = _mm_extract_epi32(bytes, 2);
    if constexpr (Rows > 3) *reinterpret_cast<unaligned_int*>(o + 3 * out_stride) = _mm_extract_epi32(bytes, 3);
  }
}

template <int Channels, bool Narrow>
void horizontal(const HorizontalPass& pass, const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) {
  for (; count >= kRows; count -= kRows, rows += kRows * stride, out += kRows * out_stride) {
    horizontal_rows<Channels, kRows, Narrow>(pass, rows, stride, out, out_stride);
  }
  for (; count > 0; --count, rows += stride, out += out_stride) horizontal_rows<Channels, 1, Narrow>(pass, rows, stride, out, out_stride);
}

void horizontal_avx2(const HorizontalPass& pass, const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) {
  const auto one = pass.channels == 3 ? (pass.narrow ? horizontal<3, true> : horizontal<3, false>) : (pass.narrow ? horizontal<4, true> : horizontal<4, false>);
  one(pass, rows, stride, count, out, out_stride);
}

template <bool Narrow>
void vertical(const VerticalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t bytes) {
  const __m256i half = _mm256_set1_epi32(1 << (pass.bits - 1));
  const __m128i bits = _mm_cvtsi32_si128(pass.bits);
  for (size_t i = 0; i < bytes; i += 32) {
    // Bytes 0-3 and 16-19, 4-7 and 20-23 ... of the 32: unpacking works within lanes, and packing below undoes it.
    __m256i low[4];
    __m256i high[4];
    for (int q = 0; q < 4; ++q) low[q] = high[q] = _mm256_setzero_si256();
    const uint8_t* row = rows + i;
    for (int k = 0; k < pass.count; k += 2, row += 2 * stride) {
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row));
      // An odd count's last row is paired with itself; its second weight is zero.
      const __m256i b = k + 1 < pass.count ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + stride)) : a;
      const __m256i weight_low = _mm256_set1_epi32(pass.pairs[k]);
      const __m256i weight_high = _mm256_set1_epi32(pass.pairs[k + 1]);
      const __m256i front = _mm256_unpacklo_epi8(a, b);
      const __m256i back = _mm256_unpackhi_epi8(a, b);
      const __m256i words[4] = {
          _mm256_unpacklo_epi8(front, _mm256_setzero_si256()), _mm256_unpackhi_epi8(front, _mm256_setzero_si256()),
          _mm256_unpacklo_epi8(back, _mm256_setzero_si256()), _mm256_unpackhi_epi8(back, _mm256_setzero_si256())};
      for (int q = 0; q < 4; ++q) {
        low[q] = _mm256_add_epi32(low[q], _mm256_madd_epi16(words[q], weight_low));
        if constexpr (!Narrow) high[q] = _mm256_add_epi32(high[q], _mm256_madd_epi16(words[q], weight_high));
      }
    }
    for (int q = 0; q < 4; ++q) {
      if constexpr (!Narrow) low[q] = _mm256_add_epi32(low[q], _mm256_slli_epi32(high[q], 15));
      low[q] = _mm256_sra_epi32(_mm256_add_epi32(half, low[q]), bits);
    }
    const __m256i packed = _mm256_packus_epi16(_mm256_packs_epi32(low[0], low[1]), _mm256_packs_epi32(low[2], low[3]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), packed);
  }
}

void vertical_avx2(const VerticalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t bytes) {
  (pass.narrow ? vertical<true> : vertical<false>)(pass, rows, stride, out, bytes);
}

}  // namespace

const ResampleKernels kAvx2Kernels = {"avx2", 2, horizontal_avx2, vertical_avx2};

}  // namespace clipengine::image
