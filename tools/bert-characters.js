// Prints src/ClipEngine/Tokenization/Data/bert-characters.tsv: code points that the tokenizers library's BERT classes take for something else than
// Unicode's general category says. One range a line: class, first, last. F, M, P: not left out, no accent, no punctuation, though the category says so;
// m, p: an accent, punctuation, though the category does not.
//
//     npm install tokenizers@0.23.2 && node tools/bert-characters.js > src/ClipEngine/Tokenization/Data/bert-characters.tsv
//
// Categories are those of the Unicode version that node has; the file was made with Unicode 17 (node 20.20), which holds for older ones too.
const library = require(require.resolve('tokenizers', { paths: [process.cwd()] }));
const bert = (cleanText, stripAccents) => library.bertNormalizer({ cleanText, handleChineseChars: false, stripAccents, lowercase: false });
const cleaner = bert(true, false), accents = bert(false, true), splitter = library.bertPreTokenizer();
const classes = {
  F: [c => cleaner.normalizeString('a' + c + 'b') === 'ab', c => c === '\uFFFD' || /[\p{Cc}\p{Cf}\p{Co}]/u.test(c) && !/[\t\n\r]/.test(c)],
  M: [c => accents.normalizeString('b' + c) === 'b', c => /\p{Mn}/u.test(c)],
  P: [c => splitter.preTokenizeString('a' + c + 'b').length === 3, c => c < '\x80' ? /[!-\/:-@\[-`{-~]/.test(c) : /\p{P}/u.test(c)],
};
for (const [name, [found, expected]] of Object.entries(classes)) {
  for (const is of [false, true]) {
    let first = -1;
    for (let code = 1; code <= 0x110000; code++) {
      const isSurrogate = code >= 0xD800 && code < 0xE000;
      const c = code < 0x110000 && !isSurrogate ? String.fromCodePoint(code) : '';
      const differs = c !== '' && found(c) === is && expected(c) !== is;
      if (differs && first < 0)
        first = code;
      if (!differs && first >= 0) {
        console.log(is ? name.toLowerCase() : name, first.toString(16).toUpperCase(), (code - 1).toString(16).toUpperCase());
        first = -1;
      }
    }
  }
}
