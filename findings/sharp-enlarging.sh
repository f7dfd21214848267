#!/usr/bin/env bash
# sharp's resize moves a picture when it enlarges it, up to half a pixel right and down, and blurs the direction whose size stays as it is.
#
# Package: npm's sharp 0.35.5 with its libvips 8.18.7; resize with fit 'fill' and any kernel but 'nearest'.
# Pillow, OpenCV and PyTorch lay the edges of the old picture on the edges of the new one: pixel i of n, of N before, looks at
# (i + 1/2) N / n - 1/2. sharp does so when it shrinks. When either direction grows it looks half an output pixel too far left and up in both:
# doubling gives the first pixel twice, and widening by one column makes every row the mean of itself and the row above.
#
# Seen on 2026-11-28 (kernel linear; cubic, mitchell, lanczos2 and lanczos3 are moved as far):
#   4 x 1 to 8 x 1: 0 100 200 250 -> 0 0 50 100 150 200 225 250, centred 0 25 75 125 175 213 238 250
#   4 x 4 to 5 x 4: rows of 0 100 200 250 -> rows of 0 50 150 225, though no row is added
#   60 x 60 to 67 x 60: looks 0.448 input pixels too far left, 0.500 too far up; to 45 x 60: 0.000 and 0.000
#
# A picture below 224 pixels on one side, brought to a model's input by sharp, is a shifted, blurred one: its mirror image does not give the mirror
# image (an augmentation or audit by flipping sees a difference that is sharp's), boxes and patches are off, and one pixel's width of size decides.
# Enlarge with another library, or by a whole factor by 'nearest', which stays centred, and shrink that.
#
# Needs: node 20 or newer, npm. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts sharp@0.35.5 >/dev/null 2>&1 ||
  { echo "sharp 0.35.5 cannot be installed here (npm's registry)" >&2; exit 2; }
cat >program.mjs <<'JS'
import sharp from 'sharp';

async function resized(width, height, grey, newWidth, newHeight, kernel) {
  const pixels = Buffer.alloc(3 * width * height);
  for (let i = 0; i < width * height; ++i) pixels.fill(grey(i % width, Math.floor(i / width)), 3 * i, 3 * i + 3);
  const data = await sharp(pixels, { raw: { width, height, channels: 3 } }).resize(newWidth, newHeight, { fit: 'fill', kernel }).raw().toBuffer();
  return (x, y) => data[3 * (y * newWidth + x)];
}

console.log(`sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}`);
const steps = [0, 100, 200, 250];
const doubled = await resized(4, 1, x => steps[x], 8, 1, 'linear');
const widened = await resized(4, 4, (_, y) => steps[y], 5, 4, 'linear');
const row = [0, 1, 2, 3, 4, 5, 6, 7].map(x => doubled(x, 0)).join(' '), column = [0, 1, 2, 3].map(y => widened(2, y)).join(' ');
console.log(`4 x 1 to 8 x 1: ${steps.join(' ')} -> ${row}`);
console.log(`4 x 4 to 5 x 4: rows of ${steps.join(' ')} -> rows of ${column}`);
let asDescribed = row === '0 0 50 100 150 200 225 250' && column === '0 50 150 225';

// Ramps of 4 grey levels a pixel: where a pixel of the result looks, over the middle of the picture.
const size = 60;
async function offsets(newWidth, kernel) {
  const across = await resized(size, size, x => 4 * x + 4, newWidth, size, kernel), down = await resized(size, size, (_, y) => 4 * y + 4, newWidth, size, kernel);
  let left = 0, up = 0, columns = 0, rows = 0;
  for (let x = Math.ceil(newWidth * 0.2); x < newWidth * 0.8; ++x, ++columns) left += ((x + 0.5) * size) / newWidth - 0.5 - (across(x, size / 2) / 4 - 1);
  for (let y = size * 0.2; y < size * 0.8; ++y, ++rows) up += y - (down(Math.floor(newWidth / 2), y) / 4 - 1);
  return [left / columns, up / rows];
}
for (const kernel of ['linear', 'cubic', 'mitchell', 'lanczos2', 'lanczos3']) {
  const [left, up] = await offsets(67, kernel), [shrunkLeft, shrunkUp] = await offsets(45, kernel);
  console.log(`${kernel}, 60 x 60 to 67 x 60: ${left.toFixed(3)} pixels too far left, ${up.toFixed(3)} up; to 45 x 60: ${shrunkLeft.toFixed(3)} and ${shrunkUp.toFixed(3)}`);
  asDescribed &&= Math.abs(left - 0.448) < 0.02 && Math.abs(up - 0.5) < 0.02 && Math.abs(shrunkLeft) < 0.02 && Math.abs(shrunkUp) < 0.02;
}
const nearest = await resized(4, 1, x => steps[x], 8, 1, 'nearest');
asDescribed &&= [0, 1, 2, 3, 4, 5, 6, 7].every(x => nearest(x, 0) === steps[x >> 1]);
console.log(asDescribed ? 'as described' : 'not as described above');
process.exit(asDescribed ? 0 : 1);
JS
node program.mjs
