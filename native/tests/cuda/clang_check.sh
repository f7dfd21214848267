#!/usr/bin/env bash
# clang_check.sh SOURCE_FOLDER: lowers every CUDA kernel to PTX with clang, which needs no CUDA: syntax, types, and that nothing
# calls a function that the device does not have. clang does not read inline PTX; whether that assembles only NVRTC can say.
# Exit code: 0 done, 1 a kernel is refused, 77 there is no clang (CTest takes that for skipped).
set -u
source=${1:?folder native/src}
clang=$(command -v clang || ls /usr/bin/clang-[0-9]* 2>/dev/null | sort -V | tail -n 1)
[ -n "$clang" ] || { echo "SKIPPED: there is no clang here (Debian's package clang, 14 or later)"; exit 77; }
"$clang" --print-targets 2>/dev/null | grep -q nvptx64 || { echo "SKIPPED: $clang was built without NVPTX"; exit 77; }
failures=0
for kernel in "$source"/cuda/kernels/*.cu; do
  # Constants that only the host needs are unused here.
  if "$clang" -x cuda --cuda-device-only --cuda-gpu-arch=sm_80 -nocudainc -nocudalib -Xclang -target-feature -Xclang +ptx75 -std=c++17 \
    -Wall -Wextra -Werror -Wno-unused-const-variable -O1 -S -o /dev/null -I "$source" "$kernel"; then
    echo "ok   $(basename "$kernel")"
  else
    echo "FAIL $(basename "$kernel")"
    failures=$((failures + 1))
  fi
done
"$clang" --version | head -n 1
[ "$failures" -eq 0 ]
