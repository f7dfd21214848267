#!/usr/bin/env bash
# jStat: the Poisson probability of 150 at a mean of 150 is Infinity, from 171 on NaN; the binomial one is Infinity from 1030 trials on, and its sum has only ten decimals.
#
# Package: npm's jstat 1.9.6; poisson.pdf and cdf, binomial.pdf and cdf.
# R and SciPy compute these with logarithms. Here powers and factorials are multiplied and divided as they are, 171! and 150^150 being beyond a double.
# binomial.cdf goes another way and stays finite, but is rounded to ten decimals: every tail below 5e-11 is exactly 0.
#
# Seen on 2026-11-28, right numbers in brackets:
#   poisson.pdf(150, 150) = Infinity (0.03256)     poisson.cdf(150, 150) = Infinity (0.5217)     poisson.cdf(200, 150) = NaN (0.99996)
#   binomial.pdf(515, 1030, 0.5) = Infinity (0.02486)     binomial.cdf(10, 100, 0.5) = 0 (1.5e-17)     binomial.cdf(500, 1000, 0.5) right to ten decimals
#
# Exact tests of counts (how often a label was given) work in a trial with a few dozen images and break at the size of a real one; a p-value of 0 ends a ranking of
# findings in ties. lib-r-math.js 2.0.3 has R's functions and gives the right numbers.
#
# Needs: node 20 or newer, npm. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts jstat@1.9.6 >/dev/null 2>&1 ||
  { echo "jstat 1.9.6 cannot be installed here (npm's registry)" >&2; exit 2; }
cat >program.mjs <<'JS'
import { readFileSync } from 'node:fs';
import statistics from 'jstat';

const { poisson, binomial } = statistics.jStat;
const logFactorial = n => { let sum = 0; for (let i = 2; i <= n; ++i) sum += Math.log(i); return sum; };
const poissonAt = (k, mean) => Math.exp(k * Math.log(mean) - mean - logFactorial(k));
const halvesAt = (k, n) => Math.exp(logFactorial(n) - logFactorial(k) - logFactorial(n - k) - n * Math.LN2);
function upTo(k, at) { let sum = 0; for (let i = 0; i <= k; ++i) sum += at(i); return sum; }

console.log('jstat ' + JSON.parse(readFileSync('node_modules/jstat/package.json')).version);
let asDescribed = true;
for (const [name, found, seen, right] of [
  ['poisson.pdf(140, 140)', poisson.pdf(140, 140), 'right', poissonAt(140, 140)],
  ['poisson.pdf(150, 150)', poisson.pdf(150, 150), Infinity, poissonAt(150, 150)],
  ['poisson.cdf(150, 150)', poisson.cdf(150, 150), Infinity, upTo(150, k => poissonAt(k, 150))],
  ['poisson.cdf(200, 150)', poisson.cdf(200, 150), NaN, upTo(200, k => poissonAt(k, 150))],
  ['binomial.pdf(500, 1000, 0.5)', binomial.pdf(500, 1000, 0.5), 'right', halvesAt(500, 1000)],
  ['binomial.pdf(515, 1030, 0.5)', binomial.pdf(515, 1030, 0.5), Infinity, halvesAt(515, 1030)],
  ['binomial.cdf(500, 1000, 0.5)', binomial.cdf(500, 1000, 0.5), 'right', upTo(500, k => halvesAt(k, 1000))],
  ['binomial.cdf(10, 100, 0.5)', binomial.cdf(10, 100, 0.5), 0, upTo(10, k => halvesAt(k, 100))],
]) {
  console.log(`${name} = ${found}, right ${right.toPrecision(5)}`);
  asDescribed &&= seen === 'right' ? Math.abs(found - right) < 1e-9 : Object.is(found, seen);
}
console.log(asDescribed ? 'as described' : 'not as described above');
process.exit(asDescribed ? 0 : 1);
JS
node program.mjs
