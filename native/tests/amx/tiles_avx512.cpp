#include <immintrin.h>

#include <cstdint>

#include "amx/tiles.h"

namespace {
#define CLIPENGINE_MATRIX_TILES
#include "simd/vector_avx512.h"
#include "cpu/isa/dots_avx512.h"
#include "cpu/amx/tiles_emulated.h"
#include "amx/tiles_body.h"
}  // namespace

void amx_test::multiply_avx512(const TileProduct& call) { multiply_once(call); }
