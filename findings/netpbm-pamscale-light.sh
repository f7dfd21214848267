#!/usr/bin/env bash
# netpbm's pamscale averages amounts of light when it is given no filter, and grey levels when it is: fine texture is twice as bright in one as in the other.
#
# Package: Debian 12's netpbm 2:11.01.00-2, pamscale (and pnmscale, which calls it).
# Without an option it gives each new pixel the mean of the area it covers, computed in linear light: the values are taken through BT.709's curve
# and back. With -filter the same program resamples the values as they are, as Pillow, OpenCV, libvips and ImageMagick do; -linear makes the first way
# do so too.
#
# Seen on 2026-11-28, 16 x 16 to 4 x 4, every fourth column white (255):
#   no option: 124 124 124 124     -linear: 64 64 64 64     -filter=box: 64 64 64 64     -filter=triangle: 73 64 64 46
#
# A better filter, chosen late, changes the brightness of the whole data set: text, hair, foliage and grids are brighter by the default. Models were
# trained on pictures resized without the curve: give -linear, or a filter.
#
# Needs: Debian 12 on x86-64, apt-get, dpkg, python3. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
apt-get -qq download netpbm=2:11.01.00-2 libnetpbm11=2:11.01.00-2 2>/dev/null ||
  { echo "netpbm 2:11.01.00-2 cannot be downloaded here (Debian 12's; run apt-get update first)" >&2; exit 2; }
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu
python3 -c 'import sys; sys.stdout.buffer.write(b"P5\n16 16\n255\n" + bytes([255, 0, 0, 0] * 64))' >comb.pgm
root/usr/bin/pamscale -version 2>&1 | sed -n 1p
found=
for option in '' -linear -filter=box -filter=triangle; do
  row=$(root/usr/bin/pamscale $option -xsize 4 -ysize 4 comb.pgm | tail -c 4 | od -An -tu1 | xargs)
  echo "${option:-no option}: $row"
  found+="$row;"
done
[[ $found == "124 124 124 124;64 64 64 64;64 64 64 64;73 64 64 46;" ]] && { echo "as described"; exit 0; }
echo "not as described above"
exit 1
