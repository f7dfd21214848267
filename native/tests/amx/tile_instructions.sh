#!/usr/bin/env bash
# Tile instructions stand in the object of the AMX kernels and in no other of the library: tile_instructions.sh OBJECTS_FOLDER
# Everything else runs before it is known whether the processor has them.
set -eu
command -v objdump >/dev/null || { echo "SKIPPED: objdump is not installed"; exit 77; }
found=() objects=0
while IFS= read -r object; do
  objects=$((objects + 1))
  if objdump -d --no-show-raw-insn "$object" | grep -qE '^ +[0-9a-f]+:\s+(ldtilecfg|sttilecfg|tile(loadd|loaddt1|stored|release|zero)|tdp[a-z0-9]+)\b'; then found+=("$(basename "$object")"); fi
done < <(find "$1" -name '*.o')
if [ "$objects" -lt 20 ]; then echo "FAIL: only $objects objects in $1"; exit 1; fi
if ! find "$1" -name 'kernels_amx.cpp.o' | grep -q .; then echo "SKIPPED: this build has no AMX kernels"; exit 77; fi
if [ "${found[*]:-}" != kernels_amx.cpp.o ]; then echo "FAIL: tile instructions in: ${found[*]:-none}; expected in kernels_amx.cpp.o alone"; exit 1; fi
echo "tile instructions in kernels_amx.cpp.o alone, of $objects objects"
