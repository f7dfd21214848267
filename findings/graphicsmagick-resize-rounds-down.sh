#!/usr/bin/env bash
# GraphicsMagick rounds down when it makes bytes: every resized, blurred or scaled picture is half a grey level darker than it should be.
#
# Package: Debian 12's graphicsmagick 1.4+really1.3.40-4+deb12u1 (GraphicsMagick 1.3.40, 16 bits inside), gm convert.
# Pixels of 8 bits become 16 bits, are averaged and become 8 bits again. ImageMagick, Pillow, OpenCV and libvips round to the nearest there. GraphicsMagick
# drops what is beyond the byte: a pixel of 254.75 is written as 254. Written with -depth 16, the same result has the right mean.
#
# Seen on 2026-11-28, 255 255 255 254 shrunk to one pixel: 254; noise of 256 x 256 with a mean of 127.33:
#   to 128 x 128, filter Box: mean 126.95     Triangle: 126.84     Box with -depth 16: 127.33     ten times to 255 x 255 and back: 117.37
#
# Data sets brought to 224 or 256 pixels by it are darker by 0.4 to 0.5 levels in every channel than the same ones by Pillow, one sign throughout,
# which averages over a set do not remove; each further step adds as much. Write 16 bits and round elsewhere, or resize with ImageMagick.
#
# Needs: Debian 12 on x86-64 with libjpeg, libpng, libtiff, libwebp and the like, apt-get, dpkg, python3. Exit code 0 while this is so, 1 when it
# has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
version=1.4+really1.3.40-4+deb12u1
apt-get -qq download graphicsmagick=$version libgraphicsmagick-q16-3=$version libwmflite-0.2-7 2>/dev/null ||
  { echo "graphicsmagick $version cannot be downloaded here (Debian 12's; run apt-get update first)" >&2; exit 2; }
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$work/root/usr/lib:$work/root/usr/lib/x86_64-linux-gnu
gm() { "$work/root/usr/bin/gm" "$@"; }
gm version >version.txt || { echo "a library that GraphicsMagick needs is missing here" >&2; exit 2; }
head -n 1 version.txt
python3 - <<'PY'
state, noise = 1, bytearray()
for _ in range(256 * 256):
    state = (state * 1664525 + 1013904223) % 2**32
    noise.append(state >> 24)
open("noise.pgm", "wb").write(b"P5\n256 256\n255\n" + noise)
open("four.pgm", "wb").write(b"P5\n4 1\n255\n" + bytes([255, 255, 255, 254]))
PY
gm convert four.pgm -filter Box -resize '1x1!' one.pgm
gm convert noise.pgm -filter Box -resize 128x128 box.pgm
gm convert noise.pgm -filter Triangle -resize 128x128 triangle.pgm
gm convert noise.pgm -filter Box -resize 128x128 -depth 16 deep.pgm
cp noise.pgm often.pgm
for _ in 1 2 3 4 5 6 7 8 9 10; do
  gm convert often.pgm -resize '255x255!' other.pgm
  gm convert other.pgm -resize '256x256!' often.pgm
done
python3 - <<'PY'
import sys

def mean(name):
    data = open(name, "rb").read()
    _, width, height, largest, _ = data.split(None, 4)
    count, largest = int(width) * int(height), int(largest)
    size = 2 if largest > 255 else 1
    pixels = data[-count * size:]
    return sum(int.from_bytes(pixels[i:i + size], "big") for i in range(0, len(pixels), size)) / count * 255 / largest

means = {name: mean(name + ".pgm") for name in ["four", "one", "noise", "box", "triangle", "deep", "often"]}
for name, value in means.items():
    print(f"{name}: mean {value:.2f}")
noise = means["noise"]
described = (means["four"] == 254.75 and means["one"] == 254 and 0.3 < noise - means["box"] < 0.45 and 0.4 < noise - means["triangle"] < 0.6
             and abs(noise - means["deep"]) < 0.02 and 7 < noise - means["often"] < 13)
print("as described" if described else "not as described above")
sys.exit(0 if described else 1)
PY
