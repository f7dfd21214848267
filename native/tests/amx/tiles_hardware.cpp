#include <cstdint>

#include "amx/tiles.h"

namespace {
#include "cpu/amx/tiles_hardware.h"
#include "amx/tiles_body.h"
}  // namespace

void amx_test::multiply_hardware(const TileProduct& call) { multiply_once(call); }
