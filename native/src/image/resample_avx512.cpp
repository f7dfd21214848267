// Resampling for AVX-512 (F and BW). As for AVX2 with four lanes: of RGB a permutation deals out 48 bytes, four pixels to a lane.
#include <immintrin.h>

#include "image/resample.h"

namespace clipengine::image {
namespace {

constexpr int kRows = 4;

typedef int unaligned_int __attribute__((may_alias, aligned(1)));

template <int Channels, int Rows, bool Narrow>
void horizontal_rows(const HorizontalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t out_stride) {
  const __m512i deal = _mm512_setr_epi32(0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11);
  const __m512i first_two = _mm512_broadcast_i32x4(Channels == 3 ? _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1)
                                                                 : _mm_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1));
  const __m512i last_two = _mm512_broadcast_i32x4(Channels == 3 ? _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1)
                                                                : _mm_setr_epi8(8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1));
  const __m128i half = _mm_set1_epi32(1 << (pass.bits - 1));
  const __m128i bits = _mm_cvtsi32_si128(pass.bits);
  for (int x = 0; x < pass.outputs; ++x) {
    __m512i low[Rows];
    __m512i high[Rows];
    for (int r = 0; r < Rows; ++r) low[r] = high[r] = _mm512_setzero_si512();
    const uint8_t* pixel = rows + static_cast<size_t>(pass.first[x]) * Channels;
    const __m512i* weight = reinterpret_cast<const __m512i*>(pass.packed) + static_cast<size_t>(x) * static_cast<size_t>(pass.block_capacity) * 4;
    for (int block = 0; block < pass.blocks[x]; ++block, pixel += 16 * Channels, weight += 4) {
      const __m512i low01 = _mm512_loadu_si512(weight);
      const __m512i high01 = _mm512_loadu_si512(weight + 1);
      const __m512i low23 = _mm512_loadu_si512(weight + 2);
      const __m512i high23 = _mm512_loadu_si512(weight + 3);
      for (int r = 0; r < Rows; ++r) {
        __m512i bytes = _mm512_loadu_si512(pixel + static_cast<size_t>(r) * stride);
        if constexpr (Channels == 3) bytes = _mm512_permutexvar_epi32(deal, bytes);
        const __m512i a = _mm512_shuffle_epi8(bytes, first_two);
        const __m512i b = _mm512_shuffle_epi8(bytes, last_two);
        low[r] = _mm512_add_epi32(low[r], _mm512_add_epi32(_mm512_madd_epi16(a, low01), _mm512_madd_epi16(b, low23)));
        if constexpr (!Narrow) high[r] = _mm512_add_epi32(high[r], _mm512_add_epi32(_mm512_madd_epi16(a, high01), _mm512_madd_epi16(b, high23)));
      }
    }
    __m128i sums[kRows];
    for (int r = 0; r < kRows; ++r) sums[r] = _mm_setzero_si128();
    for (int r = 0; r < Rows; ++r) {
      const __m512i sum = Narrow ? low[r] : _mm512_add_epi32(low[r], _mm512_slli_epi32(high[r], 15));
      const __m256i pair = _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
      const __m128i total = _mm_add_epi32(_mm256_castsi256_si128(pair), _mm256_extracti128_si256(pair, 1));
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

void horizontal_avx512(const HorizontalPass& pass, const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) {
  const auto one = pass.channels == 3 ? (pass.narrow ? horizontal<3, true> : horizontal<3, false>) : (pass.narrow ? horizontal<4, true> : horizontal<4, false>);
  one(pass, rows, stride, count, out, out_stride);
}

template <bool Narrow>
void vertical(const VerticalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t bytes) {
  const __m512i half = _mm512_set1_epi32(1 << (pass.bits - 1));
  const __m128i bits = _mm_cvtsi32_si128(pass.bits);
  const __m512i zero = _mm512_setzero_si512();
  for (size_t i = 0; i < bytes; i += 64) {
    // Unpacking works within lanes of 16 bytes, and packing below undoes it.
    __m512i low[4];
    __m512i high[4];
    for (int q = 0; q < 4; ++q) low[q] = high[q] = zero;
    const uint8_t* row = rows + i;
    for (int k = 0; k < pass.count; k += 2, row += 2 * stride) {
      const __m512i a = _mm512_loadu_si512(row);
      // An odd count's last row is paired with itself; its second weight is zero.
      const __m512i b = k + 1 < pass.count ? _mm512_loadu_si512(row + stride) : a;
      const __m512i weight_low = _mm512_set1_epi32(pass.pairs[k]);
      const __m512i weight_high = _mm512_set1_epi32(pass.pairs[k + 1]);
      const __m512i front = _mm512_unpacklo_epi8(a, b);
      const __m512i back = _mm512_unpackhi_epi8(a, b);
      const __m512i words[4] = {_mm512_unpacklo_epi8(front, zero), _mm512_unpackhi_epi8(front, zero), _mm512_unpacklo_epi8(back, zero),
                                _mm512_unpackhi_epi8(back, zero)};
      for (int q = 0; q < 4; ++q) {
        low[q] = _mm512_add_epi32(low[q], _mm512_madd_epi16(words[q], weight_low));
        if constexpr (!Narrow) high[q] = _mm512_add_epi32(high[q], _mm512_madd_epi16(words[q], weight_high));
      }
    }
    for (int q = 0; q < 4; ++q) {
      if constexpr (!Narrow) low[q] = _mm512_add_epi32(low[q], _mm512_slli_epi32(high[q], 15));
      low[q] = _mm512_sra_epi32(_mm512_add_epi32(half, low[q]), bits);
    }
    const __m512i packed = _mm512_packus_epi16(_mm512_packs_epi32(low[0], low[1]), _mm512_packs_epi32(low[2], low[3]));
    _mm512_storeu_si512(out + i, packed);
  }
}

void vertical_avx512(const VerticalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t bytes) {
  (pass.narrow ? vertical<true> : vertical<false>)(pass, rows, stride, out, bytes);
}

}  // namespace

const ResampleKernels kAvx512Kernels = {"avx512", 4, horizontal_avx512, vertical_avx512};

}  // namespace clipengine::image
