// safetensors in plain JavaScript: an 8-byte little-endian length, a JSON header, the bytes.
import { readFileSync, writeFileSync } from "node:fs";

function half(bits) {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24; // subnormal
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function brain(view, at) {
  const word = new DataView(new ArrayBuffer(4));
  word.setUint32(0, view.getUint16(at, true) << 16); // bfloat16 is the upper half of a float32
  return word.getFloat32(0);
}

const READERS = {
  F64: [8, (view, at) => view.getFloat64(at, true)],
  F32: [4, (view, at) => view.getFloat32(at, true)],
  F16: [2, (view, at) => half(view.getUint16(at, true))],
  BF16: [2, brain],
  BOOL: [1, (view, at) => view.getUint8(at)],
};

/** {name: {shape, data: Float64Array}}; every dtype is read exactly, since float64 holds them all. */
export function read(path) {
  const bytes = readFileSync(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString("utf8"));
  const tensors = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [size, get] = READERS[entry.dtype];
    const [first, last] = entry.data_offsets.map((offset) => 8 + length + offset);
    const data = Float64Array.from({ length: (last - first) / size }, (_, i) => get(view, first + i * size));
    tensors[name] = { shape: entry.shape, data };
  }
  return tensors;
}

/** Writes {name: {shape, data: Float64Array}} as float64. */
export function write(path, tensors) {
  const header = {};
  let offset = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype: "F64", shape, data_offsets: [offset, offset + 8 * data.length] };
    offset += 8 * data.length;
  }
  let text = JSON.stringify(header);
  text += " ".repeat((8 - (Buffer.byteLength(text) % 8)) % 8); // the data start at a multiple of 8
  const bytes = Buffer.alloc(8 + Buffer.byteLength(text) + offset);
  bytes.writeBigUInt64LE(BigInt(Buffer.byteLength(text)), 0);
  bytes.write(text, 8, "utf8");
  let at = 8 + Buffer.byteLength(text);
  for (const { data } of Object.values(tensors)) {
    for (const value of data) at = bytes.writeDoubleLE(value, at);
  }
  writeFileSync(path, bytes);
}
