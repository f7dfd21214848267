/* The C ABI of libclipengine_cuda: a thin layer over the CUDA driver. It knows memory, kernels and launches, nothing of
 * models; what is computed stands in the kernels, in which order in the caller. The library itself needs no CUDA to be
 * built or loaded: the driver is opened when a device is.
 *
 * The rules of clipengine.h hold. A device may be used from several threads; its operations run in the order of the calls. */
#ifndef CLIPENGINE_CUDA_H
#define CLIPENGINE_CUDA_H

#include "clipengine.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CLIPENGINE_CUDA_ABI_VERSION 3

typedef struct clipengine_cuda_device clipengine_cuda_device;

/* Returns CLIPENGINE_CUDA_ABI_VERSION of the library that was loaded. */
CLIPENGINE_API int32_t clipengine_cuda_abi_version(void) CLIPENGINE_NOEXCEPT;

/* Copies this thread's last error text as clipengine_error_message does; each library keeps its own. */
CLIPENGINE_API int64_t clipengine_cuda_error_message(char* buffer, int64_t capacity) CLIPENGINE_NOEXCEPT;

/* How many devices the driver sees. CLIPENGINE_UNSUPPORTED where there is no driver; the message says which step failed. */
CLIPENGINE_API clipengine_status clipengine_cuda_device_count(int32_t* count) CLIPENGINE_NOEXCEPT;

/* Opens device `ordinal` and loads the kernels: a cubin for its architecture beside the library, else PTX beside it, else
 * the kernels' text compiled by NVRTC. kernel_folder (UTF-8) holds compiled kernels and receives what NVRTC compiled;
 * null for none. The caller closes the device. */
CLIPENGINE_API clipengine_status clipengine_cuda_device_open(int32_t ordinal, const char* kernel_folder, clipengine_cuda_device** device) CLIPENGINE_NOEXCEPT;

/* Waits for the device and releases it. Memory that was allocated on it must have been freed. Null is allowed. */
CLIPENGINE_API void clipengine_cuda_device_close(clipengine_cuda_device* device) CLIPENGINE_NOEXCEPT;

/* Name, memory, driver, where the kernels came from and every step down on the way there: lines of UTF-8 "key: value",
 * NUL-terminated and cut to capacity. Returns the whole length through *length. */
CLIPENGINE_API clipengine_status clipengine_cuda_device_describe(clipengine_cuda_device* device, char* buffer, int64_t capacity, int64_t* length) CLIPENGINE_NOEXCEPT;

/* Device memory, 256-byte aligned. CLIPENGINE_OUT_OF_MEMORY names the bytes asked for and free. */
CLIPENGINE_API clipengine_status clipengine_cuda_memory_allocate(clipengine_cuda_device* device, int64_t bytes, uint64_t* address) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API clipengine_status clipengine_cuda_memory_free(clipengine_cuda_device* device, uint64_t address) CLIPENGINE_NOEXCEPT;

/* Host to device through pinned staging, so that a mapped file needs no second host copy; source may be reused on return. */
CLIPENGINE_API clipengine_status clipengine_cuda_memory_upload(clipengine_cuda_device* device, uint64_t destination, const void* source, int64_t bytes) CLIPENGINE_NOEXCEPT;

/* Waits for everything before it, then device to host. */
CLIPENGINE_API clipengine_status clipengine_cuda_memory_download(clipengine_cuda_device* device, void* destination, uint64_t source, int64_t bytes) CLIPENGINE_NOEXCEPT;

/* Finds a kernel by name and allows it shared_bytes of dynamic shared memory. The number is valid until the device is closed. */
CLIPENGINE_API clipengine_status clipengine_cuda_kernel_find(clipengine_cuda_device* device, const char* name, int32_t shared_bytes, int64_t* kernel) CLIPENGINE_NOEXCEPT;

/* What the operands of a product are. */
typedef enum { CLIPENGINE_CUDA_FP32 = 0, CLIPENGINE_CUDA_TF32 = 1, CLIPENGINE_CUDA_BF16 = 2, CLIPENGINE_CUDA_FP16 = 3, CLIPENGINE_CUDA_FP8 = 4 } clipengine_cuda_operand_type;

/* Finds how to compute y [rows, columns] = scale * activation(x w^T + bias) + residual for weights [columns, depth] of a type: by
 * cuBLASLt where it is installed (CLIPENGINE_CUBLASLT names the library, or says "none"), does as our kernels do and gives a row the
 * same bits in any batch; else by our kernels. It is tried on the device the first time; clipengine_cuda_device_describe says what
 * was found. depth is a multiple of 8. The result is of the operands' type, or fp32: always for fp32 and tf32. The number is launched
 * like a kernel, grid, block and shared memory aside, with the arguments
 *   x, w, y: addresses, multiples of 16 bytes; int32 rows, columns, depth; bias [columns], scale [columns], residual [rows,
 *   columns]: addresses of fp32 or 0; int32 activation (ActivationCode in cuda/kernels/maths.h).
 * fp8 is e4m3 with scales: depth is a multiple of 16, the result bf16 or fp32, and behind these arguments stand the scales of the
 * rows of x [rows] and of w [columns], addresses of fp32. CLIPENGINE_UNSUPPORTED where the device does not multiply fp8. */
CLIPENGINE_API clipengine_status clipengine_cuda_product_find(clipengine_cuda_device* device, int32_t operand_type, int32_t is_result_fp32, int32_t columns, int32_t depth,
                                                              int64_t* product) CLIPENGINE_NOEXCEPT;

/* One launch of a kernel: blocks along x, y and z, threads of a block, bytes of dynamic shared memory, and where its arguments
 * stand in the list that comes with it. Each argument fills the low bytes of eight (little-endian), in the kernel's order. */
typedef struct {
  int64_t kernel;
  uint32_t grid_x, grid_y, grid_z, block, shared_bytes;
  int32_t argument_count;
  int64_t first_argument;
} clipengine_cuda_launch;

/* Enqueues launches [count] in their order. arguments [argument_count]: those of all of them. */
CLIPENGINE_API clipengine_status clipengine_cuda_launches_enqueue(clipengine_cuda_device* device, const clipengine_cuda_launch* launches, int32_t count,
                                                                  const uint64_t* arguments, int64_t argument_count) CLIPENGINE_NOEXCEPT;

/* The same launches as a CUDA graph, which is enqueued as one. The number is valid until the graph is destroyed or the device
 * closed. */
CLIPENGINE_API clipengine_status clipengine_cuda_graph_create(clipengine_cuda_device* device, const clipengine_cuda_launch* launches, int32_t count,
                                                              const uint64_t* arguments, int64_t argument_count, int64_t* graph) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API clipengine_status clipengine_cuda_graph_enqueue(clipengine_cuda_device* device, int64_t graph) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API clipengine_status clipengine_cuda_graph_destroy(clipengine_cuda_device* device, int64_t graph) CLIPENGINE_NOEXCEPT;

/* ---- the probe sweep ----
 * As clipengine_sweep.h describes it, with these differences. Rows of fp16 and bf16 multiply on tensor cores with fp32 sums;
 * prompts keep 24 bits beside bf16 rows and at least 22 beside fp16 rows. Rows of fp32 (and fp64, rounded to fp32) multiply in
 * true fp32. Within a chunk a group's probabilities are added up 16 at a time in fp32, then in double precision; a sum of at
 * most 128 rows is rounded to a multiple of 2^-80 and added up exactly. A weighted sum is in double precision within a chunk.
 * Totals and row outputs are the same bits for any number of devices and for any batches whose borders lie on multiples of
 * CLIPENGINE_SWEEP_CHUNK_ROWS rows. */
typedef struct clipengine_cuda_sweep clipengine_cuda_sweep;
typedef struct clipengine_cuda_features clipengine_cuda_features;

/* Copies the prompts to the devices [device_count], which must stay open until the sweep is destroyed. Errors as those of
 * clipengine_sweep_create. */
CLIPENGINE_API clipengine_status clipengine_cuda_sweep_create(clipengine_cuda_device* const* devices, int32_t device_count, const clipengine_sweep_plan* plan,
                                                              clipengine_cuda_sweep** sweep, int64_t* failed_prompt) CLIPENGINE_NOEXCEPT;
/* Null is allowed. No batch may be running. */
CLIPENGINE_API void clipengine_cuda_sweep_destroy(clipengine_cuda_sweep* sweep) CLIPENGINE_NOEXCEPT;

/* Scores a batch as clipengine_sweep_run does: rows are dealt to the devices in slices, the next one on its way (from memory or
 * the file, through pinned staging) while the last is computed. Totals are added only where all rows went well.
 * features: null, or rows that lie on the same devices already: then the batch's rows are [first_row, first_row + row_count) of
 * them, its rows, file, row_type and groups are not read, and both borders are multiples of 4096 rows or the end. */
CLIPENGINE_API clipengine_status clipengine_cuda_sweep_run(clipengine_cuda_sweep* sweep, clipengine_sweep_batch* batch, const clipengine_cuda_features* features,
                                                           int64_t first_row) CLIPENGINE_NOEXCEPT;

/* Copies rows (rows->rows or the file, row_count, row_type) and their groups (rows->groups, below group_count; 0: no groups)
 * to the devices, each of which gets an equal run of them. CLIPENGINE_OUT_OF_MEMORY where they do not fit. */
CLIPENGINE_API clipengine_status clipengine_cuda_features_create(clipengine_cuda_device* const* devices, int32_t device_count, const clipengine_sweep_batch* rows, int64_t width,
                                                                 int64_t group_count, clipengine_cuda_features** features) CLIPENGINE_NOEXCEPT;
/* Null is allowed. Before the devices are closed. */
CLIPENGINE_API void clipengine_cuda_features_destroy(clipengine_cuda_features* features) CLIPENGINE_NOEXCEPT;

/* Waits until everything enqueued has run; reports what failed asynchronously. */
CLIPENGINE_API clipengine_status clipengine_cuda_device_synchronize(clipengine_cuda_device* device) CLIPENGINE_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
