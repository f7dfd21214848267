// Status codes and the guard that keeps exceptions inside the library.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "clipengine.h"

namespace clipengine {

// An error that knows its status code. Anything else that is thrown becomes CLIPENGINE_INTERNAL.
class Error : public std::runtime_error {
 public:
  Error(clipengine_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  clipengine_status status() const noexcept { return status_; }

 private:
  clipengine_status status_;
};

// Keeps the text for clipengine_error_message on this thread and returns the status.
clipengine_status fail(clipengine_status status, const char* message) noexcept;

// Copies this thread's last text into buffer [capacity], cut and NUL-terminated; returns its whole length.
int64_t copy_last_message(char* buffer, int64_t capacity) noexcept;

// Runs body and turns whatever it throws into a status.
template <typename Body>
clipengine_status guard(Body&& body) noexcept {
  try {
    body();
    return CLIPENGINE_OK;
  } catch (const Error& error) {
    return fail(error.status(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(CLIPENGINE_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return fail(CLIPENGINE_INTERNAL, error.what());
  } catch (...) {
    return fail(CLIPENGINE_INTERNAL, "unknown error");
  }
}

}  // namespace clipengine
