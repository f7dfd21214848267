// Resampling by products of pairs of 16-bit numbers (AVX2, AVX-512). Included inside an anonymous namespace, behind simd/bytes_<set>.h.
// A lane of 16 bytes takes four pixels: shuffled to words (r0 r1 g0 g1 b0 b1 a0 a1) and (r2 r3 ...), so that one multiply-add gives the
// channels' sums of two taps; of RGB the last two words are zero. Weights come as two halves of 15 and 17 bits, hence two products each;
// narrow ones as one of 16.

typedef int unaligned_int __attribute__((may_alias, aligned(1)));

// Two of a lane's four pixels, from first on.
template <int kChannels>
static inline Words two_pixels(char first) {
  const char r = static_cast<char>(first * kChannels), s = static_cast<char>(r + kChannels), none = -1;
  const char a = kChannels == 4 ? static_cast<char>(r + 3) : none, b = kChannels == 4 ? static_cast<char>(s + 3) : none;
  return in_every_lane(_mm_setr_epi8(r, none, s, none, static_cast<char>(r + 1), none, static_cast<char>(s + 1), none, static_cast<char>(r + 2), none, static_cast<char>(s + 2), none, a, none, b, none));
}

template <int kChannels, int kCount, bool kNarrow>
static inline void horizontal_rows(const HorizontalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t out_stride) {
  const Words first_two = two_pixels<kChannels>(0), last_two = two_pixels<kChannels>(2);
  const __m128i half = _mm_set1_epi32(1 << (pass.bits - 1)), bits = _mm_cvtsi32_si128(pass.bits);
  constexpr size_t kStep = sizeof(Words) / sizeof(int16_t);
  for (int x = 0; x < pass.outputs; ++x) {
    Words low[kCount], high[kCount];
    for (int r = 0; r < kCount; ++r) low[r] = high[r] = Words{};
    const uint8_t* pixel = rows + static_cast<size_t>(pass.first[x]) * kChannels;
    const int16_t* weight = pass.packed + static_cast<size_t>(x) * static_cast<size_t>(pass.block_capacity) * 4 * kStep;
    for (int block = 0; block < pass.blocks[x]; ++block, pixel += 4 * kByteLanes * kChannels, weight += 4 * kStep) {
      const Words low01 = load_words(weight), high01 = load_words(weight + kStep), low23 = load_words(weight + 2 * kStep), high23 = load_words(weight + 3 * kStep);
      for (int r = 0; r < kCount; ++r) {
        const Words bytes = load_pixels<kChannels>(pixel + static_cast<size_t>(r) * stride);
        const Words a = shuffle_bytes(bytes, first_two), b = shuffle_bytes(bytes, last_two);
        low[r] += multiply_pairs(a, low01) + multiply_pairs(b, low23);
        if constexpr (!kNarrow) high[r] += multiply_pairs(a, high01) + multiply_pairs(b, high23);
      }
    }
    __m128i sums[kRowsTogether];
    for (int r = 0; r < kRowsTogether; ++r) sums[r] = _mm_setzero_si128();
    for (int r = 0; r < kCount; ++r) sums[r] = _mm_sra_epi32(_mm_add_epi32(sum_of_lanes(kNarrow ? low[r] : low[r] + (high[r] << 15)), half), bits);
    const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(sums[0], sums[1]), _mm_packs_epi32(sums[2], sums[3]));
    // Of RGB four bytes are stored for three: the next pixel overwrites the fourth.
    uint8_t* o = out + static_cast<size_t>(x) * kChannels;
    *reinterpret_cast<unaligned_int*>(o) = _mm_extract_epi32(bytes, 0);
    if constexpr (kCount > 1) *reinterpret_cast<unaligned_int*>(o + out_stride) = _mm_extract_epi32(bytes, 1);
    if constexpr (kCount > 2) *reinterpret_cast<unaligned_int*>(o + 2 * out_stride) = _mm_extract_epi32(bytes, 2);
    if constexpr (kCount > 3) *reinterpret_cast<unaligned_int*>(o + 3 * out_stride) = _mm_extract_epi32(bytes, 3);
  }
}

template <bool kNarrow>
static void vertical(const VerticalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t bytes) {
  typedef int32_t Integers __attribute__((vector_size(sizeof(Words))));
  const uint32_t half = 1u << (pass.bits - 1);
  for (size_t i = 0; i < bytes; i += sizeof(Words)) {
    Words low[4], high[4];
    for (int q = 0; q < 4; ++q) low[q] = high[q] = Words{};
    const uint8_t* row = rows + i;
    for (int k = 0; k < pass.count; k += 2, row += 2 * stride) {
      const Words a = load_words(row);
      // An odd count's last row is paired with itself; its second weight is zero.
      const Words b = k + 1 < pass.count ? load_words(row + stride) : a;
      const Words weight_low = Words{} + static_cast<uint32_t>(pass.pairs[k]), weight_high = Words{} + static_cast<uint32_t>(pass.pairs[k + 1]);
      // Packing below undoes the order.
      const Words front = interleave_low(a, b), back = interleave_high(a, b);
      const Words words[4] = {interleave_low(front, Words{}), interleave_high(front, Words{}), interleave_low(back, Words{}), interleave_high(back, Words{})};
      for (int q = 0; q < 4; ++q) {
        low[q] += multiply_pairs(words[q], weight_low);
        if constexpr (!kNarrow) high[q] += multiply_pairs(words[q], weight_high);
      }
    }
    for (int q = 0; q < 4; ++q) {
      if constexpr (!kNarrow) low[q] += high[q] << 15;
      low[q] = reinterpret_cast<Words>(reinterpret_cast<Integers>(low[q] + half) >> pass.bits);
    }
    store_words(out + i, pack_bytes(low[0], low[1], low[2], low[3]));
  }
}
