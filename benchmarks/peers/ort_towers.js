// An exported tower in ONNX Runtime's CPU provider, run as it is told to (compare.py does), so that two engines can take turns within
// a second of each other.
//   ORT_DIR=<folder that holds node_modules> node ort_towers.js NAME.onnx THREADS
// The output is compared with PyTorch's first, and said in a line that begins with '#'. Then each line 'BATCH SECONDS' of standard input
// is answered by one line: the milliseconds of every run, one at least, after one that does not count.
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const ort = require(path.resolve(process.env.ORT_DIR || '.', 'node_modules', 'onnxruntime-node'));

const [file, threads] = [process.argv[2], Number(process.argv[3])];
const base = file.replace(/\.onnx$/, '');
const meta = JSON.parse(fs.readFileSync(base + '.json'));

function read(name, type) {
  const bytes = fs.readFileSync(base + name);
  return new type(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

(async () => {
  const session = await ort.InferenceSession.create(file, {
    executionProviders: ['cpu'], graphOptimizationLevel: 'all', intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: 'sequential',
  });
  const values = read('.in.bin', meta.dtype === 'int64' ? BigInt64Array : Float32Array), reference = read('.ref.bin', Float32Array);
  const each = meta.shape.slice(1).reduce((a, b) => a * b, 1);
  const feed = n => {
    const data = new values.constructor(n * each);
    for (let i = 0; i < n; i++) data.set(values.subarray((i % meta.shape[0]) * each, (i % meta.shape[0] + 1) * each), i * each);
    return { [meta.input]: new ort.Tensor(meta.dtype, data, [n, ...meta.shape.slice(1)]) };
  };
  const found = (await session.run(feed(meta.shape[0]))).out.data;
  let error = 0;
  for (let i = 0; i < reference.length; i++) error = Math.max(error, Math.abs(found[i] - reference[i]));
  console.log(`# ${path.basename(base)} in ONNX Runtime, ${threads} threads, max difference from PyTorch ${error.toExponential(1)}`);
  const inputs = new Map();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [batch, seconds] = line.split(' ').map(Number), times = [];
    if (!inputs.has(batch)) inputs.set(batch, feed(batch));
    await session.run(inputs.get(batch));
    const start = performance.now();
    do {
      const from = performance.now();
      await session.run(inputs.get(batch));
      times.push(performance.now() - from);
    } while (performance.now() - start < seconds * 1000);
    console.log(times.map(time => time.toFixed(3)).join(' '));
  }
})();
