/** Tiles of numbers with their history, tables, and text. */

import { el, setText } from "./elements.ts";
import type { Panel } from "./layout.ts";
import { short } from "./numbers.ts";
import { type Page, type View, cssColor, lastName, unitOf } from "./page.ts";
import type { Message, Plot, Want } from "./protocol.ts";
import type { Series } from "./series.ts";

export class NumberView implements View {
  readonly root: HTMLElement;
  private readonly value = el("b");
  private readonly unit = el("small");
  private readonly spark = el("canvas", { class: "spark", "aria-hidden": "true" });
  private readonly end: () => void;

  constructor(private readonly page: Page, private readonly panel: Panel) {
    this.root = el("div", { class: "tile" }, el("p", {}, this.value, " ", this.unit), this.spark);
    this.end = page.store.on(["numbers", "series", "history", "tree"], () => page.drawSoon(this));
    page.drawSoon(this);
  }

  wants(): Want[] {
    return []; // numbers come with every turn
  }

  draw(): void {
    const path = this.panel.paths[0] ?? "";
    const known = this.page.store.numbers[path];
    setText(this.value, short(known === undefined ? this.page.store.seriesOf(path).last : known, 5));
    setText(this.unit, unitOf(path, this.page.store));
    drawSpark(this.spark, this.page.store.seriesOf(path), cssColor("--c1"));
  }

  canvas(): HTMLCanvasElement {
    const canvas = el("canvas", { width: 480, height: 160 });
    const context = canvas.getContext("2d")!;
    context.fillStyle = cssColor("--ink");
    context.font = "600 40px system-ui, sans-serif";
    context.fillText(`${this.value.textContent ?? ""} ${this.unit.textContent ?? ""}`, 8, 48);
    context.drawImage(this.spark, 0, 64, 480, 96);
    return canvas;
  }

  themed(): void {
    this.draw();
  }

  close(): void {
    this.end();
  }
}

/** Draw the newest few hundred values as a line without axes. */
export function drawSpark(canvas: HTMLCanvasElement, series: Series, color: string, n = 300): void {
  const width = Math.round(canvas.clientWidth * devicePixelRatio), height = Math.round(canvas.clientHeight * devicePixelRatio);
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d")!;
  context.clearRect(0, 0, width, height);
  const values = series.value.slice(-n);
  const finite = values.filter((value) => value !== null);
  if (finite.length < 2) return;
  const low = Math.min(...finite), span = Math.max(...finite) - low || 1;
  context.strokeStyle = color;
  context.lineWidth = 1.2 * devicePixelRatio;
  context.lineJoin = "round";
  context.beginPath();
  values.forEach((value, index) => {
    if (value !== null) context.lineTo((index / (values.length - 1)) * width, height - 2 - ((value - low) / span) * (height - 4));
  });
  context.stroke();
}

export class TextView implements View {
  readonly root = el("div", { class: "scroll" });

  constructor(_page: Page, private readonly panel: Panel) {}

  wants(): Want[] {
    const kind = this.panel.kind === "table" ? "table" : "text";
    return this.panel.paths.slice(0, 1).map((path) => ({ id: `${this.panel.id}.0`, path, kind }));
  }

  take(plot: Plot, message: Message): void {
    if (plot.kind === "text") return this.root.replaceChildren(el("pre", {}, plot.text));
    const columns = plot.fields.map((field) => field.texts ?? [...(message.blocks.get(field.buffer ?? "")?.data ?? [])].map((value) => short(value, 6)));
    const first = plot.rows?.[0] ?? 0;
    const words = plot.fields.map((field) => (field.texts ? "words" : ""));
    const rows = (columns[0] ?? []).map((_, row) => el("tr", {}, el("th", {}, String(first + row)), ...columns.map((column, index) => el("td", { class: words[index] ?? "" }, column[row] ?? ""))));
    const head = el("tr", {}, el("th"), ...plot.fields.map((field, index) => el("th", { class: words[index] ?? "" }, field.name || lastName(plot.path))));
    const atEnd = this.root.scrollTop + this.root.clientHeight >= this.root.scrollHeight - 8;
    this.root.replaceChildren(el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)));
    if (atEnd) this.root.scrollTop = this.root.scrollHeight;
  }

  draw(): void {}

  close(): void {}
}
