# Writes the kernels' text into a C++ file: cmake -D SOURCE_FOLDER=... -D NAMES=a,b -D OUTPUT=... -P embed_kernels.cmake
string(REPLACE "," ";" names "${NAMES}")
set(entries "")
foreach(name IN LISTS names)
  file(READ "${SOURCE_FOLDER}/${name}" text)
  # A string literal may be at most 64 KiB on some compilers: cut into pieces, which the compiler joins again.
  string(LENGTH "${text}" length)
  set(pieces "")
  set(at 0)
  while(at LESS length)
    string(SUBSTRING "${text}" ${at} 12000 piece)
    string(APPEND pieces "R\"clipengine(${piece})clipengine\"\n")
    math(EXPR at "${at} + 12000")
  endwhile()
  string(APPEND entries "    {\"${name}\",\n${pieces}},\n")
endforeach()
file(WRITE "${OUTPUT}.partial" "// Written by embed_kernels.cmake from native/src/cuda/kernels.
#include \"cuda/kernel_sources.h\"

#include <cstdint>
#include <cstdio>

namespace clipengine::cuda {

const std::vector<KernelSource>& kernel_sources() {
  static const std::vector<KernelSource> all = {
${entries}  };
  return all;
}

std::string kernel_sources_hash() {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const KernelSource& source : kernel_sources()) {
    for (const char* text : {source.name, source.text}) {
      for (const char* c = text; ; ++c) {
        hash = (hash ^ static_cast<unsigned char>(*c)) * 0x100000001B3ull;
        if (*c == 0) break;
      }
    }
  }
  char digits[17];
  std::snprintf(digits, sizeof digits, \"%016llx\", static_cast<unsigned long long>(hash));
  return digits;
}

}  // namespace clipengine::cuda
")
file(RENAME "${OUTPUT}.partial" "${OUTPUT}")
