#!/usr/bin/env bash
# mingw-w64's round and roundf turn the number just below a half into 1.
#
# Package: Debian 12's mingw-w64-x86-64-dev 10.0.0-3, its libmingwex.a; lroundf and lround go the same way.
# C (7.12.9.6) has round give the nearest integer, halves away from zero; 0.49999997, the float just below a half, is nearest to 0. The library
# takes the integer above, 1, and steps down if that is more than a half away: the difference, 0.50000003, is not a float and becomes a half.
# glibc is right, as is rintf here. The code calls nothing, so it is taken out of the library and called here as it is, by Windows' calling convention.
#
# Seen on 2026-11-28:
#   roundf(0x1.fffffep-2) = 1, glibc 0     round(0x1.fffffffffffffp-2) = 1, glibc 0     roundf(-0x1.fffffep-2) = -1, glibc -0
#   roundf of all floats from 1/8 to 16777216 and their negatives: those 2 wrong
#
# Bytes of pixels and of quantised weights are made by this function: on Windows a byte can differ from Linux's where both were computed from equal floats, and a
# comparison of files byte by byte finds it. rintf (halves to even) has no such case.
#
# Needs: Debian 12 on x86-64, apt-get, dpkg, gcc. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
apt-get -qq download mingw-w64-x86-64-dev=10.0.0-3 2>/dev/null ||
  { echo "mingw-w64-x86-64-dev 10.0.0-3 cannot be downloaded here (Debian 12's; run apt-get update first)" >&2; exit 2; }
dpkg -x mingw-w64-x86-64-dev_*.deb root
for name in round roundf; do
  ar x root/usr/x86_64-w64-mingw32/lib/libmingwex.a lib64_libmingwex_a-$name.o
  objcopy -I pe-x86-64 -O pe-x86-64 --strip-debug -R .pdata -R .xdata --redefine-sym $name=mingw_$name lib64_libmingwex_a-$name.o mingw_$name.o
done
cat >program.c <<'C'
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

float __attribute__((ms_abi)) mingw_roundf(float x);
double __attribute__((ms_abi)) mingw_round(double x);

int main(void) {
  volatile float below = 0x1.fffffep-2f, minus = -0x1.fffffep-2f; /* computed when the program runs, not by the compiler */
  volatile double below_of_doubles = 0x1.fffffffffffffp-2;
  printf("roundf(0x1.fffffep-2) = %g, glibc %g\n", mingw_roundf(below), roundf(below));
  printf("round(0x1.fffffffffffffp-2) = %g, glibc %g\n", mingw_round(below_of_doubles), round(below_of_doubles));
  printf("roundf(-0x1.fffffep-2) = %g, glibc %g\n", mingw_roundf(minus), roundf(minus));
  int wrong = 0;
  for (uint32_t bits = 0x3e000000; bits <= 0x4b800000; ++bits) {
    float positive;
    memcpy(&positive, &bits, 4);
    for (int sign = 0; sign < 2; ++sign) {
      const float x = sign ? -positive : positive;
      wrong += mingw_roundf(x) != roundf(x);
    }
  }
  printf("of all floats from 1/8 to 16777216 and their negatives %d wrong\n", wrong);
  return 0;
}
C
gcc -O1 -fno-builtin program.c mingw_round.o mingw_roundf.o -o program -lm -z noexecstack
found=$(./program)
echo "$found"
[[ $found == *"(0x1.fffffep-2) = 1, glibc 0"*"(0x1.fffffffffffffp-2) = 1, glibc 0"*"(-0x1.fffffep-2) = -1, glibc -0"*"negatives 2 wrong" ]] && { echo "as described"; exit 0; }
echo "not as described above"
exit 1
