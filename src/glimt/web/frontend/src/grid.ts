/** The grid of plots: add, remove, move, resize, by pointer and by keys. */

import { ChartView } from "./chart_views.ts";
import { button, el, setText, toast } from "./elements.ts";
import { ImageView } from "./image_view.ts";
import { COLUMNS, type Panel, spanOn } from "./layout.ts";
import { type MenuEntry, openMenu } from "./menu.ts";
import { duration } from "./numbers.ts";
import { type Page, type View, attempt, cssColor, download, lastName, titleOf } from "./page.ts";
import type { Message, Plot, Want } from "./protocol.ts";
import { NumberView, TextView } from "./small_views.ts";

const STALE_S = 5;
const MOST_WANTS = 64; // of one viewer, by the server
const LEFT_OUT = `only ${MOST_WANTS} plots are drawn at a time, and this one is left out: scroll, or remove others`;
const ROW_PX = 42;
const TYPES: Record<string, string> = { csv: "CSV", h5: "HDF5", npy: "NumPy" };

interface Shown {
  panel: Panel;
  view: View;
  root: HTMLElement;
  title: HTMLElement;
  pill: HTMLElement;
  problem: HTMLElement;
  visible: boolean;
  changedAt: number;
  event: number | null;
}

export class Grid {
  readonly root = el("main", { class: "grid", "aria-label": "plots" });
  private readonly shown = new Map<string, Shown>();
  private panels: Panel[] = [];
  private columns = COLUMNS;
  private readonly inSight = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const shown = [...this.shown.values()].find((each) => each.root === entry.target);
      if (shown) shown.visible = entry.isIntersecting;
    }
    this.page.wantsChanged();
  }, { rootMargin: "120px" });

  constructor(private readonly page: Page) {
    new ResizeObserver(() => this.arrange()).observe(this.root);
    page.store.on(["tree", "regions"], () => this.shown.forEach(({ title, panel }) => setText(title, titleOf(panel, page.store))));
    page.store.onPlot((plot, message) => this.take(plot, message));
    window.setInterval(() => this.freshen(), 500);
  }

  /** Show these plots; those that stay keep what they show. */
  set(panels: Panel[]): void {
    this.panels = panels;
    const ids = new Set(panels.map((panel) => panel.id));
    for (const [id, shown] of this.shown) {
      if (ids.has(id)) continue;
      shown.view.close();
      this.inSight.unobserve(shown.root);
      shown.root.remove();
      this.shown.delete(id);
    }
    panels.forEach((panel, index) => {
      const shown = this.shown.get(panel.id) ?? this.make(panel);
      if (this.root.children[index] !== shown.root) this.root.insertBefore(shown.root, this.root.children[index] ?? null);
    });
    this.arrange();
    this.page.wantsChanged();
  }

  wants(): Want[] {
    const wants: Want[] = [];
    for (const { visible, view, problem } of this.shown.values()) {
      const more = visible ? view.wants() : [];
      const fits = wants.length + more.length <= MOST_WANTS;
      if (fits) wants.push(...more);
      if (fits === (problem.textContent !== LEFT_OUT)) continue;
      setText(problem, fits ? "" : LEFT_OUT);
      problem.hidden = fits;
    }
    return wants;
  }

  themed(): void {
    this.shown.forEach(({ view }) => view.themed?.());
  }

  private make(panel: Panel): Shown {
    const View = panel.kind === "image" ? ImageView : panel.kind === "number" ? NumberView : panel.kind === "table" || panel.kind === "text" ? TextView : ChartView;
    const view: View = new View(this.page, panel);
    const title = el("h2", {}, titleOf(panel, this.page.store));
    const pill = el("span", { class: "pill" });
    const more = button("menu", "Menu of this plot", () => openMenu(more, this.menu(shown)));
    const head = el("header", {}, title, pill, more);
    const problem = el("p", { class: "problem", hidden: true });
    const grip = el("i", { class: "grip", title: "pull to resize" });
    const root = el("article", { class: `panel ${panel.kind}`, tabindex: 0, "aria-label": titleOf(panel, this.page.store), "data-paths": panel.paths.join(" ") }, head, problem, view.root, grip);
    const shown: Shown = { panel, view, root, title, pill, problem, visible: true, changedAt: performance.now(), event: null };
    head.addEventListener("pointerdown", (event) => this.startMove(shown, event));
    grip.addEventListener("pointerdown", (event) => this.startResize(shown, event));
    root.addEventListener("keydown", (event) => event.target === root && this.key(shown, event));
    this.shown.set(panel.id, shown);
    this.inSight.observe(root);
    return shown;
  }

  private take(plot: Plot, message: Message): void {
    const shown = this.shown.get(plot.id.slice(0, plot.id.lastIndexOf(".")));
    if (!shown) return;
    shown.problem.hidden = !plot.problem;
    setText(shown.problem, plot.problem ?? "");
    if (plot.problem) return;
    if (!/\.[ms]$/.test(plot.id)) {
      shown.changedAt = performance.now() - 1000 * (plot.age_s ?? 0);
      shown.event = plot.event_number;
    }
    shown.view.take?.(plot, message);
  }

  private freshen(): void {
    const { progress, freshness } = this.page.store.state;
    for (const shown of this.shown.values()) {
      const age = (performance.now() - this.changed(shown)) / 1000;
      // What does not change while others do is no older than they are.
      const stale = !this.page.store.connected || (age > STALE_S && freshness?.state !== "live" && !progress?.finished);
      const event = shown.event === null ? "" : `#${shown.event} · `;
      setText(shown.pill, stale ? `stale ${duration(Math.floor(age))}` : `${event}${progress?.finished ? "ended" : age > STALE_S ? `same for ${duration(Math.floor(age))}` : "live"}`);
      shown.pill.classList.toggle("stale", stale);
      shown.root.classList.toggle("is-stale", stale);
    }
  }

  /** When what a panel shows last changed, in the clock of `performance.now`. */
  private changed({ panel, changedAt }: Shown): number {
    const { store } = this.page;
    const now = Date.now() / 1000;
    const first = panel.paths[0] ?? "";
    const ids = first === "region:*" ? (store.state.regions ?? []).map((region) => `region:${region.id}`) : panel.paths;
    if (!["number", "history", "histogram", "scatter", "delay"].includes(panel.kind)) return changedAt;
    const newest = Math.max(...ids.map((id) => Math.max(store.seriesOf(id).time.at(-1) ?? 0, store.points[id.slice(7)]?.time_s ?? 0)), 0);
    if (!newest) return changedAt; // nothing has come yet
    // Clocks of server and browser may differ: the server's newest time arrived when it arrived.
    return store.receivedAt - 1000 * Math.max((store.timeS || now) - newest, 0);
  }

  private arrange(): void {
    const width = this.root.clientWidth;
    this.columns = width > 900 ? COLUMNS : width > 560 ? 6 : 4;
    this.root.style.setProperty("--columns", String(this.columns));
    for (const { panel, root } of this.shown.values()) {
      const w = spanOn(this.columns, panel.w);
      root.style.gridColumn = `span ${w}`;
      const narrow = this.columns < COLUMNS && panel.kind === "image" ? Math.min(panel.h, Math.ceil((width * w) / this.columns / ROW_PX) + 2) : panel.h;
      root.style.gridRow = `span ${narrow}`;
    }
  }

  private menu(shown: Shown): MenuEntry[] {
    const { panel, view } = shown;
    const path = panel.paths[0] ?? "";
    const encoded = path.split("/").map(encodeURIComponent).join("/");
    const save = (route: string) => async () => {
      const file = await attempt(this.page.api.file(route));
      if (file) download(...file);
    };
    const ids = panel.paths.filter((each) => each.startsWith("region:")).map((each) => each.slice(7));
    const regions = ids.length > 1 ? `regions.TYPE?ids=${ids.join(",")}` : path === "region:*" ? "regions.TYPE" : `regions/${ids[0] ?? ""}.TYPE`;
    const data: MenuEntry[] = path.startsWith("region:")
      ? ["csv", "h5"].map((type) => ({ label: `${panel.kind === "history" ? "Data" : "Curve"} as ${TYPES[type]!}`, run: save(regions.replace("TYPE", type)) }))
      : panel.kind === "number" || panel.kind === "history"
        ? [{ label: "History as CSV", run: save(`history${encoded}.csv`) }]
        : ["csv", "h5", "npy"].map((type) => ({ label: `Data as ${TYPES[type]!}`, run: save(`export${encoded}.${type}`) }));
    const change = (run: () => void) => () => (run(), this.arrange(), this.page.edited());
    return [
      ...(view.menu?.() ?? []), "line",
      ...(panel.kind === "number" ? [{ label: "Show as curve", run: () => this.page.addPanel("history", [path]) }] : []),
      { label: "Picture as PNG", run: () => this.savePicture(shown) }, ...data, "line",
      { label: "Move before (←)", run: () => this.moveBy(shown, -1) }, { label: "Move after (→)", run: () => this.moveBy(shown, 1) },
      { label: "Wider (Shift →)", run: change(() => this.resize(panel, 1, 0)) }, { label: "Narrower (Shift ←)", run: change(() => this.resize(panel, -1, 0)) },
      { label: "Taller (Shift ↓)", run: change(() => this.resize(panel, 0, 1)) }, { label: "Shorter (Shift ↑)", run: change(() => this.resize(panel, 0, -1)) },
      "line", { label: "Remove (Delete)", run: () => this.remove(panel) },
    ];
  }

  private key(shown: Shown, event: KeyboardEvent): void {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Delete") this.remove(shown.panel);
    else if (event.key === "Enter") openMenu(shown.root, this.menu(shown));
    else if (step && event.shiftKey) {
      this.resize(shown.panel, step[0]!, step[1]!);
      this.arrange();
      this.page.edited();
    } else if (step?.[0]) this.moveBy(shown, step[0]);
    else return;
    event.preventDefault();
  }

  private resize(panel: Panel, dw: number, dh: number): void {
    panel.w = Math.min(Math.max(panel.w + dw, 1), COLUMNS);
    panel.h = Math.min(Math.max(panel.h + dh, 2), 40);
  }

  private remove(panel: Panel): void {
    this.panels.splice(this.panels.indexOf(panel), 1);
    this.set(this.panels);
    this.page.edited();
  }

  private moveBy(shown: Shown, step: number): void {
    this.moveTo(shown.panel, Math.min(Math.max(this.panels.indexOf(shown.panel) + step, 0), this.panels.length - 1));
    shown.root.focus();
  }

  private moveTo(panel: Panel, index: number): void {
    this.panels.splice(this.panels.indexOf(panel), 1);
    this.panels.splice(index, 0, panel);
    this.set(this.panels);
    this.page.edited();
  }

  private startMove(shown: Shown, event: PointerEvent): void {
    if ((event.target as Element).closest("button") || event.button !== 0 || event.pointerType === "touch") return;
    const follow = (at: PointerEvent): void => {
      if (Math.hypot(at.clientX - event.clientX, at.clientY - event.clientY) < 8 || !shown.root.hasPointerCapture(at.pointerId)) return;
      shown.root.classList.add("moving");
      const under = document.elementsFromPoint(at.clientX, at.clientY).map((each) => each.closest("article.panel")).find((each) => each && each !== shown.root);
      const target = [...this.shown.values()].find((each) => each.root === under);
      if (target) this.moveTo(shown.panel, this.panels.indexOf(target.panel));
    };
    shown.root.setPointerCapture(event.pointerId);
    this.pull(shown, follow);
  }

  private startResize(shown: Shown, event: PointerEvent): void {
    const { panel, root } = shown;
    const cell = (this.root.clientWidth - 12) / this.columns;
    const [w, h] = [panel.w, panel.h];
    root.setPointerCapture(event.pointerId);
    this.pull(shown, (at) => {
      const scale = COLUMNS / this.columns;
      panel.w = Math.min(Math.max(w + Math.round(((at.clientX - event.clientX) / cell) * scale), 1), COLUMNS);
      panel.h = Math.min(Math.max(h + Math.round((at.clientY - event.clientY) / ROW_PX), 2), 40);
      this.arrange();
      this.page.edited();
    });
    event.preventDefault();
  }

  private pull({ root }: Shown, follow: (at: PointerEvent) => void): void {
    const stop = new AbortController();
    root.addEventListener("pointermove", follow, { signal: stop.signal });
    for (const name of ["pointerup", "pointercancel"] as const) root.addEventListener(name, () => {
      root.classList.remove("moving");
      stop.abort();
    }, { signal: stop.signal });
  }

  private savePicture({ panel, view, event }: Shown): void {
    const drawn = view.canvas?.();
    if (!drawn) return toast("there is nothing to save as a picture", "error");
    const title = `${titleOf(panel, this.page.store)}${event === null ? "" : `   event ${event}`}   ${new Date().toLocaleString("en-GB")}`;
    const canvas = el("canvas", { width: drawn.width, height: drawn.height + 28 * devicePixelRatio });
    const context = canvas.getContext("2d")!;
    context.fillStyle = cssColor("--panel");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = cssColor("--ink");
    context.font = `${13 * devicePixelRatio}px system-ui, sans-serif`;
    context.fillText(title, 8 * devicePixelRatio, 18 * devicePixelRatio);
    context.drawImage(drawn, 0, 28 * devicePixelRatio);
    const path = panel.paths[0] ?? "plot";
    const name = path.startsWith("region:") ? titleOf(panel, this.page.store) : lastName(path);
    canvas.toBlob((blob) => blob && download(blob, `${name.replace(/[^\p{L}\p{N}_-]+/gu, "_")}.png`));
  }
}
