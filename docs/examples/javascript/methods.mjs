// The methods: each takes T matrices ΔW_t (Float64Array, m·n entries) and the parameters of the manifest.

const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Task arithmetic: Σ w_t ΔW_t. Linear, so it is the same in every lossless space. */
export function ta(deltas, { weights }) {
  return deltas[0].map((_, i) => sum(deltas.map((delta, t) => weights[t] * delta[i])));
}

/** Σ w_t ΔW_t / Σ w_t, linear too. */
export function mean(deltas, { weights }) {
  return ta(deltas, { weights }).map((value) => value / sum(weights));
}

/** Which entries of one task are kept: K = int(d · density) of them, or one more and all that equal the last. */
function kept(delta, density, keep) {
  const d = delta.length;
  const K = Math.floor(d * density);
  if (K >= d) return delta.map(() => 1);
  if (keep === "exact") {
    const order = Array.from(delta.keys()).sort((i, j) => Math.abs(delta[j]) - Math.abs(delta[i]) || i - j);
    const chosen = new Float64Array(d);
    for (const i of order.slice(0, K)) chosen[i] = 1;
    return chosen;
  }
  const threshold = delta.map(Math.abs).sort()[d - K - 1]; // the (d − K)-th smallest, counted from 1
  return delta.map((value) => (Math.abs(value) >= threshold ? 1 : 0));
}

/** TIES in full space: trim, elect a sign per entry, aggregate the entries that have it. */
export function ties(deltas, p) {
  const trimmed = deltas.map((delta) => {
    const mask = kept(delta, p.density, p.keep);
    return delta.map((value, i) => value * mask[i]);
  });
  const before = p.weight_order === "before";
  const voters = before ? trimmed.map((delta, t) => delta.map((value) => p.weights[t] * value)) : trimmed;
  const ballot = { mass: (value) => value, count: Math.sign }[p.elect];
  const elected = deltas[0].map((_, i) => Math.sign(sum(voters.map((delta) => ballot(delta[i])))));
  const majority = p.zero_sign === "positive" || sum(elected) > 0 ? 1 : -1;
  return elected.map((sign, i) => {
    const wanted = sign || majority;
    const agree = deltas.map((_, t) => t).filter((t) => voters[t][i] !== 0 && Math.sign(voters[t][i]) === wanted);
    const total = sum(agree.map((t) => p.weights[t] * trimmed[t][i]));
    if (p.aggregate === "sum") return total;
    const divisor = p.divisor === "weight" ? sum(agree.map((t) => p.weights[t])) : agree.length;
    return total / (divisor || 1);
  });
}
