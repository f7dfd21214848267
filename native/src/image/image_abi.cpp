// What loading compares, and the text of the last error: the image library has its own.
#include <cstring>

#include "clipengine_image.h"
#include "core/status.h"

extern "C" int32_t clipengine_image_abi_version(void) noexcept { return CLIPENGINE_ABI_VERSION; }

extern "C" int64_t clipengine_image_error_message(char* buffer, int64_t capacity) noexcept { return clipengine::copy_last_message(buffer, capacity); }

extern "C" int64_t clipengine_image_struct_size(const char* name) noexcept {
  if (name == nullptr) return -1;
  if (std::strcmp(name, "clipengine_image_info") == 0) return static_cast<int64_t>(sizeof(clipengine_image_info));
  if (std::strcmp(name, "clipengine_image_transform") == 0) return static_cast<int64_t>(sizeof(clipengine_image_transform));
  return -1;
}
