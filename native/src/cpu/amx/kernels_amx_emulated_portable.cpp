// The kernels of kernels_amx.cpp with the tile registers in software, for processors without AVX-512: the tiles' bits are the unit's, and what
// is computed around them is that of the portable set.
#include "core/half.h"
#include "cpu/kernels.h"

namespace clipengine::cpu {
namespace {
constexpr int64_t kTileRows = 2;
constexpr int64_t kPanelVectors = 8;  // two tile registers
constexpr int64_t kAhead = 32;
constexpr bool kBf16Pairs = true;
#include "simd/vector_portable.h"
#include "cpu/isa/dots_portable.h"
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
#define CLIPENGINE_TABLE kAmxEmulatedPortableKernels
#define CLIPENGINE_TABLE_NAME "amx_emulated"
#include "cpu/amx/table_body.h"
}  // namespace clipengine::cpu
