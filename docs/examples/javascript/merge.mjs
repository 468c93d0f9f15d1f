// Usage: node merge.mjs CASES OUTPUTS.safetensors, where CASES was written by `coremerge vectors export CASES`.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { read, write } from "./safetensors.mjs";
import { mean, ta, ties } from "./methods.mjs";

// What this implementation does, and in which spaces; every other case is left out and counts as unsupported.
const METHODS = {
  ta: [ta, ["full", "knots", "core", "knots-unscaled"]],
  mean: [mean, ["full", "knots", "core", "knots-unscaled"]],
  ties: [ties, ["full"]],
};

/** scale · B A for one layer of a batch: B (…, m, r), A (…, r, n). */
function product(B, A, scale, layer) {
  const [m, r] = B.shape.slice(-2);
  const n = A.shape.at(-1);
  const b = B.data.subarray(layer * m * r, (layer + 1) * m * r);
  const a = A.data.subarray(layer * r * n, (layer + 1) * r * n);
  const delta = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let k = 0; k < r; k++) {
      for (let j = 0; j < n; j++) delta[i * n + j] += b[i * r + k] * a[k * n + j];
    }
  }
  return delta.map((value) => scale * value);
}

function answer(record, tensors) {
  const [method, spaces] = METHODS[record.method] ?? [];
  if (!method || !spaces.includes(record.space)) return null;
  if (record.params.ties?.scope === "model") return null; // one threshold for all layers: not done here
  const [m, n] = record.shape.slice(-2);
  const layers = record.shape.slice(0, -2).reduce((count, size) => count * size, 1);
  const data = new Float64Array(layers * m * n);
  for (let layer = 0; layer < layers; layer++) {
    const deltas = record.updates.map(({ B, A, scale }) => product(tensors[B], tensors[A], scale, layer));
    data.set(method(deltas, record.params[record.method]), layer * m * n);
  }
  return { shape: record.shape, data };
}

const [directory, outputs] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(join(directory, "manifest.json"), "utf8"));
const tensors = read(join(directory, "vectors.safetensors"));
const answers = manifest.cases.map((record) => [record.output, answer(record, tensors)]).filter(([, made]) => made);
write(outputs, Object.fromEntries(answers));
console.log(`answered ${answers.length} of ${manifest.cases.length} cases`);
