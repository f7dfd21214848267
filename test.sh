#!/usr/bin/env bash
# ./test.sh [--long] [--sanitize] [FILTER]: builds what has changed and runs all tests.
#   --long      also the long runs (sets CLIPENGINE_LONG=1 for the tests)
#   --sanitize  also the native tests, and .NET's tests of disposing under load, under AddressSanitizer and UBSan, in a build folder of their own
#   FILTER      only tests whose full name contains it
# The last line is 'N passed, N failed, N skipped' over everything that ran; skipped tests stand above it with their reasons.
# Exit code 0: nothing failed; 1: something failed or nothing ran; 2: wrong usage or a missing package.
set -u
root=$(dirname "$(readlink -f "$0")")
me=test.sh
. "$root/tools/build.sh"
. "$root/tools/count-tests.sh"

filter='' sanitize=
for argument; do
  case "$argument" in
    --long) export CLIPENGINE_LONG=1 ;;
    --sanitize) sanitize=1 ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) say "unknown option '$argument'; known are --long, --sanitize and a part of a test's name"; exit 2 ;;
    *) [ -z "$filter" ] || { say "one FILTER only; found '$filter' and '$argument'"; exit 2; }
       filter=$argument ;;
  esac
done
case "$filter" in *[!A-Za-z0-9_.-]*) say "FILTER is a part of a test's name: letters, digits, '.', '_' and '-'"; exit 2 ;; esac

sources=(src native tests benchmarks samples ClipEngine.sln)
"$root/tools/setup.sh" --for-build || exit 2
lock_build
# The native library for other systems comes first: packages hold it where it is. What is missing for it is a reason to skip its tests.
# Not for one FILTER: that is to be quick.
declare -A no_cross=()
build_cross() { # build_cross RUNTIME: sets no_cross[RUNTIME] where it cannot be built here
  local runtime=$1 decoders stamp
  no_cross[$runtime]=$("$root/tools/cross.sh" --why-not "$runtime")
  if [ -n "${no_cross[$runtime]}" ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing cross compilers ..."
    "$root/tools/cross.sh" --setup >"$root/artifacts/cross-setup.log" 2>&1 9>&-
    no_cross[$runtime]=$("$root/tools/cross.sh" --why-not "$runtime")
  fi
  [ -z "${no_cross[$runtime]}" ] || return 0
  if ! decoders=$("$root/tools/build-decoders.sh" "$runtime" 2>&1 9>&-); then
    no_cross[$runtime]=$(tail -n 1 <<<"$decoders")
    return 0
  fi
  stamp=$(fingerprint native)
  ! is_fingerprint "$stamp" "$root/artifacts/$runtime.built" || return 0
  echo "building the native library and its tests for $runtime ..."
  logged "$runtime" bash "$root/tools/build-native.sh" "$root/artifacts/native/$runtime" Release native-tests "$runtime" || return 1
  echo "$stamp" >"$root/artifacts/$runtime.built"
}
if [ -z "$filter" ]; then
  build_cross linux-arm64 && build_cross win-x64 || exit 1
fi
found_cli=$(fingerprint src native) found_tests=$(fingerprint "${sources[@]}")
if ! up_to_date tests "$found_tests"; then
  echo "building (the first time takes a few minutes) ..."
  dotnet_build tests ClipEngine.sln || exit 1
  echo "building the native tests ..."
  logged native-tests bash "$root/tools/build-native.sh" "$root/artifacts/native/Release" Release native-tests || exit 1
  echo "$found_cli" >"$root/artifacts/cli.built"
  echo "$found_tests" >"$root/artifacts/tests.built"
fi
if [ -n "$sanitize" ]; then
  echo "building the native tests with sanitizers ..."
  logged sanitize bash "$root/tools/build-native.sh" "$root/artifacts/native/Sanitize" Sanitize native-tests || exit 1
fi
unlock_build

results="$root/artifacts/test-results"
rm -rf "$results"
mkdir -p "$results"

run_ctest() { # run_ctest NAME BUILD_DIR OPTION...
  echo "== $1"
  timeout 50m ctest --test-dir "$2" "${@:3}" --output-on-failure --no-tests=ignore --timeout 900 \
    --output-junit "$results/$1.xml" ${filter:+-R "$filter"} >"$results/$1.log" 2>&1
  count_ctest "$1" "$results/$1.xml" "$results/$1.log" $?
}

run_ctest native "$root/artifacts/native/Release"
if [ -n "$sanitize" ]; then
  ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 run_ctest native-sanitized "$root/artifacts/native/Sanitize"
  name=ClipEngine.Tests.sanitized
  echo "== $name"
  RESULTS=$results timeout 50m "$root/tools/test-sanitized.sh" ${filter:+"$filter"} >"$results/$name.log" 2>&1
  count_trx "$name" "$results/$name.trx" "$results/$name.log" $?
fi

# The same tests for other systems: in qemu for three Arm64 processors, and in wine. At once only what takes little time there.
test_arm64() {
  local folder="$root/artifacts/native/linux-arm64" short=() shortest=()
  [ -z "${no_cross[linux-arm64]}" ] || { skip_runner native-linux-arm64 "${no_cross[linux-arm64]}"; return; }
  [ -n "${CLIPENGINE_LONG:-}" ] || { short=(-E '^image_tests$'); shortest=(-E '^(image|sweep.*|cpu_.*)_tests$'); }
  # max has everything that qemu knows, and every set of kernels runs in it. The others show that sets are chosen by what a processor has.
  QEMU_CPU=max run_ctest native-linux-arm64-max "$folder" -j 2 "${short[@]}"
  QEMU_CPU=neoverse-n1 run_ctest native-linux-arm64-neoverse-n1 "$folder" -j 2 "${shortest[@]}"
  QEMU_CPU=cortex-a72 run_ctest native-linux-arm64-cortex-a72 "$folder" -j 2 "${shortest[@]}"
}
test_windows() {
  [ -z "${no_cross[win-x64]}" ] || { skip_runner native-win-x64 "${no_cross[win-x64]}"; return; }
  export WINEPREFIX="$root/artifacts/wine" WINEDEBUG=-all
  # At its first start it fills a folder, which no two may do at once.
  PATH="$PATH:/usr/lib/wine" WINEDLLOVERRIDES="mscoree,mshtml=" timeout 120 wine64 wineboot --init >"$results/wine.log" 2>&1
  run_ctest native-win-x64 "$root/artifacts/native/win-x64" -j 2
}
if [ -z "$filter" ]; then
  test_arm64
  test_windows
fi

# TorchSharp's library needs a newer libstdc++ than Debian 12 has: there its tests run in a Debian 13 root, which only root can enter.
in_debian13=("$root/tools/in-debian13.sh" --packages libgomp1,libjpeg62-turbo,libpng16-16t64,libwebp7,libwebpdemux2)
why_no_torchsharp() { # sets torch_prefix; prints why its tests cannot run here, nothing where they can
  torch_prefix=()
  [ "$(uname -m)" = x86_64 ] || { echo "TorchSharp's packages for Linux are for x64"; return; }
  has_torchsharp_libraries && return
  if [ "$(id -u)" -eq 0 ] && ! command -v debootstrap >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; then
    { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap; } >"$results/debootstrap.log" 2>&1
  fi
  torch_prefix=("${in_debian13[@]}")
  "${in_debian13[@]}" true >>"$results/debootstrap.log" 2>&1 ||
    echo "libstdc++ lacks GLIBCXX_3.4.32 (Debian 13 and Ubuntu 24.04 have it), and $(tail -n 1 "$results/debootstrap.log")"
}

# The tests of cluster jobs start a Slurm of their own, where Debian's packages are there. Installing those starts no daemon.
install_slurm() {
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 && ! command -v slurmctld >/dev/null 2>&1 || return 0
  local policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] && policy='' || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; }
  { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slurm-wlm munge; } >"$results/slurm.log" 2>&1
  [ -z "$policy" ] || rm -f "$policy"
}
case "$filter" in '' | *Cluster* | *Slurm*) install_slurm ;; esac

# One project after the other; each runs its test classes on as many cores as there are.
for project in "$root"/tests/*/*.csproj; do
  grep -q '<IsTestProject>true' "$project" || continue
  name=$(basename "$project" .csproj)
  prefix=()
  echo "== $name"
  if [ "$name" = ClipEngine.TorchSharp.Tests ]; then
    why_no_torchsharp >"$results/torchsharp.txt"
    if [ -s "$results/torchsharp.txt" ]; then
      skip_runner "$name" "$(cat "$results/torchsharp.txt")"
      continue
    fi
    prefix=("${torch_prefix[@]}")
  fi
  timeout 50m "${prefix[@]}" dotnet test "$(dirname "$project")/bin/Release/net10.0/$name.dll" --results-directory "$results" \
    --logger "trx;LogFileName=$name.trx" ${filter:+--filter "FullyQualifiedName~$filter"} >"$results/$name.log" 2>&1
  count_trx "$name" "$results/$name.trx" "$results/$name.log" $?
done

print_total
