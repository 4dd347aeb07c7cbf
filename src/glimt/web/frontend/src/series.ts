/** What is known of a number or a region over time; grows at the end, thins its older half where it gets long. */

import type { Block } from "./protocol.ts";

const LONGEST = 6000;

export class Series {
  time: number[] = [];
  event: (number | null)[] = [];
  value: (number | null)[] = [];

  clear(): void {
    this.time = [];
    this.event = [];
    this.value = [];
  }

  get length(): number {
    return this.time.length;
  }

  get last(): number | null {
    return this.value[this.value.length - 1] ?? null;
  }

  /** Add rows (time, event number, value) that are newer than what is there. */
  append(block: Block): void {
    const newest = this.time[this.length - 1] ?? -Infinity;
    for (let i = 0; i + 2 < block.data.length; i += 3) {
      const time = block.data[i]!, event = block.data[i + 1]!, value = block.data[i + 2]!;
      if (time <= newest) continue;
      this.time.push(time);
      this.event.push(Number.isFinite(event) ? event : null);
      this.value.push(Number.isFinite(value) ? value : null);
    }
    if (this.length > LONGEST) this.thin();
  }

  /** Take the history of a server; what is older than it stays, for a server that was restarted begins anew. */
  merge(block: Block): void {
    const first = block.data[0] ?? Infinity;
    const kept = this.time.findIndex((time) => time >= first);
    if (kept >= 0) this.keep((index) => index < kept);
    this.append(block);
  }

  private thin(): void {
    const half = this.length >> 1;
    this.keep((index) => index >= half || index % 2 === 0);
  }

  private keep(wanted: (index: number) => boolean): void {
    const chosen = <T>(list: T[]): T[] => list.filter((_, index) => wanted(index));
    [this.time, this.event, this.value] = [chosen(this.time), chosen(this.event), chosen(this.value)];
  }
}

/** Pairs (x, y) of two series at the same event (the same time where there is no event number). */
export function pairs(x: Series, y: Series): [number[], number[]] {
  const known = new Map<number, number>();
  const key = (series: Series, index: number) => series.event[index] ?? series.time[index]!;
  x.value.forEach((value, index) => {
    if (value !== null) known.set(key(x, index), value);
  });
  const found: [number, number][] = [];
  y.value.forEach((value, index) => {
    const partner = known.get(key(y, index));
    if (value !== null && partner !== undefined) found.push([partner, value]);
  });
  found.sort((a, b) => a[0] - b[0]);
  return [found.map((pair) => pair[0]), found.map((pair) => pair[1])];
}
