// The kernels for avx512 with bf16. Compiled with flags of its own: includes nothing that defines inline functions for others.
// VDPBF16PS flushes denormals and rounds each pair's sum its own way: results differ from the other sets' bf16 in the last bits.
// native/tests/cpu_bf16_pairs_kernels.cpp is the same with the instruction in software.
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
#include "cpu/isa/attention_pairs_body.h"
}  // namespace
#define CLIPENGINE_TABLE kAvx512Bf16Kernels
#define CLIPENGINE_TABLE_NAME "avx512_bf16"
#include "cpu/isa/table_body.h"
}  // namespace clipengine::cpu
