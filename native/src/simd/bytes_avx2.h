// Bytes and pairs of 16-bit numbers in one AVX2 register, on vector_avx2.h. Included behind it. Shuffling, interleaving and packing work within
// lanes of 16 bytes.

constexpr int kByteLanes = 2;

static inline __m256i register_of(Words w) { return reinterpret_cast<__m256i>(w); }
static inline Words in_every_lane(__m128i lane) { return reinterpret_cast<Words>(_mm256_broadcastsi128_si256(lane)); }
static inline __m128i sum_of_lanes(Words w) { return _mm_add_epi32(_mm256_castsi256_si128(register_of(w)), _mm256_extracti128_si256(register_of(w), 1)); }
// Four pixels to the front of each lane.
template <int kChannels>
static inline Words load_pixels(const uint8_t* p) {
  return reinterpret_cast<Words>(_mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 4 * kChannels)), 1));
}
static inline Words shuffle_bytes(Words w, Words order) { return reinterpret_cast<Words>(_mm256_shuffle_epi8(register_of(w), register_of(order))); }
static inline Words interleave_low(Words a, Words b) { return reinterpret_cast<Words>(_mm256_unpacklo_epi8(register_of(a), register_of(b))); }
static inline Words interleave_high(Words a, Words b) { return reinterpret_cast<Words>(_mm256_unpackhi_epi8(register_of(a), register_of(b))); }
// Products of signed 16-bit numbers, those of a word added.
static inline Words multiply_pairs(Words a, Words b) { return reinterpret_cast<Words>(_mm256_madd_epi16(register_of(a), register_of(b))); }
// Signed words, saturated to bytes: lane by lane those of a, b, c, d.
static inline Words pack_bytes(Words a, Words b, Words c, Words d) {
  return reinterpret_cast<Words>(_mm256_packus_epi16(_mm256_packs_epi32(register_of(a), register_of(b)), _mm256_packs_epi32(register_of(c), register_of(d))));
}
