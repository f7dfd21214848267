// Speed of an exported tower in ONNX Runtime's CPU provider.
//   ORT_DIR=<folder that holds node_modules> node ort_towers.js NAME.onnx THREADS BATCH[,BATCH...] [SECONDS]
// The output is compared with PyTorch's first. One line a batch: wall and processor time, medians and minima, items a second.
// Processor time is what compares on a machine that others use too; with several threads it includes ONNX Runtime's spinning.
const fs = require('fs');
const path = require('path');
const ort = require(path.resolve(process.env.ORT_DIR || '.', 'node_modules', 'onnxruntime-node'));

const [file, threads, batches, seconds] = [process.argv[2], Number(process.argv[3]), process.argv[4].split(',').map(Number), Number(process.argv[5] || 3)];
const base = file.replace(/\.onnx$/, '');
const meta = JSON.parse(fs.readFileSync(base + '.json'));

function read(name, type) {
  const bytes = fs.readFileSync(base + name);
  return new type(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

const median = values => values.sort((a, b) => a - b)[values.length >> 1];

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
  console.log(`# ${path.basename(base)} ONNX Runtime, ${threads} threads, max difference from PyTorch ${error.toExponential(1)}`);
  for (const n of batches) {
    const input = feed(n), wall = [], cpu = [];
    await session.run(input);
    const start = performance.now();
    while (wall.length < 3 || performance.now() - start < seconds * 1000) {
      const from = performance.now(), used = process.cpuUsage();
      await session.run(input);
      const after = process.cpuUsage(used);
      wall.push(performance.now() - from);
      cpu.push((after.user + after.system) / 1000);
    }
    const [w, c] = [median(wall), median(cpu)];
    console.log(`${path.basename(base)} batch ${n}: wall median ${w.toFixed(1)} ms, min ${wall[0].toFixed(1)} ms, ${(n * 1000 / w).toFixed(2)}/s; processor median ${c.toFixed(1)} ms, min ${cpu[0].toFixed(1)} ms, ${(n * 1000 / cpu[0]).toFixed(2)} a processor second at best; ${wall.length} runs`);
  }
})();
