#!/usr/bin/env bash
# ClipEngine and ONNX Runtime on the same tower, alternating, so that both meet the same neighbours on a shared machine:
#   ORT_DIR=<folder that holds node_modules> compare_towers.sh ONNX_FOLDER CHECKPOINT_FOLDER image|text|prompts THREADS BATCHES [ROUNDS]
# prompts: short ones on our side, which the peer computes padded to the whole context (text).
# ONNX_FOLDER comes from export_towers.py (ViT-B-32 unless NAME says otherwise), CHECKPOINT_FOLDER from tools/synthesize-checkpoint.
# onnxruntime-node is fetched by name: npm install --ignore-scripts onnxruntime-node@1.30.0
set -eu
here=$(cd "$(dirname "$0")" && pwd)
onnx=$1 checkpoint=$2 tower=$3 threads=$4 batches=$5 rounds=${6:-3}
engine="$here/../ClipEngine.Benchmarks/bin/Release/net10.0/ClipEngine.Benchmarks.dll"
[ -f "$engine" ] || dotnet build "$here/../ClipEngine.Benchmarks" -c Release -nologo -v q
for round in $(seq "$rounds"); do
  echo "== round $round"
  node "$here/ort_towers.js" "$onnx/${NAME:-ViT-B-32}.${tower/prompts/text}.onnx" "$threads" "$batches"
  dotnet "$engine" towers "$checkpoint" "$tower" "$threads" "$batches" "${TYPE:-fp32}"
done
