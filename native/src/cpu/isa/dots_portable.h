// Steps of the products for any processor. Included inside an anonymous namespace, behind vector_portable.h.

struct FloatDot {
  using Sum = Vector;
  using Left = Vector;
  using Right = Vector;
  static inline Sum zero() { return spread(0.0f); }
  static inline Sum load(const uint32_t* p) { return load_words(p); }
  static inline void store(uint32_t* p, Sum v) { __builtin_memcpy(p, &v, sizeof v); }
  static inline Left left(const uint32_t* p) {
    float x;
    __builtin_memcpy(&x, p, sizeof x);
    return spread(x);
  }
  static inline Right right(const uint32_t* p) { return load_words(p); }
  static inline Sum step(Left a, Right b, Sum c) { return a * b + c; }

 private:
  static inline Vector load_words(const uint32_t* p) {
    Vector v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
};
using PairDot = FloatDot;  // operands rounded to bf16, kept as floats

// Four unsigned bytes of a row times four signed bytes of a channel.
struct ByteDot {
  using Sum = VectorInt;
  using Left = uint32_t;
  using Right = const uint32_t*;
  static inline Sum zero() { return VectorInt{0, 0, 0, 0}; }
  static inline Sum load(const uint32_t* p) {
    Sum v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  static inline void store(uint32_t* p, Sum v) { __builtin_memcpy(p, &v, sizeof v); }
  static inline Left left(const uint32_t* p) { return *p; }
  static inline Right right(const uint32_t* p) { return p; }
  static inline Sum step(Left a, Right b, Sum c) {
    for (int lane = 0; lane < 4; ++lane) {
      for (int byte = 0; byte < 4; ++byte) {
        c[lane] += static_cast<int32_t>((a >> (8 * byte)) & 0xff) * static_cast<int8_t>((b[lane] >> (8 * byte)) & 0xff);
      }
    }
    return c;
  }
};
