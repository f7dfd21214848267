// Bytes and pairs of 16-bit numbers in one AVX-512 register, on vector_avx512.h. Included behind it. Shuffling, interleaving and packing work within
// lanes of 16 bytes.

constexpr int kByteLanes = 4;

static inline __m512i register_of(Words w) { return reinterpret_cast<__m512i>(w); }
static inline Words in_every_lane(__m128i lane) { return reinterpret_cast<Words>(_mm512_broadcast_i32x4(lane)); }
static inline __m128i sum_of_lanes(Words w) {
  const __m256i two = _mm256_add_epi32(_mm512_castsi512_si256(register_of(w)), _mm512_extracti64x4_epi64(register_of(w), 1));
  return _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
}
// Four pixels to the front of each lane.
template <int kChannels>
static inline Words load_pixels(const uint8_t* p) {
  const __m512i bytes = _mm512_loadu_si512(p);
  if constexpr (kChannels == 4) return reinterpret_cast<Words>(bytes);
  return reinterpret_cast<Words>(_mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11), bytes));
}
static inline Words shuffle_bytes(Words w, Words order) { return reinterpret_cast<Words>(_mm512_shuffle_epi8(register_of(w), register_of(order))); }
static inline Words interleave_low(Words a, Words b) { return reinterpret_cast<Words>(_mm512_unpacklo_epi8(register_of(a), register_of(b))); }
static inline Words interleave_high(Words a, Words b) { return reinterpret_cast<Words>(_mm512_unpackhi_epi8(register_of(a), register_of(b))); }
// Products of signed 16-bit numbers, those of a word added.
static inline Words multiply_pairs(Words a, Words b) { return reinterpret_cast<Words>(_mm512_madd_epi16(register_of(a), register_of(b))); }
// Signed words, saturated to bytes: lane by lane those of a, b, c, d.
static inline Words pack_bytes(Words a, Words b, Words c, Words d) {
  return reinterpret_cast<Words>(_mm512_packus_epi16(_mm512_packs_epi32(register_of(a), register_of(b)), _mm512_packs_epi32(register_of(c), register_of(d))));
}
