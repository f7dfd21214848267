#include <cstdint>

#include "amx/tiles.h"
#include "core/half.h"

namespace {
constexpr bool kBf16Pairs = true;
#include "simd/vector_portable.h"
#include "cpu/isa/dots_portable.h"
#include "cpu/amx/tiles_emulated.h"
#include "amx/tiles_body.h"
}  // namespace

void amx_test::multiply_portable(const TileProduct& call) { multiply_once(call); }
