/* What this processor can do at best: the figures that a benchmark is compared with. */
#ifndef CLIPENGINE_CEILINGS_H
#define CLIPENGINE_CEILINGS_H

#include "clipengine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  CLIPENGINE_CEILING_FLOAT32 = 0,     /* fused multiply-adds in registers, as wide as the instruction set has them */
  CLIPENGINE_CEILING_BFLOAT16 = 1,    /* VDPBF16PS in registers: needs AVX512_BF16 */
  CLIPENGINE_CEILING_INT8 = 2,        /* VPDPBUSD in registers: needs AVX512_VNNI */
  CLIPENGINE_CEILING_MEMORY_READ = 3, /* reading CLIPENGINE_CEILING_MEMORY_BYTES that no cache holds */
  CLIPENGINE_CEILING_COUNT = 4
};

#define CLIPENGINE_CEILING_MEMORY_BYTES 536870912

/* Measures on all threads of the pool, the best of several runs that take about `seconds` together.
 * *per_second: operations (a multiply-add is two), or bytes. isa: CLIPENGINE_CPU_..., one that the processor has.
 * UNSUPPORTED where the set has no such instruction; OUT_OF_MEMORY where there is no room for the memory to be read. */
CLIPENGINE_API clipengine_status clipengine_ceiling_measure(int32_t ceiling, int32_t isa, double seconds, double* per_second) CLIPENGINE_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
