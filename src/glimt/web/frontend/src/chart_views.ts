/** Plots that are charts: published curves, history, histogram, scatter, and values binned by delay. */

import { Chart, type Axes, type Line } from "./chart.ts";
import type { Panel } from "./layout.ts";
import type { MenuEntry } from "./menu.ts";
import { type Page, type View, labelOf, seriesColor, unitOf } from "./page.ts";
import type { Message, Numbers, Plot, Want } from "./protocol.ts";
import { pairs } from "./series.ts";
import type { Topic } from "./store.ts";

interface Curve {
  plot: Plot;
  x: Numbers | number[];
  rows: Numbers[];
}

export class ChartView implements View {
  readonly root: HTMLElement;
  private readonly chart = new Chart();
  private readonly curves = new Map<string, Curve>();
  private readonly end: () => void;

  constructor(private readonly page: Page, private readonly panel: Panel) {
    this.root = this.chart.root;
    const topics: Topic[] = panel.kind === "curve" ? ["connection"] : ["series", "points", "history", "regions"];
    this.end = page.store.on(topics, () => page.drawSoon(this));
    page.drawSoon(this);
  }

  wants(): Want[] {
    if (this.panel.kind !== "curve") return [];
    const points = Math.max(256, Math.round(this.root.clientWidth * devicePixelRatio * 2));
    return this.panel.paths.map((path, index) => ({
      id: `${this.panel.id}.${index}`, path, kind: "curve", size: [32, Math.min(Math.ceil(points / 256) * 256, 8192)],
    }));
  }

  take(plot: Plot, message: Message): void {
    const y = message.blocks.get(plot.y);
    if (!y) return;
    const n = y.shape[y.shape.length - 1] ?? 0;
    const rows = Array.from({ length: n ? y.data.length / n : 0 }, (_, row) => y.data.subarray(row * n, (row + 1) * n));
    const x = plot.x === null ? undefined : message.blocks.get(plot.x)?.data;
    this.curves.set(plot.path, { plot, rows, x: x ?? Array.from({ length: n }, (_, i) => (plot.x0 ?? 0) + i * (plot.step ?? 1)) });
    this.page.drawSoon(this);
  }

  draw(): void {
    if (!this.root.isConnected) return;
    const [lines, axes] = this.content();
    const { log_x: logX, log_y: logY } = this.panel.settings;
    const preset = this.panel.kind === "curve" && this.page.store.node(this.panel.paths[0] ?? "")?.attributes?.["log"];
    this.chart.set(lines, { ...axes, logX: Boolean(logX), logY: logY === undefined ? Boolean(preset) : Boolean(logY) });
  }

  menu(): MenuEntry[] {
    const entry = (label: string, key: string): MenuEntry => ({
      label, checked: Boolean(this.panel.settings[key]),
      run: () => {
        this.panel.settings[key] = !this.panel.settings[key];
        this.page.edited();
        this.draw();
      },
    });
    return [entry("Logarithmic y", "log_y"), entry("Logarithmic x", "log_x"),
      ...(this.panel.kind === "history" ? [entry("Against time", "time"), entry("Points", "points")] : [])];
  }

  canvas(): HTMLCanvasElement | null {
    return this.chart.canvas();
  }

  themed(): void {
    this.chart.themed();
    this.draw();
  }

  close(): void {
    this.end();
    this.chart.close();
  }

  private content(): [Line[], Axes] {
    if (this.panel.kind === "curve") return this.curveContent();
    if (this.panel.kind === "scatter") return this.scatter();
    if (this.panel.kind === "history") return this.history();
    return this.ofPoint();
  }

  private curveContent(): [Line[], Axes] {
    const { store } = this.page;
    const lines: Line[] = [];
    for (const path of this.panel.paths) {
      const curve = this.curves.get(path);
      curve?.rows.forEach((y, row) =>
        lines.push({ label: labelOf(path, store) + (curve.rows.length > 1 ? ` [${row}]` : ""), x: curve.x, y, unit: unitOf(path, store) }));
    }
    const path = this.panel.paths[0] ?? "";
    return [lines, { xLabel: xLabelOf(this.page, path), yLabel: unitOf(path, store) }];
  }

  private seriesPaths(): string[] {
    const regions = this.page.store.state.regions ?? [];
    return this.panel.paths.flatMap((path) => (path === "region:*" ? regions.map((region) => `region:${region.id}`) : [path]));
  }

  private history(): [Line[], Axes] {
    const { store } = this.page;
    const byTime = Boolean(this.panel.settings["time"]);
    const paths = this.seriesPaths();
    const now = paths.reduce((latest, path) => Math.max(latest, store.seriesOf(path).time.at(-1) ?? 0), 0);
    const lines = paths.map((path, index): Line => {
      const series = store.seriesOf(path);
      const region = path.startsWith("region:") ? store.region(path.slice(7)) : undefined;
      const from = byTime ? 0 : series.event.reduce((start: number, event, at) => (at > 0 && event !== null && event < (series.event[at - 1] ?? event) ? at : start), 0);
      const x = byTime ? series.time.map((time) => time - now) : series.event.map((event, at) => event ?? at);
      return {
        label: labelOf(path, store), unit: unitOf(path, store), x: x.slice(from), y: series.value.slice(from),
        color: region?.color ?? seriesColor(index),
      };
    });
    const regions = store.state.regions ?? [];
    const one = paths.length === 1 ? regions.find((region) => paths[0] === `region:${region.id}`) : undefined;
    const yLabel = one ? `${one.quantity}${one.denominator ? ` / ${labelOf(one.denominator, store)}` : ""}` : unitOf(paths[0] ?? "", store);
    return [lines, { xLabel: byTime ? "s" : "event number", yLabel, style: this.panel.settings["points"] ? "points" : "line" }];
  }

  private scatter(): [Line[], Axes] {
    const [yPath = "", xPath = ""] = this.panel.paths;
    const { store } = this.page;
    const [x, y] = pairs(store.seriesOf(xPath), store.seriesOf(yPath));
    const [xLabel, yLabel] = [labelOf(xPath, store), labelOf(yPath, store)];
    return [[{ label: yLabel, x, y }], { xLabel: withUnit(xLabel, unitOf(xPath, store)), yLabel, style: "points" }];
  }

  private ofPoint(): [Line[], Axes] {
    const { store } = this.page;
    const id = (this.panel.paths[0] ?? "").slice(7);
    const point = store.points[id], region = store.region(id);
    if (this.panel.kind === "histogram") {
      const histogram = point?.histogram;
      const n = histogram?.counts.length ?? 0;
      const x = Array.from({ length: n }, (_, i) => histogram!.low + ((histogram!.high - histogram!.low) * i) / n);
      const color = region?.color ?? seriesColor(0);
      return [[{ label: "pixels", x, y: histogram?.counts ?? [], color }], { xLabel: "pixel value", yLabel: "", style: "steps" }];
    }
    const bins = point?.split?.bins;
    const x = bins?.edges.slice(1).map((edge, i) => (edge + bins.edges[i]!) / 2) ?? [];
    const delay = region?.split?.delay ?? "";
    const line = (label: string, side: "on" | "off", color: string): Line =>
      ({ label, x, y: bins?.[side].mean ?? [], error: bins?.[side].error ?? [], color });
    const lines = [line("on", "on", region?.color ?? seriesColor(0)), ...(region?.split?.on ? [line("off", "off", seriesColor(2))] : [])];
    return [lines, { xLabel: withUnit(labelOf(delay, store) || "delay", unitOf(delay, store)), yLabel: region?.name ?? "", style: "points" }];
  }
}

function withUnit(label: string, unit: string): string {
  return unit ? `${label} [${unit}]` : label;
}

/** Name and unit of a curve's x values: those of the `x` it names, else what its `axes` say. */
function xLabelOf(page: Page, path: string): string {
  const attributes = page.store.node(path)?.attributes ?? {};
  const given = attributes["x"], axes = attributes["axes"];
  if (typeof given === "string") {
    const full = given.startsWith("/") ? given : `${path.slice(0, path.lastIndexOf("/"))}/${given}`;
    return withUnit(given.slice(given.lastIndexOf("/") + 1), unitOf(full, page.store));
  }
  return Array.isArray(axes) ? String(axes.at(-1) ?? "") : typeof axes === "string" ? axes : "index";
}
