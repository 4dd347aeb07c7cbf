import assert from "node:assert/strict";
import { test } from "node:test";
import { pauseMs } from "../src/connection.ts";
import { ProtocolError, decode } from "../src/protocol.ts";
import { Series, pairs } from "../src/series.ts";

const START = 256;

/** A message whose buffers begin at START. */
function message(header: object, buffer = new Uint8Array()): ArrayBuffer {
  const text = new TextEncoder().encode(JSON.stringify(header).padEnd(START - 4));
  const bytes = new Uint8Array(START + buffer.length);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 4);
  bytes.set(buffer, START);
  return bytes.buffer;
}

test("a buffer is read where the header says it lies", () => {
  const header = { type: "data", buffers: [{ name: "b0", dtype: "uint16", shape: [2, 2], offset: START }] };
  const { blocks } = decode(message(header, new Uint8Array(new Uint16Array([1, 2, 3, 65535]).buffer)));
  assert.deepEqual([...blocks.get("b0")!.data], [1, 2, 3, 65535]);
  assert.deepEqual(blocks.get("b0")!.shape, [2, 2]);
});

test("a message that is cut is refused", () => {
  const whole = message({ type: "data", buffers: [{ name: "b0", dtype: "float64", shape: [100], offset: START }] });
  assert.throws(() => decode(whole), ProtocolError);
  assert.throws(() => decode(whole.slice(0, 3)), ProtocolError);
  assert.throws(() => decode(whole.slice(0, 20)), ProtocolError);
});

test("an unknown type of numbers is refused", () => {
  assert.throws(() => decode(message({ buffers: [{ name: "b0", dtype: "int64", shape: [1], offset: START }] })), /unknown type/);
});

test("pauses between attempts grow, and stay bearable", () => {
  assert.ok(pauseMs(3, 0.5) > 2 * pauseMs(1, 0.5));
  assert.ok(pauseMs(50, 1) <= 10_000);
});

const block = (...rows: [number, number, number][]) => ({ data: new Float64Array(rows.flat()), shape: [rows.length, 3] });

test("a history that begins anew keeps what the page already had", () => {
  const series = new Series();
  series.append(block([1, 10, 0.1], [2, 11, 0.2], [3, 12, 0.3]));
  series.merge(block([3, 12, 0.3], [4, 13, 0.4]));
  assert.deepEqual(series.time, [1, 2, 3, 4]);
  assert.deepEqual(series.value, [0.1, 0.2, 0.3, 0.4]);
});

test("a point that came twice is there once, and what is not finite is a gap", () => {
  const series = new Series();
  series.append(block([1, NaN, 5]));
  series.append(block([1, NaN, 5], [2, 7, NaN]));
  assert.deepEqual(series.event, [null, 7]);
  assert.deepEqual(series.value, [5, null]);
});

test("a long series stays bounded and keeps its newest points whole", () => {
  const series = new Series();
  for (let i = 0; i < 20_000; i++) series.append(block([i + 1, i, i]));
  assert.ok(series.length <= 6000);
  assert.deepEqual(series.event.slice(-1000), Array.from({ length: 1000 }, (_, i) => 19_000 + i));
});

test("values are paired at the same event, in the order of x", () => {
  const x = new Series(), y = new Series();
  x.append(block([1, 1, 30], [2, 2, 10], [3, 3, 20]));
  y.append(block([1.1, 1, 3], [2.1, 2, 1], [4.1, 4, 9]));
  assert.deepEqual(pairs(x, y), [[10, 30], [1, 3]]);
});
