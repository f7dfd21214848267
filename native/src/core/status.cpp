#include "core/status.h"

#include <algorithm>
#include <cstring>

namespace clipengine {
namespace {

// A fixed buffer: keeping an error's text must work even when memory has run out.
constexpr int64_t kMessageCapacity = 1024;
thread_local char last_message[kMessageCapacity] = {0};

}  // namespace

clipengine_status fail(clipengine_status status, const char* message) noexcept {
  std::strncpy(last_message, message, kMessageCapacity - 1);
  last_message[kMessageCapacity - 1] = '\0';
  return status;
}

}  // namespace clipengine

extern "C" int32_t clipengine_abi_version(void) noexcept { return CLIPENGINE_ABI_VERSION; }

extern "C" int64_t clipengine_error_message(char* buffer, int64_t capacity) noexcept {
  const int64_t length = static_cast<int64_t>(std::strlen(clipengine::last_message));
  if (buffer != nullptr && capacity > 0) {
    const int64_t copied = std::min(length, capacity - 1);
    std::memcpy(buffer, clipengine::last_message, static_cast<size_t>(copied));
    buffer[copied] = '\0';
  }
  return length;
}
