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
if ! up_to_date tests "${sources[@]}"; then
  echo "building (the first time takes a few minutes) ..."
  found_cli=$(fingerprint src native) found_tests=$(fingerprint "${sources[@]}")
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

run_ctest() { # run_ctest NAME BUILD_DIR
  echo "== $1"
  timeout 50m ctest --test-dir "$2" --output-on-failure --no-tests=ignore --timeout 900 \
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
