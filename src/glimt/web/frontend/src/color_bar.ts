/** Color map and limits of an image: the values' histogram over the map, two limits to pull, log, automatic. */

import { COLOR_MAPS, type Limits, colorTable, fraction, histogram, steady, valueAt } from "./colors.ts";
import { choice, el, toggle } from "./elements.ts";
import { short } from "./numbers.ts";
import { cssColor } from "./page.ts";
import type { Numbers } from "./protocol.ts";

const MARGIN = 0.12;

export class ColorBar {
  readonly root: HTMLElement;
  private readonly maps: HTMLSelectElement;
  private readonly isLog: HTMLLabelElement;
  private readonly tables = new Map<string, Uint32Array>();
  private readonly bar = el("canvas", { class: "colors", title: "pull the limits; double-click: automatic" });
  private readonly low = this.limitBox("lower limit", 0);
  private readonly high = this.limitBox("upper limit", 1);
  private readonly automatic: HTMLLabelElement;
  private shown: [number, number] | null = null;
  private data: Numbers | null = null;
  private invalid: number | null = null;
  private held: Limits | null = null;

  /** `published` says what the image's attributes give where the user has chosen nothing. */
  constructor(private readonly settings: Record<string, unknown>, private readonly published: (key: string) => unknown,
    private readonly changed: (byUser: boolean) => void) {
    this.maps = choice("color map", COLOR_MAPS, this.mapName, (name) => this.set("colors", name));
    this.isLog = toggle("log", this.limits.log, (on) => this.set("log", on));
    this.automatic = toggle("auto", this.isAutomatic, (on) => this.fix(on ? null : this.shown));
    this.root = el("div", { class: "color-bar" }, this.low, this.bar, this.high, this.automatic, this.isLog, this.maps);
    this.bar.addEventListener("pointerdown", (event) => this.pull(event));
    this.bar.addEventListener("dblclick", () => this.fix(null));
  }

  get limits(): Limits {
    const [low, high] = this.shown ?? (this.settings["limits"] as [number, number] | undefined) ?? [0, 1];
    return { low, high, log: Boolean(this.settings["log"] ?? this.published("log")) };
  }

  get table(): Uint32Array {
    const name = this.mapName;
    if (!this.tables.has(name)) this.tables.set(name, colorTable(name));
    return this.tables.get(name)!;
  }

  /** Take new pixels; moves automatic limits if they are off. */
  take(data: Numbers, low: number | null, high: number | null, invalid: number | null): void {
    this.data = data;
    this.invalid = invalid;
    const fixed = this.settings["limits"] as [number, number] | undefined;
    this.shown = fixed ?? (low === null || high === null ? this.shown : steady(this.shown, low, high));
  }

  draw(): void {
    const { low, high } = this.limits;
    for (const [box, value] of [[this.low, low], [this.high, high]] as const) {
      if (document.activeElement !== box) box.value = short(value, 4).replace("\u2009", "");
    }
    (this.automatic.firstChild as HTMLInputElement).checked = this.isAutomatic;
    (this.isLog.firstChild as HTMLInputElement).checked = this.limits.log;
    if (document.activeElement !== this.maps) this.maps.value = this.mapName;
    const width = this.bar.clientWidth, height = this.bar.clientHeight, table = this.table;
    if (!width) return;
    Object.assign(this.bar, { width, height });
    const context = this.bar.getContext("2d")!;
    const span = this.span();
    const counts = this.data ? histogram(this.data, span, width, this.invalid) : new Uint32Array(width);
    const most = Math.log1p(Math.max(...counts, 1));
    for (let x = 0; x < width; x++) {
      const place = fraction(valueAt(x / width, span), this.limits) * 255;
      const color = table[Math.min(Math.max(Math.round(place), 0), 255)]!;
      context.fillStyle = `rgb(${color & 255} ${(color >> 8) & 255} ${(color >> 16) & 255})`;
      context.fillRect(x, height - 7, 1, 7);
      context.fillStyle = cssColor("--dim");
      const bar = (Math.log1p(counts[x]!) / most) * (height - 9);
      context.fillRect(x, height - 8 - bar, 1, bar);
    }
    context.fillStyle = cssColor("--accent");
    for (const value of [low, high]) context.fillRect(Math.round(fraction(value, span) * width) - 1, 0, 2, height);
  }

  private get mapName(): string {
    const name = String(this.settings["colors"] ?? this.published("colors"));
    return COLOR_MAPS.includes(name) ? name : "viridis";
  }

  private get isAutomatic(): boolean {
    return !Array.isArray(this.settings["limits"]);
  }

  /** Values at the ends of the bar: somewhat beyond the limits. */
  private span(): Limits {
    if (this.held) return this.held;
    const limits = this.limits;
    return { low: limits.log ? limits.low : valueAt(-MARGIN, limits), high: valueAt(1 + 2 * MARGIN, limits), log: limits.log };
  }

  private set(key: string, value: unknown): void {
    this.settings[key] = value;
    this.changed(true);
  }

  private fix(limits: [number, number] | null): void {
    if (limits) this.settings["limits"] = this.shown = limits;
    else delete this.settings["limits"];
    this.changed(true);
  }

  private limitBox(label: string, index: 0 | 1): HTMLInputElement {
    const box = el("input", { type: "text", inputmode: "decimal", class: "limit", "aria-label": label, title: label, onchange: () => {
      const { low, high } = this.limits;
      const limits: [number, number] = [low, high];
      limits[index] = Number(box.value);
      if (Number.isFinite(limits[index]) && limits[0] < limits[1]) this.fix(limits);
      box.blur();
      this.changed(false);
    } });
    return box;
  }

  private pull(event: PointerEvent): void {
    this.held = this.span();
    const place = (at: PointerEvent) => at.offsetX / this.bar.clientWidth;
    const { low, high } = this.limits;
    const isLow = Math.abs(fraction(low, this.held) - place(event)) < Math.abs(fraction(high, this.held) - place(event));
    const move = (at: PointerEvent): void => {
      const value = valueAt(Math.min(Math.max(place(at), 0), 1), this.held!);
      const limits: [number, number] = isLow ? [value, this.limits.high] : [this.limits.low, value];
      if (limits[0] < limits[1]) this.fix(limits);
    };
    this.bar.setPointerCapture(event.pointerId);
    this.bar.onpointermove = move;
    this.bar.onpointerup = this.bar.onpointercancel = () => {
      this.bar.onpointermove = null;
      this.held = null;
      this.changed(false);
    };
  }
}
