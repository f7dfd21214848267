// The kernels of kernels_amx.cpp with the tile registers in software, on vectors of AVX-512 as there: the same bits as the unit's.
#include <immintrin.h>

#include "cpu/kernels.h"

namespace clipengine::cpu {
namespace {
#define CLIPENGINE_MATRIX_TILES
constexpr int64_t kTileRows = 14;
constexpr int64_t kPanelVectors = 2;
constexpr int64_t kAhead = 24;
#include "simd/vector_avx512.h"
#include "cpu/isa/dots_avx512.h"
#include "cpu/isa/math_body.h"
#include "cpu/isa/rows_body.h"
#include "cpu/isa/depthwise_body.h"
#include "cpu/isa/product_body.h"
#include "cpu/isa/attention_body.h"
#include "cpu/isa/attention_pairs_body.h"
#include "cpu/amx/tiles_emulated.h"
#include "cpu/amx/product_body.h"
#include "cpu/amx/attention_body.h"
}  // namespace
#define CLIPENGINE_TABLE kAmxEmulatedKernels
#define CLIPENGINE_TABLE_NAME "amx_emulated"
#include "cpu/amx/table_body.h"
}  // namespace clipengine::cpu
