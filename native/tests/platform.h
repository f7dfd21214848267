// What tests need of the operating system.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace clipengine_test {

// Sets an environment variable, or removes it where value is null.
inline void set_variable(const char* name, const char* value) {
#if defined(_WIN32)
  _putenv_s(name, value == nullptr ? "" : value);
#else
  if (value == nullptr) {
    unsetenv(name);
  } else {
    setenv(name, value, 1);
  }
#endif
}

// A file without a name that is gone when it is closed.
class TemporaryFile {
 public:
  TemporaryFile() {
#if defined(_WIN32)
    char folder[MAX_PATH], path[MAX_PATH];
    GetTempPathA(MAX_PATH, folder);
    GetTempFileNameA(folder, "ce", 0, path);
    handle_ = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, nullptr, CREATE_ALWAYS, FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, nullptr);
    if (handle_ == INVALID_HANDLE_VALUE) throw std::runtime_error("no temporary file");
#else
    file_ = memfd_create("test", 0);
    if (file_ < 0) throw std::runtime_error("no temporary file");
#endif
  }
  ~TemporaryFile() {
#if defined(_WIN32)
    CloseHandle(handle_);
#else
    close(file_);
#endif
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  // As clipengine_sweep_batch takes it.
  int32_t descriptor() const {
#if defined(_WIN32)
    return static_cast<int32_t>(reinterpret_cast<intptr_t>(handle_));
#else
    return file_;
#endif
  }
  void write(const void* data, int64_t bytes, int64_t offset) {
#if defined(_WIN32)
    OVERLAPPED place = {};
    place.Offset = static_cast<DWORD>(offset);
    DWORD written = 0;
    if (!WriteFile(handle_, data, static_cast<DWORD>(bytes), &written, &place) || written != bytes) throw std::runtime_error("not written");
#else
    if (pwrite(file_, data, static_cast<size_t>(bytes), offset) != bytes) throw std::runtime_error("not written");
#endif
  }
  void truncate(int64_t bytes) {
#if defined(_WIN32)
    LARGE_INTEGER place;
    place.QuadPart = bytes;
    if (!SetFilePointerEx(handle_, place, nullptr, FILE_BEGIN) || !SetEndOfFile(handle_)) throw std::runtime_error("not truncated");
#else
    if (ftruncate(file_, bytes) != 0) throw std::runtime_error("not truncated");
#endif
  }

 private:
#if defined(_WIN32)
  HANDLE handle_;
#else
  int file_;
#endif
};

}  // namespace clipengine_test
