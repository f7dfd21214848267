// Where a tile's product takes its panel from. Included inside an anonymous namespace, behind the vectors.

// Words as they are.
struct WholePanel {
  using Word = uint32_t;
  static constexpr bool kNarrow = false;
  const uint32_t* at;
  static inline WholePanel panel(const uint32_t* stored, uint32_t*) { return {stored}; }
  template <class Dot>
  inline typename Dot::Right right(int64_t place) const { return Dot::right(at + place); }
  inline void fetch(int64_t place) const { __builtin_prefetch(at + place, 0, 3); }
  inline void advance(int64_t words) { at += words; }
};

// 16-bit values, which the first tile of rows widens in passing and leaves in widened for the others. A pass of its own over the panel
// would cost 2 % of the time of 200 rows and 6 % of 50.
template <bool half>
struct NarrowPanel {
  using Word = uint16_t;
  static constexpr bool kNarrow = true;
  const uint16_t* at;
  float* widened;
  static inline NarrowPanel panel(const uint16_t* stored, uint32_t* widened) { return {stored, reinterpret_cast<float*>(widened)}; }
  template <class Dot>
  inline typename Dot::Right right(int64_t place) const {
    const Vector wide = half ? widen_fp16(at + place) : widen_bf16(at + place);
    store(widened + place, wide);
    return wide;
  }
  inline void fetch(int64_t place) const {
    if (place % 32 == 0) __builtin_prefetch(at + place, 0, 3);
  }
  inline void advance(int64_t words) {
    at += words;
    widened += words;
  }
};

// CASE(R) for every height that a tile of rows has on some instruction set. (A function over constants in its place made products 2 % slower.)
#define CLIPENGINE_FOR_TILE_HEIGHTS(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
