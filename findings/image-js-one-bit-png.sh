#!/usr/bin/env bash
# image-js reads other pixels than are there from PNG files of one bit: a checkerboard comes out all black, of a white row of 12 the last four black.
#
# Package: npm's image-js 1.7.0, decode (and read, which calls it), of greyscale PNG files with 1 bit per pixel, the usual form of masks.
# pngjs, Skia, ImageSharp, OpenCV and Pillow agree on such a file: eight pixels in a byte, the highest bit first. The result here has the right
# size, 8 bits and only 0 and 255, but not that picture; with 8 bits per pixel the same picture is read right.
#
# Seen on 2026-11-28, W white, b black:
#   WbWbWbWb -> bbbbbbbb      WWWWbbbb bbbbWWWW -> bbbbWWWW bbbbWWWW      WWWWWWWW WWWW -> WWWWWWWW bbbb
#
# Masks of segmentation and scanned pages are stored so: areas, overlaps and crops computed from them are wrong without an error. Read such files with pngjs.
#
# Needs: node 20.15 or newer, npm. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts image-js@1.7.0 pngjs@7.0.0 >/dev/null 2>&1 ||
  { echo "image-js 1.7.0 cannot be installed here (npm's registry)" >&2; exit 2; }
cat >program.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { crc32, deflateSync } from 'node:zlib';
import { decode } from 'image-js';
import pngjs from 'pngjs';

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name), data]), length = Buffer.alloc(4), check = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

function png(picture, depth) { // greyscale, two equal rows
  const header = Buffer.alloc(13), row = Buffer.alloc(1 + Math.ceil((picture.length * depth) / 8));
  header.writeUInt32BE(picture.length);
  header.writeUInt32BE(2, 4);
  header[8] = depth;
  [...picture].forEach((pixel, x) => { if (pixel === 'W') row[1 + Math.floor((x * depth) / 8)] |= depth === 8 ? 255 : 128 >> (x % 8); });
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), chunk('IHDR', header), chunk('IDAT', deflateSync(Buffer.concat([row, row]))), chunk('IEND', Buffer.alloc(0))]);
}

const spelt = (picture, value) => [...picture].map((_, x) => ({ 0: 'b', 255: 'W' })[value(x)] ?? '?').join('');
console.log('image-js ' + JSON.parse(readFileSync('node_modules/image-js/package.json')).version);
let asDescribed = true;
for (const [picture, seen] of [['WbWbWbWb', 'bbbbbbbb'], ['WWWWbbbbbbbbWWWW', 'bbbbWWWWbbbbWWWW'], ['WWWWWWWWWWWW', 'WWWWWWWWbbbb']]) {
  const oneBit = decode(png(picture, 1)), eightBits = decode(png(picture, 8)), other = pngjs.PNG.sync.read(png(picture, 1));
  const read = spelt(picture, x => oneBit.getValue(x, 0, 0)), right = spelt(picture, x => other.data[4 * x]), wide = spelt(picture, x => eightBits.getValue(x, 0, 0));
  console.log(`${picture} -> ${read}; of 8 bits ${wide}; pngjs ${right}`);
  asDescribed &&= read === seen && right === picture && wide === picture;
}
console.log(asDescribed ? 'as described' : 'not as described above');
process.exit(asDescribed ? 0 : 1);
JS
node program.mjs
