/** The list of regions: value, curve and histogram of each; name, color, quantity, denominator; pump–probe. */

import { freeColor } from "./colors.ts";
import { button, choice, el, setText } from "./elements.ts";
import { plain, short } from "./numbers.ts";
import { type Page, attempt, changeRegion, labelOf } from "./page.ts";
import type { Region, Side, Split } from "./protocol.ts";
import { drawSpark } from "./small_views.ts";

interface Card {
  region: Region;
  root: HTMLElement;
  renew(): void;
}

export class RegionDock {
  readonly root = el("section", { class: "dock-page" });
  private cards: Card[] = [];
  private built = "";
  private readonly unfolded = new Set<string>();

  constructor(private readonly page: Page) {
    page.store.on(["regions", "tree"], () => this.build());
    page.store.on(["points", "series", "history"], () => page.drawSoon(this));
    this.build();
  }

  draw(): void {
    if (this.root.isConnected) this.cards.forEach((card) => card.renew());
  }

  select(id: string | null): void {
    this.cards.forEach(({ region, root }) => {
      root.classList.toggle("selected", region.id === id);
      if (region.id === id) root.scrollIntoView({ block: "nearest" });
    });
  }

  private build(): void {
    if (this.root.contains(document.activeElement) && document.activeElement?.matches("input[type=text], input[type=number]")) return;
    const regions = this.page.store.state.regions ?? [];
    // Built anew only where something changed: a choice that is open would close.
    const key = JSON.stringify([regions, this.page.store.numberPaths(), this.page.mayChange]);
    if (key === this.built) return;
    this.built = key;
    this.cards = regions.map((region) => this.card(region));
    const hint = el("p", { class: "hint" }, "Draw a rectangle, polygon or ring on an image: its sum over the full-resolution pixels is followed from then on, by everybody who looks.");
    const held = this.root.contains(document.activeElement) ? document.activeElement : null;
    const id = held?.closest("[data-region]")?.getAttribute("data-region"), label = held?.getAttribute("aria-label");
    this.root.replaceChildren(hint, ...this.cards.map((card) => card.root), ...this.addValue());
    if (id && label) this.root.querySelector<HTMLElement>(`[data-region="${CSS.escape(id)}"] [aria-label="${CSS.escape(label)}"]`)?.focus();
    this.select(this.page.selectedRegion);
    this.page.drawSoon(this);
  }

  private card(region: Region): Card {
    const { page } = this;
    const { store } = page;
    const change = (changes: Partial<Region>): void => void changeRegion(page, region.id, changes);
    const off = !page.mayChange;
    const name = el("input", { type: "text", value: region.name, maxlength: 60, disabled: off, "aria-label": "name", onchange: () => (name.blur(), change({ name: name.value })) });
    const color = el("input", { type: "color", value: region.color, disabled: off, "aria-label": "color", onchange: () => change({ color: color.value }) });
    const value = el("output"), detail = el("small", { class: "dim" }), note = el("p", { class: "problem", hidden: true });
    const spark = el("canvas", { class: "spark", title: "value against event number" }), bars = el("canvas", { class: "spark", title: "histogram of the pixels" });
    const numbers = store.numberPaths().map((path): [string, string] => [path, `÷ ${labelOf(path, store)}`]);
    const quantity = choice("quantity", ["sum", "mean"], region.quantity, (given) => change({ quantity: given as "sum" | "mean" }));
    const denominator = choice("divided by", [["", "not divided"], ...numbers], region.denominator ?? "", (path) => change({ denominator: path || null }));
    quantity.disabled = denominator.disabled = off;
    const pump = pumpProbe(page, region, change, this.unfolded);
    const plot = (kind: "history" | "histogram") => () => page.addPanel(kind, [`region:${region.id}`]);
    const root = el("article", { class: "card", "data-region": region.id, onfocusin: () => page.selectRegion(region.id) },
      el("div", { class: "row" }, color, name, value,
        off ? null : button("trash", "Remove the region", () => void attempt(page.api.call("DELETE", `regions/${region.id}`)))),
      note, el("div", { class: "row two" }, spark, bars), detail,
      el("div", { class: "row" }, quantity, denominator),
      el("div", { class: "row" }, button("chart", "Plot its curve", plot("history"), "Curve"), button("chart", "Plot its histogram", plot("histogram"), "Histogram")), pump.root);
    const renew = (): void => {
      const point = store.points[region.id];
      const series = store.seriesOf(`region:${region.id}`);
      setText(value, short(point?.value ?? series.last, 5));
      setText(detail, point ? `event ${point.event_number ?? "–"} · ${point.n_pixels} px · sum ${short(point.sum)} · mean ${short(point.mean)}` : region.image);
      note.hidden = !point?.problem;
      setText(note, point?.problem ?? "");
      drawSpark(spark, series, region.color);
      drawBars(bars, point?.histogram?.counts ?? [], region.color);
      pump.renew();
    };
    return { region, root, renew };
  }

  /** A published number or curve may be followed like a region: no shape, but pump–probe and division. */
  private addValue(): HTMLElement[] {
    const { store } = this.page;
    if (!this.page.mayChange) return [];
    const paths = (store.state.tree ?? []).filter((node) => node.plot === "number" || node.plot === "curve").map((node) => node.path);
    return [choice("follow a published value", [["", "Follow a published value …"], ...paths.map((path): [string, string] => [path, labelOf(path, store)])], "", (path) => {
      const taken = new Set(store.state.regions?.map((region) => region.name));
      let name = labelOf(path, store).slice(0, 50);
      while (taken.has(name)) name += "'";
      void attempt(this.page.api.call("POST", "regions", { name, kind: "value", image: path, color: freeColor(store.state.regions ?? []), quantity: "mean", denominator: null, events: null, split: null }));
    })];
  }
}

function drawBars(canvas: HTMLCanvasElement, counts: number[], color: string): void {
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d")!;
  context.fillStyle = color;
  const most = Math.log1p(Math.max(...counts, 1));
  counts.forEach((count, index) => {
    const bar = (Math.log1p(count) / most) * height;
    context.fillRect((index / counts.length) * width, height - bar, Math.max(width / counts.length - 0.5, 1), bar);
  });
}

/** On and off by a scalar, binned by a delay; and the three figures that operators look at. */
function pumpProbe(page: Page, region: Region, change: (changes: Partial<Region>) => void, unfolded: Set<string>): { root: HTMLElement; renew(): void } {
  const { store } = page;
  const split: Split = region.split ?? { on: null, above: 0.5, delay: null, low: -1, high: 5, n_bins: 30 };
  const numbers: [string, string][] = store.numberPaths().map((path) => [path, labelOf(path, store)]);
  const set = (changes: Partial<Split>): void => {
    const next = { ...(store.region(region.id)?.split ?? split), ...changes };
    change({ split: next.on || next.delay ? next : null });
  };
  const number = (key: "above" | "low" | "high" | "n_bins", label: string) => {
    const box: HTMLInputElement = el("input", { type: "number", step: "any", value: split[key], disabled: !page.mayChange, onchange: () => (box.blur(), set({ [key]: Number(box.value) })) });
    return el("label", {}, label, box);
  };
  const on = choice("laser on by", [["", "all on"], ...numbers], split.on ?? "", (path) => set({ on: path || null }));
  const delay = choice("delay", [["", "not binned"], ...numbers], split.delay ?? "", (path) => set({ delay: path || null }));
  on.disabled = delay.disabled = !page.mayChange;
  const result = el("dl", { class: "facts" });
  const id = `region:${region.id}`;
  const figures = button("chart", "Region against I0, against delay, against event number", () => {
    if (region.denominator) page.addPanel("scatter", [id, region.denominator]);
    if (split.delay) page.addPanel("delay", [id], `${region.name} against delay`);
    page.addPanel("history", [id]);
  }, "Three figures");
  const root: HTMLDetailsElement = el("details", { ontoggle: () => (root.open ? unfolded.add(region.id) : unfolded.delete(region.id)) }, el("summary", {}, "Pump–probe"),
    el("div", { class: "form" }, el("label", {}, "on by", on), number("above", "above"), el("label", {}, "delay", delay),
      number("low", "from"), number("high", "to"), number("n_bins", "bins")), result, figures);
  root.open = region.split !== null || unfolded.has(region.id);
  const renew = (): void => {
    const found = store.points[region.id]?.split;
    if (!found) return result.replaceChildren();
    const side = (name: string, { mean, n, error }: Side) => [el("dt", {}, name), el("dd", {}, mean === null ? "–" : plain(mean, error), el("small", {}, ` n ${n}`))];
    const difference = found.difference === null ? [] : [el("dt", {}, "on − off"), el("dd", {}, plain(found.difference, found.difference_error))];
    result.replaceChildren(...side("on", found.on), ...side("off", found.off), ...difference);
  };
  return { root, renew };
}
