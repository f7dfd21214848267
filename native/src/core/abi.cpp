#include "clipengine.h"
#include "core/status.h"

extern "C" int32_t clipengine_abi_version(void) noexcept { return CLIPENGINE_ABI_VERSION; }

extern "C" int64_t clipengine_error_message(char* buffer, int64_t capacity) noexcept { return clipengine::copy_last_message(buffer, capacity); }
