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
