// The shapes of the products' tiles, for the kernels and for who launches them.
#pragma once

constexpr int kProductThreads = 256;
constexpr int kTileRows = 128, kTileColumns = 128, kTileDepth = 32, kStages = 3;
// Rows of a tile lie 40 elements (80 bytes) apart: eight consecutive rows then start in eight different groups of four
// banks, so that ldmatrix meets no conflict, and every row stays 16-byte aligned.
constexpr int kTilePitch = kTileDepth + 8;
// Sums lie in rows 136 apart: what a warp's fragments write together then meets no bank twice.
constexpr int kSumPitch = kTileColumns + 8;
constexpr int kProductSharedBytes = kStages * (kTileRows + kTileColumns) * kTilePitch * 2;
static_assert(kProductSharedBytes >= kTileRows / 2 * kSumPitch * 4, "half of a tile's sums fit into the stages");

constexpr int kPlainTile = 64, kPlainDepth = 16, kPlainPitch = kPlainTile + 4;

// On Hopper: two groups of four warps, 64 rows of 256 columns each; a row of a tile is 64 elements of 16 bits, the 128 bytes that
// wgmma's swizzle mixes. Stages begin at multiples of 1024 bytes, which the kernel finds itself.
constexpr int kWideRows = 128, kWideColumns = 256, kWideDepth = 64, kWideStages = 4;
constexpr int kWideStageBytes = (kWideRows + kWideColumns) * kWideDepth * 2;
constexpr int kWideSumPitch = kWideColumns + 8;
constexpr int kWideSharedBytes = kWideStages * kWideStageBytes + 1024;
static_assert(kWideStages * kWideStageBytes >= kWideRows * kWideSumPitch * 4, "a tile's sums fit into the stages");
