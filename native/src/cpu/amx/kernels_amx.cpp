// The kernels for avx512 with AMX. Compiled with flags of its own: includes nothing that defines inline functions for others. The only
// object with tile instructions; nothing of it runs before amx_support() says that this process may use them.
#include <immintrin.h>

#include "cpu/amx/loops.h"
#include "cpu/kernels.h"

namespace clipengine::cpu {
namespace {
#define CLIPENGINE_MATRIX_TILES
constexpr int64_t kTileRows = 14;    // 14 rows x 2 vectors of sums, 2 of the panel and 1 of the row: 31 of 32 registers
constexpr int64_t kPanelVectors = 2;
constexpr int64_t kAhead = 24;       // words between reading a panel and asking for it
#include "simd/vector_avx512.h"
#include "cpu/isa/dots_avx512.h"
#include "cpu/isa/math_body.h"
#include "cpu/isa/rows_body.h"
#include "cpu/isa/depthwise_body.h"
#include "cpu/isa/product_body.h"
#include "cpu/isa/attention_body.h"
#include "cpu/isa/attention_pairs_body.h"
#include "cpu/amx/tiles_hardware.h"
#include "cpu/amx/product_body.h"
#include "cpu/amx/attention_body.h"

template <bool bytes>
void multiply_in_registers(int64_t rounds) {
  alignas(64) static const uint32_t ones[16 * 16] = {};
  configure_tiles(16);
  load_tile<4>(ones, kRowBytes);
  load_tile<5>(ones, kRowBytes);
  load_tile<6>(ones, kRowBytes);
  load_tile<7>(ones, kRowBytes);
  zero_tile<0>();
  zero_tile<1>();
  zero_tile<2>();
  zero_tile<3>();
  for (int64_t round = 0; round < rounds; ++round) {
    multiply_tiles<bytes, 0, 4, 6>();
    multiply_tiles<bytes, 1, 4, 7>();
    multiply_tiles<bytes, 2, 5, 6>();
    multiply_tiles<bytes, 3, 5, 7>();
  }
  release_tiles();
}
}  // namespace
#define CLIPENGINE_TABLE kAmxKernels
#define CLIPENGINE_TABLE_NAME "amx"
#include "cpu/amx/table_body.h"

void amx_pairs_loop(int64_t rounds) { multiply_in_registers<false>(rounds); }
void amx_bytes_loop(int64_t rounds) { multiply_in_registers<true>(rounds); }
}  // namespace clipengine::cpu
