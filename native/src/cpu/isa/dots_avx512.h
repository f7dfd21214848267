// Steps of the products for AVX-512. Included inside an anonymous namespace.
// A sum is named as read and written, because the compiler else tends to form it in another operand's register and runs out of
// registers for moving it back.

struct FloatDot {
  using Sum = __m512;
  using Left = __m512;
  using Right = __m512;
  static inline Sum zero() { return _mm512_setzero_ps(); }
  static inline Sum load(const uint32_t* p) { return _mm512_loadu_ps(p); }
  static inline void store(uint32_t* p, Sum v) { _mm512_storeu_ps(p, v); }
  static inline Left left(const uint32_t* p) {
    float x;
    __builtin_memcpy(&x, p, 4);
    return _mm512_set1_ps(x);
  }
  static inline Right right(const uint32_t* p) { return _mm512_loadu_ps(p); }
  static inline Sum step(Left a, Right b, Sum c) {
    asm("vfmadd231ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
  }
};

#ifdef __AVX512VNNI__
// Four unsigned bytes of a row times four signed bytes of a channel, summed in 32 bits without saturation.
struct ByteDot {
  using Sum = __m512i;
  using Left = __m512i;
  using Right = __m512i;
  static inline Sum zero() { return _mm512_setzero_si512(); }
  static inline Sum load(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static inline void store(uint32_t* p, Sum v) { _mm512_storeu_si512(p, v); }
  static inline Left left(const uint32_t* p) { return _mm512_set1_epi32(static_cast<int>(*p)); }
  static inline Right right(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static inline Sum step(Left a, Right b, Sum c) {
    asm("vpdpbusd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
  }
};
#else
// The same without VNNI: even and odd bytes widened to 16 bits and multiplied in pairs; 255 * 127 * 2 fits 32 bits exactly.
struct ByteDot {
  struct Halves {
    __m512i even, odd;
  };
  using Sum = __m512i;
  using Left = Halves;
  using Right = Halves;
  static inline Sum zero() { return _mm512_setzero_si512(); }
  static inline Sum load(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static inline void store(uint32_t* p, Sum v) { _mm512_storeu_si512(p, v); }
  static inline Left left(const uint32_t* p) {
    const __m512i a = _mm512_set1_epi32(static_cast<int>(*p));
    return {_mm512_and_si512(a, _mm512_set1_epi16(0xff)), _mm512_srli_epi16(a, 8)};
  }
  static inline Right right(const uint32_t* p) {
    const __m512i b = _mm512_loadu_si512(p);
    return {_mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8), _mm512_srai_epi16(b, 8)};
  }
  static inline Sum step(Left a, Right b, Sum c) {
    return _mm512_add_epi32(c, _mm512_add_epi32(_mm512_madd_epi16(a.even, b.even), _mm512_madd_epi16(a.odd, b.odd)));
  }
};
#endif

// Where the instruction is. A test defines both itself, the second in software, for machines that lack it.
#ifdef __AVX512BF16__
#define CLIPENGINE_BF16_PAIRS
static inline __m512 dot_pairs(__m512 sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

// A third of the time of rounding by integers. Denormals become zeros, as which VDPBF16PS takes them anyway.
#define CLIPENGINE_STORES_BF16
static inline void store_bf16(uint16_t* p, Vector v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(v)); }
static inline Vector pairs_in_bf16(Vector first, Vector second) {
  const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(second, first);  // those of first in front
  const __m512i even = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i order = _mm512_or_si512(even, _mm512_slli_epi32(_mm512_add_epi32(even, _mm512_set1_epi32(16)), 16));
  return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, halves));
}
#endif

#ifdef CLIPENGINE_BF16_PAIRS
// Two bf16 of a row times two bf16 of a channel.
struct PairDot {
  using Sum = __m512;
  using Left = __m512i;
  using Right = __m512i;
  static inline Sum zero() { return _mm512_setzero_ps(); }
  static inline Sum load(const uint32_t* p) { return _mm512_loadu_ps(p); }
  static inline void store(uint32_t* p, Sum v) { _mm512_storeu_ps(p, v); }
  static inline Left left(const uint32_t* p) { return _mm512_set1_epi32(static_cast<int>(*p)); }
  static inline Right right(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static inline Sum step(Left a, Right b, Sum c) { return dot_pairs(c, a, b); }
};
constexpr bool kBf16Pairs = true;
#elif defined(CLIPENGINE_MATRIX_TILES)
using PairDot = FloatDot;  // not used: pairs go to the tile registers
constexpr bool kBf16Pairs = true;
#else
using PairDot = FloatDot;  // operands rounded to bf16, kept as floats
constexpr bool kBf16Pairs = false;
#endif
