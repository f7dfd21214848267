#!/usr/bin/env bash
# simple-statistics' normal distribution is a printed table: z is rounded to two places, and every z below -3.09 has probability 0.001.
#
# Package: npm's simple-statistics 7.12.1; cumulativeStdNormalProbability, and probit and errorFunction beside it.
# R's pnorm, SciPy and jStat compute the function; Phi(-6) is 1e-9. This one looks |z| up in a table of four decimals that ends at 3.09. probit goes through
# an approximation of the error function's inverse and gives 1.9572 for the quantile 0.975, exactly 1.95996; errorFunction(0) is -3e-8.
#
# Seen on 2026-11-28, right numbers in brackets:
#   Phi(-6) = 0.001 (9.9e-10)     Phi(-4) = 0.001 (3.2e-5)     Phi(-1.955) = Phi(-1.96) = 0.025 (0.02529, 0.02500)     Phi(0.004) = 0.5 (0.5016)
#   probit(0.975) = 1.9572 (1.95996)     probit(0.9999) = 3.706 (3.719)
#
# No two-sided p-value falls below 0.002: against a level that is divided by a hundred comparisons (Bonferroni, 0.0005) nothing is ever significant, and
# Holm's and Benjamini and Hochberg's steps see ties. Take jStat's normal.cdf down to z = -6, or erfc of another package.
#
# Needs: node 20 or newer, npm. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts simple-statistics@7.12.1 >/dev/null 2>&1 ||
  { echo "simple-statistics 7.12.1 cannot be installed here (npm's registry)" >&2; exit 2; }
cat >program.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { cumulativeStdNormalProbability as phi, errorFunction, probit } from 'simple-statistics';

// Right numbers by Simpson's rule over the density, from 12 below zero on.
function right(z) {
  const steps = 20000, width = (z + 12) / steps;
  let sum = 0;
  for (let i = 0; i <= steps; ++i) sum += (i === 0 || i === steps ? 1 : i % 2 ? 4 : 2) * Math.exp(-((-12 + i * width) ** 2) / 2);
  return (sum * width) / 3 / Math.sqrt(2 * Math.PI);
}

console.log('simple-statistics ' + JSON.parse(readFileSync('node_modules/simple-statistics/package.json')).version);
let asDescribed = true;
for (const [z, seen] of [[-6, 0.001], [-4, 0.001], [-3.09, 0.001], [-1.96, 0.025], [-1.955, 0.025], [0.004, 0.5], [1.96, 0.975]]) {
  console.log(`Phi(${z}) = ${phi(z)}, right ${right(z).toPrecision(4)}`);
  asDescribed &&= Math.abs(phi(z) - seen) < 1e-12;
}
console.log(`probit(0.975) = ${probit(0.975)}, probit(0.9999) = ${probit(0.9999)}, errorFunction(0) = ${errorFunction(0)}`);
asDescribed &&= Math.abs(probit(0.975) - 1.95716) < 1e-5 && Math.abs(probit(0.9999) - 3.70608) < 1e-5 && errorFunction(0) < -1e-8;
console.log(asDescribed ? 'as described' : 'not as described above');
process.exit(asDescribed ? 0 : 1);
JS
node program.mjs
