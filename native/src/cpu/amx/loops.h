// Products of tile registers and nothing else, for measuring what the unit can do at best. Only where amx_support() says so.
#pragma once

#include <cstdint>

namespace clipengine::cpu {

// Each round is four products of full tiles; their operations are two to a multiply-add.
constexpr double kAmxPairsOperations = 4.0 * 16 * 16 * 32 * 2;
constexpr double kAmxBytesOperations = 4.0 * 16 * 16 * 64 * 2;
void amx_pairs_loop(int64_t rounds);
void amx_bytes_loop(int64_t rounds);

}  // namespace clipengine::cpu
