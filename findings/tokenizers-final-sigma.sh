#!/usr/bin/env bash
# Hugging Face's two tokenizers lower-case the same Greek word differently: the Rust library never writes the final sigma, the JavaScript one does.
#
# Packages: npm's @anush008/tokenizers 0.6.0 (the Rust library tokenizers, which Python's fast tokenizers are too) and @huggingface/tokenizers 0.2.0
# (the one of Transformers.js), given the same tokenizer.json with the normalizer Lowercase.
# At the end of a word a capital sigma becomes another letter than within it (Unicode's Final_Sigma); Python's and JavaScript's lower-casing
# do that. The Rust library lower-cases each character by itself. Python's slow tokenizers, and the text code that CLIP was published with, call Python's.
#
# Seen on 2026-11-28: ΟΔΟΣ (street) -> Rust: the id of οδοσ, JavaScript: the id of οδος; ΟΔΟΣ ΟΔΟΣ the same twice; οδος: both the id of οδος
#
# A Greek caption in capitals, as on signs and in titles, gets other ids, and so other features, by the language in which the service was written.
# Lower-case the text before, if the model's tokenizer does it anyway.
#
# Needs: node 20 or newer, npm, x86-64 Linux. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @anush008/tokenizers@0.6.0 @huggingface/tokenizers@0.2.0 >/dev/null 2>&1 ||
  { echo "@anush008/tokenizers 0.6.0 cannot be installed here (npm's registry)" >&2; exit 2; }
cat >program.mjs <<'JS'
import { readFileSync, writeFileSync } from 'node:fs';
import rust from '@anush008/tokenizers';
import { Tokenizer } from '@huggingface/tokenizers';

const capitals = '\u039f\u0394\u039f\u03a3', small = '\u03bf\u03b4\u03bf\u03c2', within = '\u03bf\u03b4\u03bf\u03c3';
const pieces = ['[UNK]', small, within];
const file = {
  version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: { type: 'Lowercase' }, pre_tokenizer: { type: 'Whitespace' },
  post_processor: null, decoder: null,
  model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])) },
};
writeFileSync('tokenizer.json', JSON.stringify(file));
for (const name of ['@anush008/tokenizers', '@huggingface/tokenizers']) console.log(name + ' ' + JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version);
const byRust = rust.Tokenizer.fromFile('tokenizer.json'), byJavaScript = new Tokenizer(file, {});
const found = [];
for (const text of [capitals, small, `${capitals} ${capitals}`]) {
  const answers = [(await byRust.encode(text)).getIds(), byJavaScript.encode(text).ids].map(ids => Array.from(ids, id => pieces[id]).join(' '));
  console.log(`${text}: Rust ${answers[0]}, JavaScript ${answers[1]}, JavaScript's toLowerCase ${text.toLowerCase()}`);
  found.push(...answers);
}
const asDescribed = found.join() === [within, small, small, small, `${within} ${within}`, `${small} ${small}`].join();
console.log(asDescribed ? 'as described' : 'not as described above');
process.exit(asDescribed ? 0 : 1);
JS
node program.mjs
