// The kernels for any processor: the compiler's own vectors of four floats.
#include "core/half.h"
#include "cpu/kernels.h"

namespace clipengine::cpu {
namespace {
constexpr int64_t kTileRows = 2;     // 2 rows x 4 vectors of sums fit the 16 registers of SSE2 and NEON with a panel beside them
constexpr int64_t kPanelVectors = 4;
constexpr int64_t kAhead = 32;       // words between reading a panel and asking for it
constexpr bool kBf16Pairs = false;
#include "simd/vector_portable.h"
#include "cpu/isa/dots_portable.h"
#include "cpu/isa/math_body.h"
#include "cpu/isa/rows_body.h"
#include "cpu/isa/depthwise_body.h"
#include "cpu/isa/product_body.h"
#include "cpu/isa/attention_body.h"
}  // namespace
#define CLIPENGINE_TABLE kPortableKernels
#define CLIPENGINE_TABLE_NAME "portable"
#include "cpu/isa/table_body.h"
}  // namespace clipengine::cpu
