// The processor's tile registers. Included inside an anonymous namespace; tiles_emulated.h offers the same in software.
// The statements are written here because those of GCC 12's header do not say that a load reads memory: what was stored before it could
// be moved behind it.

// The operand of LDTILECFG.
struct TileShapes {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileShapes) == 64);

// Rows of the sums and left operands as they are configured on this thread; 0: not configured.
static thread_local int64_t configured_rows = 0;

// Tiles 0 to 3 (sums), 4 and 5 (left operands) get rows rows, 6 and 7 (right operands) sixteen; all have 64 bytes a row.
static inline void configure_tiles(int64_t rows) {
  if (configured_rows == rows) return;
  TileShapes shapes{};
  shapes.palette = 1;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.row_bytes[tile] = 64;
    shapes.rows[tile] = static_cast<uint8_t>(tile < 6 ? rows : 16);
  }
  asm volatile("ldtilecfg %0" : : "m"(shapes));
  configured_rows = rows;
}

// Gives the tiles' 8 KiB back, so that the system need not save them when the thread sleeps.
static void release_tiles() {
  if (configured_rows == 0) return;
  asm volatile("tilerelease");
  configured_rows = 0;
}

template <int tile>
static inline void zero_tile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(tile));
}
// stride: bytes from row to row.
template <int tile>
static inline void load_tile(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
static inline void store_tile(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(tile) : "memory");
}
// sums += left right: pairs of bf16, or unsigned times signed bytes.
template <bool bytes, int sums, int left, int right>
static inline void multiply_tiles() {
  if constexpr (bytes) {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(left), "i"(right));
  } else {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(left), "i"(right));
  }
}
// sums += left right, signed times unsigned bytes.
template <int sums, int left, int right>
static inline void multiply_signed_by_unsigned() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(left), "i"(right));
}
