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

#define CLIPENGINE_CUDA_ABI_VERSION 1

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

/* Enqueues a launch. arguments [count]: each parameter in the low bytes of eight (little-endian), in the kernel's order. */
CLIPENGINE_API clipengine_status clipengine_cuda_kernel_launch(clipengine_cuda_device* device, int64_t kernel, uint32_t grid_x, uint32_t grid_y, uint32_t grid_z,
                                                               uint32_t block, uint32_t shared_bytes, const uint64_t* arguments, int32_t count) CLIPENGINE_NOEXCEPT;

/* Waits until everything enqueued has run; reports what failed asynchronously. */
CLIPENGINE_API clipengine_status clipengine_cuda_device_synchronize(clipengine_cuda_device* device) CLIPENGINE_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
