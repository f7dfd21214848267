#!/usr/bin/env bash
# ml-distance: the Jensen-Shannon divergence of two distributions is NaN as soon as both give a label the probability 0, and Kullback and Leibler's with one zero.
#
# Package: npm's ml-distance 5.0.0; distance.jensenShannon, jensenDifference, topsoe and kullbackLeibler of arrays.
# p log(p / q) is 0 at p = 0: SciPy (jensenshannon, entropy) and R's packages take it so, and Jensen and Shannon's divergence exists because it is finite
# for any two distributions. Here 0 times the logarithm of 0 is computed as it stands.
#
# Seen on 2026-11-28, right numbers in nats in brackets:
#   jensenShannon([0.5, 0.3, 0.2], [0.2, 0.3, 0.5]) = 0.0664 (0.0664)
#   jensenShannon([0.5, 0.5, 0], [0.5, 0, 0.5]) = NaN (0.3466)     jensenShannon([0.6, 0.4, 0], [0.4, 0.6, 0]) = NaN (0.0201)
#   kullbackLeibler([0.5, 0.5, 0], [0.5, 0.25, 0.25]) = NaN (0.3466)     jensenDifference and topsoe: NaN
#
# The shares of labels that a model gives to two groups have zeros nearly always: the comparison gives a number for common labels only, and a label list
# made longer by one that nobody gets turns a number into NaN. Leave labels out where the first share is 0, or add the terms by hand.
#
# Needs: node 20 or newer, npm. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts ml-distance@5.0.0 >/dev/null 2>&1 ||
  { echo "ml-distance 5.0.0 cannot be installed here (npm's registry)" >&2; exit 2; }
cat >program.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { distance } from 'ml-distance';

const relative = (p, q) => p.reduce((sum, share, i) => sum + (share === 0 ? 0 : share * Math.log(share / q[i])), 0);
function right(p, q) {
  const middle = p.map((share, i) => (share + q[i]) / 2);
  return (relative(p, middle) + relative(q, middle)) / 2;
}

console.log('ml-distance ' + JSON.parse(readFileSync('node_modules/ml-distance/package.json')).version);
let asDescribed = true;
for (const [p, q, finite] of [[[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], true], [[0.5, 0.5, 0], [0.5, 0, 0.5], false], [[0.6, 0.4], [0.4, 0.6], true], [[0.6, 0.4, 0], [0.4, 0.6, 0], false]]) {
  const found = distance.jensenShannon(p, q);
  console.log(`jensenShannon([${p}], [${q}]) = ${found}, right ${right(p, q).toFixed(4)}; jensenDifference ${distance.jensenDifference(p, q)}, topsoe ${distance.topsoe(p, q)}`);
  asDescribed &&= finite ? Math.abs(found - right(p, q)) < 1e-9 : Number.isNaN(found) && Number.isNaN(distance.jensenDifference(p, q)) && Number.isNaN(distance.topsoe(p, q));
}
const [p, q] = [[0.5, 0.5, 0], [0.5, 0.25, 0.25]];
console.log(`kullbackLeibler([${p}], [${q}]) = ${distance.kullbackLeibler(p, q)}, right ${relative(p, q).toFixed(4)}`);
asDescribed &&= Number.isNaN(distance.kullbackLeibler(p, q));
console.log(asDescribed ? 'as described' : 'not as described above');
process.exit(asDescribed ? 0 : 1);
JS
node program.mjs
