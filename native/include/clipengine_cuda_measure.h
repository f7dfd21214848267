/* For people who profile: what a device does at best, the time between events, and named ranges for profilers.
 * The rules of clipengine_cuda.h hold. */
#ifndef CLIPENGINE_CUDA_MEASURE_H
#define CLIPENGINE_CUDA_MEASURE_H

#include "clipengine_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  CLIPENGINE_CUDA_CEILING_BFLOAT16 = 0, /* operations of mma.sync on tensor cores, operands in registers, fp32 sums; two a multiply-add */
  CLIPENGINE_CUDA_CEILING_FLOAT16 = 1,
  CLIPENGINE_CUDA_CEILING_TF32 = 2,
  CLIPENGINE_CUDA_CEILING_FLOAT32 = 3, /* operations of plain fused multiply-adds in registers */
  CLIPENGINE_CUDA_CEILING_COPY = 4,    /* bytes read and written by a copy within device memory, too large for a cache */
  CLIPENGINE_CUDA_CEILING_COUNT = 5
};

/* Runs the ceiling's kernel for about as long (by the device's events), several times, and returns the best rate a second. Checks that
 * the kernel did what is counted. CLIPENGINE_OUT_OF_MEMORY where a copy finds no room. */
CLIPENGINE_API clipengine_status clipengine_cuda_ceiling_measure(clipengine_cuda_device* device, int32_t ceiling, double seconds, double* per_second) CLIPENGINE_NOEXCEPT;

/* As clipengine_cuda_features_create, for more rows than the host holds: row i of row_count is row i modulo rows->row_count; at least
 * as many. rows->groups is null: all are in group 0. */
CLIPENGINE_API clipengine_status clipengine_cuda_features_repeat(clipengine_cuda_device* const* devices, int32_t device_count, const clipengine_sweep_batch* rows,
                                                                 int64_t row_count, int64_t width, int64_t group_count, clipengine_cuda_features** features) CLIPENGINE_NOEXCEPT;

/* Device memory that nobody holds, in bytes. */
CLIPENGINE_API clipengine_status clipengine_cuda_memory_available(clipengine_cuda_device* device, int64_t* bytes) CLIPENGINE_NOEXCEPT;

/* An event is recorded between what was enqueued before and after. elapsed waits for end; both must have been recorded. The
 * number is valid until the event is destroyed or the device closed. */
CLIPENGINE_API clipengine_status clipengine_cuda_event_create(clipengine_cuda_device* device, int64_t* event) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API clipengine_status clipengine_cuda_event_destroy(clipengine_cuda_device* device, int64_t event) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API clipengine_status clipengine_cuda_event_record(clipengine_cuda_device* device, int64_t event) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API clipengine_status clipengine_cuda_event_elapsed(clipengine_cuda_device* device, int64_t start, int64_t end, double* milliseconds) CLIPENGINE_NOEXCEPT;

/* Ranges of this thread's time for a tool that speaks NVTX 3 (NVTX_INJECTION64_PATH names its library, as Nsight Systems sets it);
 * they nest. name: UTF-8. Without a tool nothing happens, and clipengine_cuda_ranges_are_recorded returns 0. */
CLIPENGINE_API int32_t clipengine_cuda_ranges_are_recorded(void) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API void clipengine_cuda_range_push(const char* name) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API void clipengine_cuda_range_pop(void) CLIPENGINE_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
