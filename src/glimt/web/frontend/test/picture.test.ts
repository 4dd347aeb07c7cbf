import assert from "node:assert/strict";
import { test } from "node:test";
import { colorTable, fraction, histogram, paint, steady, valueAt } from "../src/colors.ts";
import { beamCenter, geometryOf, onDetector, qOf, rings, twoTheta } from "../src/geometry.ts";
import { type Shape, handleAt, isInside, moved, rectangleBetween, reshaped } from "../src/shapes.ts";
import { Viewport } from "../src/viewport.ts";

test("limits and fractions are inverse, on linear and logarithmic scales", () => {
  for (const limits of [{ low: -3, high: 7, log: false }, { low: 0.5, high: 2000, log: true }, { low: 0, high: 100, log: true }]) {
    for (const place of [0, 0.3, 1]) assert.ok(Math.abs(fraction(valueAt(place, limits), limits) - place) < 1e-9);
  }
});

test("automatic limits stay while they are about right", () => {
  assert.deepEqual(steady([0, 100], 2, 104), [0, 100]);
  assert.deepEqual(steady([0, 100], 0, 300), [0, 300]);
  const [low, high] = steady(null, 5, 5);
  assert.ok(high > low);
});

test("small integers and floats get the same colors", () => {
  const values = Array.from({ length: 30_000 }, (_, i) => i % 500);
  const limits = { low: 3, high: 400, log: true }, table = colorTable("inferno");
  const fromIntegers = new Uint32Array(values.length), fromFloats = new Uint32Array(values.length);
  paint(Uint16Array.from(values), fromIntegers, limits, table, 7);
  paint(Float32Array.from(values), fromFloats, limits, table, 7);
  assert.deepEqual(fromIntegers, fromFloats);
  assert.equal(fromIntegers[0], table[0]);
  assert.equal(fromIntegers[499], table[255]);
  assert.notEqual(fromIntegers[7], fromIntegers[8]);
});

test("an inverted map has the same colors from the other end", () => {
  assert.deepEqual([...colorTable("viridis inverted")].reverse(), [...colorTable("viridis")]);
});

test("negative and missing values have their places", () => {
  const out = new Uint32Array(3), table = colorTable("grey");
  paint(Float32Array.from([-5, NaN, 5]), out, { low: -5, high: 5, log: false }, table, null);
  assert.deepEqual([out[0], out[2]], [table[0], table[255]]);
  assert.equal(out[1], 0xff787878);
  const signed = new Uint32Array(30_000);
  paint(new Int8Array(30_000).fill(-128), signed, { low: -128, high: 127, log: false }, table, null);
  assert.equal(signed[0], table[0]);
});

test("the histogram counts what lies between the limits", () => {
  assert.deepEqual([...histogram(Uint8Array.from([0, 1, 2, 3, 3, 9, 255]), { low: 0, high: 4, log: false }, 4, 255)], [1, 1, 1, 2]);
});

test("zoom keeps the pixel under the cursor, to single pixels and back to the whole", () => {
  const view = new Viewport();
  view.setSize(2000, 1000, 300, 600);
  assert.equal(view.scaleX, 0.3);
  const before = view.toImage(221, 123);
  for (let i = 0; i < 30; i++) view.zoom(1.3, 221, 123);
  const after = view.toImage(221, 123);
  assert.ok(Math.hypot(before[0] - after[0], before[1] - after[1]) < 1e-6);
  assert.equal(Math.round(view.scaleX), 96);
  const { rows, columns } = view.visible();
  assert.ok(rows[1] - rows[0] <= 8 && columns[1] - columns[0] <= 5);
  for (let i = 0; i < 30; i++) view.zoom(0.7, 0, 0);
  assert.ok(view.isFitted);
  assert.deepEqual(view.visible(), { rows: [0, 2000], columns: [0, 1000] });
});

test("no more pixels are asked for than there are, or than the screen shows", () => {
  const view = new Viewport();
  view.setSize(2000, 2000, 500, 500);
  assert.deepEqual(view.usefulSize(2), [1000, 1000]);
  for (let i = 0; i < 20; i++) view.zoom(1.3);
  const { rows } = view.visible();
  assert.deepEqual(view.usefulSize(2)[0], rows[1] - rows[0]);
});

test("an image cannot be pulled off its canvas", () => {
  const view = new Viewport();
  view.setSize(100, 100, 100, 100);
  view.zoom(4);
  view.pan(1e6, -1e6);
  assert.deepEqual(view.visible(), { rows: [75, 100], columns: [0, 25] });
});

const poni = { dist: 0.2, poni1: 0.05, poni2: 0.06, rot1: 0.1, rot2: -0.2, rot3: 0.3, wavelength: 1e-10, pixel1: 75e-6, pixel2: 75e-6 };

test("rays end where their scattering angle says, on a tilted detector too", () => {
  const geometry = geometryOf(JSON.stringify(poni))!;
  for (const azimuth of [0, 1, 2, 4, 6]) {
    const [slow, fast] = onDetector(geometry, 0.3, azimuth)!;
    assert.ok(Math.abs(twoTheta(geometry, slow, fast) - 0.3) < 1e-9);
  }
  const center = beamCenter(geometry)!;
  assert.ok(twoTheta(geometry, ...center) < 1e-9);
});

// pyFAI 2026.9, Geometry(**poni) of pixels of 75 µm: tth and qFunction at the pixel (99.5, 899.5), which it counts from the middle.
const PYFAI_TTH = 0.13492628767556764;
const PYFAI_Q = 0.8471239444637518;

test("q agrees with pyFAI", () => {
  const geometry = geometryOf(poni)!;
  assert.ok(Math.abs(twoTheta(geometry, 100, 900) - PYFAI_TTH) < 1e-9);
  assert.ok(Math.abs(qOf(geometry, PYFAI_TTH)! - PYFAI_Q) < 1e-9);
});

test("rings lie at the resolution that they name", () => {
  const geometry = geometryOf({ ...poni, rot1: 0, rot2: 0, rot3: 0 })!;
  for (const { d, points } of rings(geometry, 2000, 2000)) {
    const [slow, fast] = points[7]!;
    assert.ok(Math.abs((2 * Math.PI) / qOf(geometry, twoTheta(geometry, slow, fast))! - d) < 1e-6);
  }
});

test("what is no geometry is none", () => {
  for (const bad of [null, "", "{", "[]", {}, { dist: 1 }, { ...poni, dist: "x" }]) assert.equal(geometryOf(bad), null);
});

const rectangle: Shape = { kind: "rectangle", bounds: [10, 20, 30, 50] };
const polygon: Shape = { kind: "polygon", vertices: [[0, 0], [0, 10], [10, 10], [10, 0], [5, 5]] };
const ring: Shape = { kind: "ring", center: [50, 50], r_min: 10, r_max: 20 };

test("places are inside or outside, half-open", () => {
  assert.ok(isInside(rectangle, [10, 30]) && !isInside(rectangle, [20, 30]) && !isInside(rectangle, [10, 50]));
  assert.ok(isInside(polygon, [2, 5]) && !isInside(polygon, [6, 2]) && !isInside(polygon, [11, 5]));
  assert.ok(isInside(ring, [50, 65]) && !isInside(ring, [50, 50]) && !isInside(ring, [50, 70]));
});

test("a rectangle is of whole pixels, whichever way it is pulled", () => {
  assert.deepEqual(rectangleBetween([9.7, 5.2], [3.1, 8.9]), [3, 10, 5, 9]);
  assert.deepEqual(rectangleBetween([4.2, 4.2], [4.3, 4.3]), [4, 5, 4, 5]);
  assert.deepEqual(rectangleBetween([-7, -7], [2, 2]), [0, 2, 0, 2]);
});

test("handles pull a shape into another form", () => {
  assert.equal(handleAt(rectangle, [20.5, 49], 3), 2);
  assert.equal(handleAt(rectangle, [15, 40], 3), -1);
  assert.deepEqual(reshaped(rectangle, 2, [40, 60]).bounds, [10, 40, 30, 60]);
  assert.equal(reshaped(ring, 0, [50, 80]).r_max, 30);
  assert.equal(reshaped(ring, 1, [50, 90]).r_min, 19);
  assert.deepEqual(reshaped(polygon, 4, [6, 6]).vertices![4], [6, 6]);
  assert.deepEqual(polygon.vertices![4], [5, 5]);
});

test("a shape is moved as a whole, not off the first pixel", () => {
  assert.deepEqual(moved(rectangle, -100, 3.4).bounds, [0, 10, 33, 53]);
  assert.deepEqual(moved(ring, 1, -1).center, [51, 49]);
});
