// The kernels for NEON as every Arm64 processor has it. Compiled with flags of its own: includes nothing that defines inline functions for others.
#include <arm_neon.h>

#include "cpu/kernels.h"

namespace clipengine::cpu {
namespace {
#include "simd/vector_neon.h"
#include "cpu/isa/dots_neon.h"
#include "cpu/isa/math_body.h"
#include "cpu/isa/rows_body.h"
#include "cpu/isa/depthwise_body.h"
#include "cpu/isa/product_body.h"
#include "cpu/isa/attention_body.h"
}  // namespace
#define CLIPENGINE_TABLE kNeonKernels
#define CLIPENGINE_TABLE_NAME "neon"
#include "cpu/isa/table_body.h"
}  // namespace clipengine::cpu
