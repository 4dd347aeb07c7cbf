/** Curves over a common x axis: uPlot, with log axes, cursor values, error bars and the colors of the page. */

import uPlot from "uplot";
import { el } from "./elements.ts";
import { short, tickText } from "./numbers.ts";
import { cssColor, seriesColor } from "./page.ts";

export interface Line {
  label: string;
  x: ArrayLike<number>;
  y: ArrayLike<number | null>;
  color?: string;
  unit?: string;
  error?: (number | null)[];
}

export interface Axes {
  xLabel: string;
  yLabel: string;
  logX?: boolean;
  logY?: boolean;
  style?: "line" | "points" | "steps";
}

export class Chart {
  readonly root = el("div", { class: "chart" });
  private plot: uPlot | null = null;
  private key = "";
  private zoomed = false;
  private errors: (number | null)[][] = [];
  private readonly observer = new ResizeObserver(() => this.fit());

  constructor() {
    this.observer.observe(this.root);
  }

  set(lines: Line[], axes: Axes): void {
    const key = JSON.stringify([axes, lines.map((line) => [line.label, line.color, line.unit])]);
    const data = aligned(lines, axes);
    this.errors = lines.map((line) => line.error ?? []);
    if (!this.plot || key !== this.key) {
      this.plot?.destroy();
      this.key = key;
      this.zoomed = false;
      this.plot = new uPlot(this.options(lines, axes), data, this.root);
      this.fit();
      requestAnimationFrame(() => this.fit());
    } else {
      this.plot.setData(data, !this.zoomed);
      if (this.zoomed) this.plot.redraw();
    }
  }

  /** Draw anew in the colors of the present theme. */
  themed(): void {
    this.key = "";
  }

  canvas(): HTMLCanvasElement | null {
    return this.plot?.ctx.canvas ?? null;
  }

  close(): void {
    this.observer.disconnect();
    this.plot?.destroy();
  }

  private fit(): void {
    const width = this.root.clientWidth - 10;
    if (!this.plot || width < 20) return;
    // The legend is as wide as the plot, and so its height is known only after.
    if (width !== this.plot.width) this.plot.setSize({ width, height: this.plot.height });
    const height = this.root.clientHeight - (this.root.querySelector<HTMLElement>(".u-legend")?.offsetHeight ?? 0);
    if (height > 20 && height !== this.plot.height) this.plot.setSize({ width, height });
  }

  private options(lines: Line[], axes: Axes): uPlot.Options {
    const grid = { stroke: cssColor("--line"), width: 1 };
    const axis = (label: string, isY: boolean): uPlot.Axis => ({
      stroke: cssColor("--dim"), grid, ticks: { ...grid, size: 4 }, font: "11px system-ui, sans-serif", gap: 3,
      size: (_, ticks) => (isY ? 14 + 6.5 * Math.max(3, ...(ticks ?? []).map((tick) => tick.length)) : 22),
      values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : tickText(tick))), ...(label ? { label, labelFont: "11px system-ui, sans-serif", labelSize: 14, labelGap: 0 } : {}),
    });
    const points = axes.style === "points";
    return {
      width: Math.max(this.root.clientWidth, 60), height: Math.max(this.root.clientHeight - 24, 60), pxAlign: 0,
      scales: { x: { time: false, distr: axes.logX ? 3 : 1 }, y: { distr: axes.logY ? 3 : 1 } },
      axes: [axis(axes.xLabel, false), axis(axes.yLabel, true)],
      legend: { live: true, markers: { width: 2 } },
      cursor: { drag: { x: true, y: false }, points: { size: 6 } },
      series: [
        { label: axes.xLabel || "x", value: (_, value) => short(value, 6) },
        ...lines.map((line, index): uPlot.Series => ({
          label: line.label, stroke: line.color ?? seriesColor(index), width: points ? 0 : 1.4, spanGaps: true,
          value: (_, value) => `${short(value, 5)}${line.unit ? ` ${line.unit}` : ""}`,
          points: { show: points || undefined as unknown as boolean, size: points ? 5 : 4 },
          ...(points ? { paths: () => null } : axes.style === "steps" ? { paths: uPlot.paths.stepped!({ align: 1 }), fill: `${line.color ?? seriesColor(index)}33` } : {}),
        })),
      ],
      hooks: {
        setSelect: [(plot) => void (this.zoomed = plot.select.width > 0)],
        ready: [(plot) => plot.over.addEventListener("dblclick", () => (this.zoomed = false))],
        draw: [(plot) => this.errors.forEach((errors, index) => drawErrors(plot, errors, index + 1, lines[index]!.color ?? seriesColor(index)))],
      },
    };
  }
}

function drawErrors(plot: uPlot, errors: (number | null)[], index: number, color: string): void {
  const context = plot.ctx;
  context.strokeStyle = color;
  context.lineWidth = devicePixelRatio;
  context.beginPath();
  errors.forEach((error, at) => {
    const x = plot.data[0][at], y = plot.data[index]?.[at];
    if (error === null || x === undefined || y === null || y === undefined) return;
    const left = plot.valToPos(x, "x", true);
    context.moveTo(left, plot.valToPos(y - error, "y", true));
    context.lineTo(left, plot.valToPos(y + error, "y", true));
  });
  context.stroke();
}

/** Columns for uPlot: x once, then each line; what is not finite, or has no logarithm, is a gap. */
export function aligned(lines: Line[], axes: Axes): uPlot.AlignedData {
  const clean = (values: ArrayLike<number | null>, isLog: boolean | undefined): (number | null)[] =>
    Array.from(values, (value) => (value === null || !Number.isFinite(value) || (isLog && value <= 0) ? null : value));
  const tables = lines.map((line): [number[], (number | null)[]] => {
    const x = clean(line.x, axes.logX), y = clean(line.y, axes.logY);
    return [x.filter((value) => value !== null), y.filter((_, index) => x[index] !== null && index < x.length)];
  });
  const first = tables[0]?.[0] ?? [];
  const same = tables.every(([x]) => x.length === first.length && x.every((value, index) => value === first[index]));
  if (same) return [first, ...tables.map((table) => table[1])];
  return uPlot.join(tables.map(([x, y]) => {
    const order = x.map((_, index) => index).sort((a, b) => x[a]! - x[b]!);
    return [order.map((index) => x[index]!), order.map((index) => y[index] ?? null)];
  }));
}
