// Included inside an anonymous namespace, behind the tiles.
static void multiply_once(const amx_test::TileProduct& call) {
  configure_tiles(call.rows);
  load_tile<0>(call.sums, 64);
  load_tile<4>(call.left, 64);
  load_tile<6>(call.right, 64);
  if (call.bytes) {
    multiply_tiles<true, 0, 4, 6>();
  } else {
    multiply_tiles<false, 0, 4, 6>();
  }
  store_tile<0>(call.sums, 64);
  release_tiles();
}
