#!/usr/bin/env bash
# test-sanitized.sh [FILTER]: runs ClipEngine.Tests' tests of disposing under load (those whose name contains FILTER) with the native
# libraries built for AddressSanitizer and UBSan, so that a use of memory that was freed ends the run with a report.
# Called by ./test.sh --sanitize; by hand after a build. The results go to the folder in RESULTS, as ClipEngine.Tests.sanitized.trx.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
native=$root/artifacts/native/Sanitize
tests=$root/artifacts/sanitized-tests
"$root/tools/build-native.sh" "$native" Sanitize >/dev/null
"$root/tools/build-native.sh" "$native" Sanitize clipengine_cuda_emulated >/dev/null
rm -rf "$tests"
cp -r "$root/tests/ClipEngine.Tests/bin/Release/net10.0" "$tests"
cp "$native"/libclipengine*.so "$tests/"
# .NET has its own use for SIGSEGV (null references) and stacks of its own making; its heap is none of the sanitizer's.
export ASAN_OPTIONS=detect_leaks=0:handle_segv=0:use_sigaltstack=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
export CLIPENGINE_TEST_NATIVE=$native DOTNET_gcServer=0
LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" \
  dotnet vstest "$tests/ClipEngine.Tests.dll" --TestCaseFilter:"FullyQualifiedName~DisposeUnderLoad${1:+&FullyQualifiedName~$1}" \
  --ResultsDirectory:"${RESULTS:-$root/artifacts/test-results}" --logger:"trx;LogFileName=ClipEngine.Tests.sanitized.trx"
