#!/usr/bin/env bash
# npm's apache-arrow stores numbers just below 2, 8, 1/2, 1/8, 1/32 ... as half of it when it converts to Float16, and some tiny ones as -Infinity.
#
# Package: npm's apache-arrow 21.2.0, Arrow's own JavaScript library. A builder or vectorFromArray of type Float16 takes ordinary numbers.
# IEEE 754 has such a conversion give the nearest half. This one rounds the fraction to ten bits and joins it to the exponent by a bitwise or:
# where rounding carries into the exponent and its last bit is already 1, as below every second power of two, the carry is lost, so 1.9998
# becomes 1, not 2. Just below 2^-14, the smallest normal half, the carry runs into the sign and the exponent, and below 2^-25 a shift goes wrong:
# 1e-8, whose nearest half is 0, becomes -Infinity. From 65536 on, where a half is infinite, what is left of exponent and fraction is stored,
# a number of ordinary size. Reading is right: all 65536 halves come back as they are.
#
# Seen on 2026-11-28, written, sent through Arrow's stream format and read again:
#   1.9998 -> 1   0.031247 -> 0.015625   0.000061012 -> -Infinity   1e-8 -> -Infinity   70000 -> 2.134765625   1000000 -> 3.814453125
#   10000 vectors of 768 normal numbers, scaled to length 1: 1263 hold a number that is off by half of it or more
#
# No error, no NaN, and most numbers are right, so a table of image or sentence embeddings written this way looks sound: one row in eight of it has
# a feature at half its value. Convert before (hyparquet-writer 0.17.0's FLOAT16, for one, takes all of the above correctly) and hand Float16 the
# bits as a Uint16Array (makeData), which are kept.
#
# Needs: node 20 or newer, npm. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts apache-arrow@21.2.0 >/dev/null 2>&1 ||
  { echo "apache-arrow 21.2.0 cannot be installed here (npm's registry)" >&2; exit 2; }
cat >program.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { Float16, Table, makeBuilder, makeData, tableFromIPC, tableToIPC, vectorFromArray, Vector } from 'apache-arrow';

const valueOf = bits => // of a half that is finite and not negative
  bits < 0x400 ? bits * 2 ** -24 : (1 + (bits & 0x3ff) / 1024) * 2 ** ((bits >> 10) - 15);

function nearestHalf(number) { // halves ascend with their bits; of two equally near ones the even bits
  const size = Math.abs(number);
  if (size >= 65520) return Math.sign(number) * Infinity;
  let low = 0, high = 0x7c00; // 0x7c00 would be 65536 by the formula, which is what rounding has to compare with
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (valueOf(middle) <= size) low = middle; else high = middle;
  }
  const below = size - valueOf(low), above = valueOf(high) - size;
  return Math.sign(number) * valueOf(below < above || (below === above && low % 2 === 0) ? low : high);
}

function throughArrow(numbers) {
  const builder = makeBuilder({ type: new Float16() });
  for (const number of numbers) builder.append(number);
  return builder.finish().toVector();
}

console.log('apache-arrow ' + JSON.parse(readFileSync('node_modules/apache-arrow/package.json')).version);

let wronglyRead = 0;
const all = new Vector([makeData({ type: new Float16(), data: Uint16Array.from({ length: 65536 }, (_, bits) => bits) })]);
for (let bits = 0; bits < 65536; ++bits) {
  const size = (bits & 0x7fff) < 0x7c00 ? valueOf(bits & 0x7fff) : (bits & 0x3ff) === 0 ? Infinity : NaN;
  if (!Object.is(all.get(bits), bits < 0x8000 || Number.isNaN(size) ? size : -size)) ++wronglyRead;
}
console.log(`read wrongly: ${wronglyRead} of 65536 halves`);

const numbers = [1.9998, 0.031247, 0.000061012, 1e-8, 70000, 1000000];
const read = tableFromIPC(tableToIPC(new Table({ feature: vectorFromArray(numbers, new Float16()) }))).getChild('feature');
numbers.forEach((number, index) => console.log(`${number} -> ${read.get(index)}, nearest half ${nearestHalf(number)}`));

let state = 1;
function uniform() { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return (state + 0.5) / 2 ** 32; }
function normal() { return Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()); }
let rows = 0;
for (let row = 0; row < 10000; ++row) {
  const vector = Array.from({ length: 768 }, normal), length = Math.hypot(...vector);
  const stored = throughArrow(vector.map(value => value / length));
  if (vector.some((value, index) => Math.abs(stored.get(index) - nearestHalf(value / length)) >= 0.49 * Math.abs(value / length))) ++rows;
}
console.log(`vectors with a number off by half of it or more: ${rows} of 10000`);
JS
found=$(node program.mjs)
echo "$found"
[[ $found == *"read wrongly: 0 of"*"1.9998 -> 1, nearest half 2"*"0.031247 -> 0.015625, nearest half 0.03125"*"0.000061012 -> -Infinity, "*"1e-8 -> -Infinity, nearest half 0"*"70000 -> 2.134765625, nearest half Infinity"*"1000000 -> 3.814453125, "*"off by half of it or more: "[1-9]* ]] &&
  { echo "as described"; exit 0; }
echo "not as described above"
exit 1
