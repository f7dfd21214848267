// Start of the process to the first embedding in ONNX Runtime's CPU provider, batch 1.
//   ORT_DIR=<folder that holds node_modules> node ort_first.js NAME.onnx THREADS
// One line of JSON: seconds from the start of the process (before Node itself) to the features, and the peak of resident memory.
const fs = require('fs');
const path = require('path');
const ort = require(path.resolve(process.env.ORT_DIR || '.', 'node_modules', 'onnxruntime-node'));

const [file, threads] = [process.argv[2], Number(process.argv[3])];
const meta = JSON.parse(fs.readFileSync(file.replace(/\.onnx$/, '.json')));

(async () => {
  const session = await ort.InferenceSession.create(file, {
    executionProviders: ['cpu'], graphOptimizationLevel: 'all', intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: 'sequential',
  });
  const shape = [1, ...meta.shape.slice(1)], count = shape.reduce((a, b) => a * b, 1);
  const data = meta.dtype === 'int64' ? new BigInt64Array(count).fill(1n) : new Float32Array(count);
  await session.run({ [meta.input]: new ort.Tensor(meta.dtype, data, shape) });
  const peak = fs.readFileSync('/proc/self/status', 'utf8').match(/VmHWM:\s+(\d+)/)[1] / 1024;
  console.log(JSON.stringify({ seconds: +((performance.now()) / 1000).toFixed(3), peak_mib: +peak.toFixed(0) }));
})();
