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

int64_t copy_last_message(char* buffer, int64_t capacity) noexcept {
  const int64_t length = static_cast<int64_t>(std::strlen(last_message));
  if (buffer != nullptr && capacity > 0) {
    const int64_t copied = std::min(length, capacity - 1);
    std::memcpy(buffer, last_message, static_cast<size_t>(copied));
    buffer[copied] = '\0';
  }
  return length;
}

}  // namespace clipengine
