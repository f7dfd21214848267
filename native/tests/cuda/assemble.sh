#!/usr/bin/env bash
# assemble.sh [--long] COMPILER FOLDER ARCHITECTURE...: every kernel to machine code by NVRTC, none with spilled registers.
# With --long only where CLIPENGINE_LONG is set. What the current kernels were assembled to before is not assembled again.
set -u
if [ "$1" = --long ]; then
  shift
  [ -n "${CLIPENGINE_LONG:-}" ] || { echo "SKIPPED: takes minutes an architecture; ./test.sh --long does it (${*:3})"; exit 77; }
fi
compiler=$1 folder=$2
shift 2
mkdir -p "$folder"
hash=$("$compiler" --hash) || exit 1
find "$folder" -type f ! -name "clipengine-$hash.*" -delete # of kernels that are no more
exec "$compiler" "$folder" "$@"
