// The kernels for avx512. Compiled with flags of its own: includes nothing that defines inline functions for others.
#include <immintrin.h>

#include "cpu/kernels.h"

namespace clipengine::cpu {
namespace {
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
}  // namespace
#define CLIPENGINE_TABLE kAvx512Kernels
#define CLIPENGINE_TABLE_NAME "avx512"
#include "cpu/isa/table_body.h"
}  // namespace clipengine::cpu
