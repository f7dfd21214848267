/* The C ABI of the native library. Plain structs, opaque handles, status codes; no exception crosses it.
 *
 * Rules for every function here
 *   - It returns a clipengine_status; results go through out-pointers, which are written only on CLIPENGINE_OK.
 *   - On any other status the reason is kept per thread: read it with clipengine_error_message right away.
 *   - Every pointer argument's length is documented beside it. Memory handed in stays the caller's.
 *   - Names read clipengine_<noun>_<verb>.
 * Each operation family has a header of its own, included at the end. */
#ifndef CLIPENGINE_H
#define CLIPENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define CLIPENGINE_NOEXCEPT noexcept
extern "C" {
#else
#define CLIPENGINE_NOEXCEPT
#endif

#if defined(_WIN32)
#define CLIPENGINE_API __attribute__((dllexport))
#else
#define CLIPENGINE_API __attribute__((visibility("default")))
#endif

/* Raised whenever a signature or a struct changes; the managed side refuses another version. */
#define CLIPENGINE_ABI_VERSION 2

typedef int32_t clipengine_status;
enum {
  CLIPENGINE_OK = 0,
  CLIPENGINE_INVALID_ARGUMENT = 1, /* a bug of the caller: shapes, null pointers */
  CLIPENGINE_BAD_INPUT = 2,        /* the user's file or value is at fault */
  CLIPENGINE_OUT_OF_MEMORY = 3,
  CLIPENGINE_UNSUPPORTED = 4,
  CLIPENGINE_INTERNAL = 5
};

/* Returns CLIPENGINE_ABI_VERSION of the library that was loaded. */
CLIPENGINE_API int32_t clipengine_abi_version(void) CLIPENGINE_NOEXCEPT;

/* Returns sizeof of the struct of this name ("clipengine_..."), or -1 where this library has none: the managed side compares
 * every struct that crosses the border when it loads the library. name is NUL-terminated. */
CLIPENGINE_API int64_t clipengine_struct_size(const char* name) CLIPENGINE_NOEXCEPT;

/* Copies this thread's last error text (UTF-8, NUL-terminated, cut to capacity bytes) into buffer [capacity].
 * Returns the length of the whole text without its NUL; 0 where there was no error. */
CLIPENGINE_API int64_t clipengine_error_message(char* buffer, int64_t capacity) CLIPENGINE_NOEXCEPT;

/* The one thread pool of the process. Results never depend on its size.
 * threads < 1 means as many as clipengine_threads_available. Waits for work in progress. */
CLIPENGINE_API clipengine_status clipengine_threads_set(int32_t threads) CLIPENGINE_NOEXCEPT;
CLIPENGINE_API int32_t clipengine_threads_get(void) CLIPENGINE_NOEXCEPT;

/* Processors this process may use: affinity mask cut by the cgroup's CPU quota. At least 1. */
CLIPENGINE_API int32_t clipengine_threads_available(void) CLIPENGINE_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#include "clipengine_ceilings.h"
#include "clipengine_cpu.h"
#include "clipengine_image.h"
#include "clipengine_sweep.h"

#endif
