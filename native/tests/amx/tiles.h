// One product of tiles by each of the ways that there are: in software with portable code and with AVX-512, and by the processor.
#pragma once

#include <cstdint>

namespace amx_test {

struct TileProduct {
  bool bytes;             // TDPBUSD, else TDPBF16PS
  int64_t rows;           // of left and sums, 1 to 16
  const uint32_t* left;   // [rows, 16]
  const uint32_t* right;  // [16, 16]
  uint32_t* sums;         // [rows, 16], added to
};

void multiply_portable(const TileProduct& call);
void multiply_avx512(const TileProduct& call);    // where the processor has AVX-512
void multiply_hardware(const TileProduct& call);  // where amx_support() says so

}  // namespace amx_test
