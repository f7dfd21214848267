#!/usr/bin/env bash
# Transformers.js under node shrinks pictures without averaging: CLIPImageProcessor takes one column in four and drops the other three.
#
# Package: npm's @huggingface/transformers 4.3.2 with its sharp 0.35, under node. RawImage.resize takes Pillow's numbers for the methods
# (2 bilinear, 3 bicubic), and the image processors of CLIP, SigLIP and ViT call it with the checkpoint's. Pillow's filters grow with the
# scale, so that every pixel has its share in the result. Here bilinear and bicubic become sharp's affine transform, which interpolates between the
# nearest two or four pixels at any scale; only Lanczos (1) goes through sharp's resize, which averages.
#
# Seen on 2026-11-28, 896 x 896 to the processor's 224 x 224, resample 3, pixel values from 0 to 1; beside them the widened kernel's, as Pillow has it:
#   every 4th column white, from the first on: all 1.00 (0.18 to 0.29)      from the third on: all 0.00 (0.25 to 0.28)
#   noise of deviation 0.290: deviation 0.289 (0.059)
#
# Features of photographs, which are nearly always larger than 224 x 224, do not agree with those of the Python package of the same name and the same
# preprocessor_config.json, most where there is fine texture or text. Shrink with sharp's resize first (its kernels average when they shrink) and
# hand the processor an image of the final size.
#
# Needs: node 20 or newer, npm, 500 MB in the temporary folder; no model. Exit code 0 while this is so, 1 when it has changed, 2 when the
# package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @huggingface/transformers@4.3.2 >/dev/null 2>&1 ||
  { echo "@huggingface/transformers 4.3.2 cannot be installed here (npm's registry)" >&2; exit 2; }
cat >program.mjs <<'JS'
import { CLIPImageProcessor, RawImage, env } from '@huggingface/transformers';

const from = 896, to = 224;
const processor = new CLIPImageProcessor({
  do_resize: true, size: { shortest_edge: to }, resample: 3, do_center_crop: true, crop_size: { height: to, width: to },
  do_rescale: true, rescale_factor: 1 / 255, do_normalize: false, do_convert_rgb: true,
});

async function processed(grey) {
  const pixels = new Uint8ClampedArray(3 * from * from);
  for (let i = 0; i < from * from; ++i) pixels.fill(grey[i], 3 * i, 3 * i + 3);
  const { pixel_values } = await processor(new RawImage(pixels, from, from, 3));
  return pixel_values.data.slice(0, to * to);
}

function cubic(x) { // Keys' kernel with a = -1/2, Pillow's
  x = Math.abs(x);
  return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

// One direction at a time, the kernel as wide as the scale asks for, weights with a sum of 1 at the edges too.
function shrunkRows(values, rows) {
  const scale = from / to, result = new Float64Array(rows * to);
  for (let column = 0; column < to; ++column) {
    const centre = (column + 0.5) * scale, first = Math.max(0, Math.ceil(centre - 2 * scale - 0.5)), last = Math.min(from - 1, Math.floor(centre + 2 * scale - 0.5));
    const weights = [];
    for (let x = first; x <= last; ++x) weights.push(cubic((x + 0.5 - centre) / scale));
    const total = weights.reduce((a, b) => a + b);
    for (let row = 0; row < rows; ++row)
      result[row * to + column] = weights.reduce((sum, weight, i) => sum + weight * values[row * from + first + i], 0) / total;
  }
  return result;
}

function transposed(values, rows, columns) {
  return Float64Array.from({ length: values.length }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}

function averaged(grey) { return shrunkRows(transposed(shrunkRows(grey, from), from, to), to).map(value => value / 255); }

function span(values) { return [Math.min(...values), Math.max(...values)]; }
function spelt([low, high]) { return low.toFixed(2) + ' to ' + high.toFixed(2); }
function deviation(values) {
  const mean = values.reduce((a, b) => a + b) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}

console.log(`@huggingface/transformers ${env.version}`);
const spans = [];
for (const start of [0, 2]) {
  const grey = Uint8Array.from({ length: from * from }, (_, i) => i % from % 4 === start ? 255 : 0);
  const ours = span(await processed(grey)), right = span(averaged(grey));
  spans.push([ours, right]);
  console.log(`every 4th column white, from column ${start} on: ${spelt(ours)}; averaged ${spelt(right)}`);
}
let state = 1;
const noise = Uint8Array.from({ length: from * from }, () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state >>> 24; });
const kept = deviation(await processed(noise)), right = deviation(averaged(noise));
console.log(`noise of deviation ${(deviation(Array.from(noise)) / 255).toFixed(3)}: deviation ${kept.toFixed(3)}; averaged ${right.toFixed(3)}`);
const asDescribed = spans[0][0][0] > 0.99 && spans[1][0][1] < 0.01 && spans.every(([, [low, high]]) => low > 0.1 && high < 0.4) && kept > 0.25 && right < 0.1;
console.log(asDescribed ? 'as described' : 'not as described above');
process.exit(asDescribed ? 0 : 1);
JS
node program.mjs
