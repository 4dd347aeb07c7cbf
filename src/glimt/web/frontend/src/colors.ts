/** Color maps, limits, and values to pixels. */

import type { Numbers } from "./protocol.ts";

const ANCHORS: Record<string, string> = {
  viridis: "440154481a6c472f7d41448739568c31688e2a788e23888e1f988b22a88435b77954c5687ad151a5db36d2e21bfde725",
  "viridis inverted": "fde725d2e21ba5db367ad15154c56835b77922a8841f988b23888e2a788e31688e39568c414487472f7d481a6c440154",
  inferno: "0000040c0826240c4f420a685d126e781c6d932667ae305cc73e4cdd513aed6925f8850ffca50afac62df2e661fcffa4",
  magma: "0000040c0926221150400f745f187f7b2382982d80b73779d3436eeb5760f8765cfd9a6afebb81fddc9efcfdbf",
  turbo: "30123b4145ab4675ed39a2fc1bcfd424eca661fc6ca4fc3bd1e834f3c63afe9b2df36315d93806b119017a0403",
  grey: "000000ffffff",
  "grey inverted": "ffffff000000",
  "blue–red": "3b4cc06788ee9abbffc9d7f0edd1c2f7a889e26952b40426",
};
export const COLOR_MAPS = Object.keys(ANCHORS);
const REGION_COLORS = ["#f59f00", "#22b8cf", "#e64980", "#51cf66", "#845ef7", "#ff6b6b", "#339af0", "#94d82d"];
const STEPS = 256;
const INVALID = 0xff787878;

export interface Limits {
  low: number;
  high: number;
  log: boolean;
}

/** Return the color of a new region: the first that the fewest others have. */
export function freeColor(regions: readonly { color: string }[]): string {
  const uses = (color: string) => regions.filter((region) => region.color.toLowerCase() === color).length;
  return REGION_COLORS.reduce((best, color) => (uses(color) < uses(best) ? color : best));
}

/** Return a color map as 256 pixels (bytes R, G, B, A in memory). */
export function colorTable(name: string): Uint32Array {
  const text = ANCHORS[name] ?? ANCHORS["viridis"]!;
  const n = text.length / 6;
  const part = (index: number, channel: number) => parseInt(text.slice(6 * index + 2 * channel, 6 * index + 2 * channel + 2), 16);
  const table = new Uint32Array(STEPS);
  for (let step = 0; step < STEPS; step++) {
    const at = (step / (STEPS - 1)) * (n - 1);
    const left = Math.min(Math.floor(at), n - 2);
    const [r, g, b] = [0, 1, 2].map((channel) =>
      Math.round(part(left, channel) + (at - left) * (part(left + 1, channel) - part(left, channel))));
    table[step] = (255 << 24) | (b! << 16) | (g! << 8) | r!;
  }
  return table;
}

/** Where a value lies between the limits, 0 to 1 and beyond. */
export function fraction(value: number, { low, high, log }: Limits): number {
  if (!log) return (value - low) / (high - low || 1);
  const bottom = lowest(low, high);
  return Math.log(Math.max(value, bottom * 1e-3) / bottom) / (Math.log(high / bottom) || 1);
}

/** The value at a fraction: inverse of `fraction`. */
export function valueAt(place: number, { low, high, log }: Limits): number {
  if (!log) return low + place * (high - low);
  const bottom = lowest(low, high);
  return bottom * (high / bottom) ** place;
}

/** Lower end of a logarithmic scale, which cannot be zero: counts begin below 1. */
function lowest(low: number, high: number): number {
  return low > 0 ? low : Math.min(0.5, (high > 0 ? high : 1) / 1000);
}

/** Keep limits while they are about right: colors that jump with every frame cannot be read. */
export function steady(present: [number, number] | null, low: number, high: number): [number, number] {
  if (!(high > low)) high = low + Math.max(Math.abs(low) * 1e-3, 1e-12);
  if (!present) return [low, high];
  const size = high - low;
  const near = Math.abs(present[0] - low) < 0.15 * size && Math.abs(present[1] - high) < 0.2 * size;
  return near ? present : [low, high];
}

/** Fill `out` with the colors of `data`; small integers go through a table of all their values. */
export function paint(data: Numbers, out: Uint32Array, limits: Limits, table: Uint32Array, invalid: number | null): void {
  const last = STEPS - 1;
  const color = (value: number): number => {
    if (value === invalid || value !== value) return INVALID;
    const place = fraction(value, limits) * last;
    return table[place <= 0 ? 0 : place >= last ? last : Math.round(place)]!;
  };
  if (data.BYTES_PER_ELEMENT <= 2 && data.length > 20_000) {
    const offset = data instanceof Int16Array || data instanceof Int8Array ? 2 ** (8 * data.BYTES_PER_ELEMENT - 1) : 0;
    const all = new Uint32Array(2 ** (8 * data.BYTES_PER_ELEMENT));
    for (let value = 0; value < all.length; value++) all[value] = color(value - offset);
    for (let i = 0; i < data.length; i++) out[i] = all[data[i]! + offset]!;
  } else {
    for (let i = 0; i < data.length; i++) out[i] = color(data[i]!);
  }
}

/** Counts of a sample of the values between two limits, in n bins; for the color bar. */
export function histogram(data: Numbers, limits: Limits, n: number, invalid: number | null): Uint32Array {
  const counts = new Uint32Array(n);
  const step = Math.max(1, Math.floor(data.length / 40_000));
  for (let i = 0; i < data.length; i += step) {
    const value = data[i]!;
    if (value === invalid) continue;
    const bin = Math.floor(fraction(value, limits) * n);
    if (bin >= 0 && bin < n) counts[bin]! += 1;
  }
  return counts;
}
