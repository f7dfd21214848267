// The passes over all rows, for weights of either width. Included inside an anonymous namespace, behind horizontal_rows (kCount rows at once)
// and vertical.

template <int kChannels, bool kNarrow>
static void horizontal(const HorizontalPass& pass, const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) {
  for (; count >= kRowsTogether; count -= kRowsTogether, rows += kRowsTogether * stride, out += kRowsTogether * out_stride) horizontal_rows<kChannels, kRowsTogether, kNarrow>(pass, rows, stride, out, out_stride);
  for (; count > 0; --count, rows += stride, out += out_stride) horizontal_rows<kChannels, 1, kNarrow>(pass, rows, stride, out, out_stride);
}

static void horizontal_any(const HorizontalPass& pass, const uint8_t* rows, size_t stride, int count, uint8_t* out, size_t out_stride) {
  const auto one = pass.channels == 3 ? (pass.narrow ? horizontal<3, true> : horizontal<3, false>) : (pass.narrow ? horizontal<4, true> : horizontal<4, false>);
  one(pass, rows, stride, count, out, out_stride);
}

static void vertical_any(const VerticalPass& pass, const uint8_t* rows, size_t stride, uint8_t* out, size_t bytes) {
  (pass.narrow ? vertical<true> : vertical<false>)(pass, rows, stride, out, bytes);
}
