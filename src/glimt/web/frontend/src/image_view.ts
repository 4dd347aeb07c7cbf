/** A two-dimensional array as image: zoom to the pixel, values under the cursor, mask, spots, rings, regions. */

import { ColorBar } from "./color_bar.ts";
import { paint } from "./colors.ts";
import { button, el, setText } from "./elements.ts";
import { type Geometry, beamCenter, geometryOf, objectOf, qOf, rings, twoTheta } from "./geometry.ts";
import type { Panel } from "./layout.ts";
import type { MenuEntry } from "./menu.ts";
import { short } from "./numbers.ts";
import { type Page, type View, unitOf } from "./page.ts";
import type { Block, Message, Plot, Want } from "./protocol.ts";
import { RegionLayer, type Tool, label } from "./region_layer.ts";
import type { Place } from "./shapes.ts";
import { Viewport } from "./viewport.ts";

const VALUES_FROM = 34;
const TOOLS: [Tool, string][] = [["select", "Select and pan (V)"], ["rectangle", "Draw a rectangle (R)"], ["polygon", "Draw a polygon (P)"], ["ring", "Draw a ring (O)"]];
const KEYS: Record<string, Tool> = { v: "select", r: "rectangle", p: "polygon", o: "ring" };

interface Sent {
  plot: Plot;
  block: Block;
  canvas: HTMLCanvasElement;
}

export class ImageView implements View {
  readonly root: HTMLElement;
  private readonly path: string;
  private readonly view = new Viewport();
  private readonly screen = el("canvas", { tabindex: 0, class: "screen", role: "application", "aria-label": "image; + and - zoom, 0 fits, R P O choose a region, Enter places it, arrows move it" });
  private readonly cursor = el("output", { class: "cursor" });
  private readonly bar: ColorBar;
  private readonly layer: RegionLayer;
  private readonly tools: HTMLButtonElement[];
  private image: Sent | null = null;
  private mask: Sent | null = null;
  private spots: Block | null = null;
  private spotFields: [Block, Block] | null = null;
  private mustPaint = false;
  private readonly fingers = new Map<number, PointerEvent>();
  private ours = false;
  private at: Place | null = null;
  private readonly end: () => void;
  private readonly observer = new ResizeObserver(() => this.sized());

  constructor(private readonly page: Page, private readonly panel: Panel) {
    this.path = panel.paths[0] ?? "";
    this.layer = new RegionLayer(page, this.path, this.view, () => this.changed());
    this.bar = new ColorBar(panel.settings, (key) => page.store.node(this.path)?.attributes?.[key], (byUser) => {
      this.mustPaint = true;
      if (byUser) page.edited();
      this.changed();
    });
    this.tools = TOOLS.map(([tool, title]) => button(tool, title, () => this.layer.setTool(tool)));
    const zoom = (factor: number) => () => this.zoom(factor);
    this.root = el("div", { class: "image" },
      el("div", { class: "stage" }, this.screen, this.cursor,
        el("div", { class: "tools", role: "toolbar", "aria-label": "regions and zoom" }, ...this.tools,
          button("zoomIn", "Zoom in (+)", zoom(1.6)), button("zoomOut", "Zoom out (-)", zoom(1 / 1.6)), button("fit", "Whole image (0)", zoom(0)))),
      this.bar.root);
    this.listen();
    this.observer.observe(this.screen);
    this.end = page.store.on(["regions", "tree", "selection"], () => this.changed());
  }

  wants(): Want[] {
    const { rows, columns } = this.view.visible();
    const size = this.view.usefulSize(devicePixelRatio);
    // Sizes in steps, so that a window that is pulled larger does not ask anew with every pixel.
    const stepped = size.map((length) => Math.min(Math.ceil(length / 64) * 64, 2048)) as [number, number];
    const window = this.image && !this.view.isFitted ? { rows, columns } : {};
    const wants: Want[] = [{ id: `${this.panel.id}.0`, path: this.path, kind: "image", size: this.image ? stepped : [512, 512], ...window }];
    if (this.shows("mask")) wants.push({ id: `${this.panel.id}.m`, path: this.shows("mask")!, kind: "image", size: stepped, ...window });
    const spots = this.shows("spots");
    if (spots) wants.push({ id: `${this.panel.id}.s`, path: spots, kind: this.page.store.node(spots)?.dtype === "struct" ? "table" : "image", size: [4096, 16] });
    return wants;
  }

  take(plot: Plot, message: Message): void {
    const part = plot.id.slice(plot.id.lastIndexOf(".") + 1);
    const block = message.blocks.get(plot.buffer);
    if (part === "s" && plot.kind === "table") this.takeSpots(plot, message);
    else if (!block) return;
    else if (part === "s") this.spots = block;
    else {
      const kept = part === "m" ? this.mask : this.image;
      const sent = { plot, block, canvas: kept?.canvas ?? document.createElement("canvas") };
      if (part === "m") this.mask = sent;
      else this.takeImage(sent);
    }
    this.mustPaint = true;
    this.changed();
  }

  draw(): void {
    if (!this.root.isConnected || !this.image) return;
    if (this.mustPaint) this.repaint();
    const { width, height } = this.view;
    const context = this.screen.getContext("2d")!;
    const density = devicePixelRatio;
    if (this.screen.width !== Math.round(width * density) || this.screen.height !== Math.round(height * density)) {
      Object.assign(this.screen, { width: Math.round(width * density), height: Math.round(height * density) });
    }
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = false;
    this.place(context, this.image);
    if (this.mask && this.shows("mask")) this.place(context, this.mask);
    this.drawOver(context);
    this.bar.draw();
    this.screen.dataset["event"] = String(this.image.plot.event_number ?? "");
    this.tools.forEach((tool, index) => tool.classList.toggle("on", TOOLS[index]![0] === this.layer.tool));
    this.screen.classList.toggle("draws", this.layer.tool !== "select");
    this.tell();
  }

  menu(): MenuEntry[] {
    const geometry = this.geometry() !== null;
    const attributes = this.page.store.node(this.path)?.attributes ?? {};
    const entry = (label: string, key: string, off: boolean): MenuEntry => ({ label, checked: !off && this.panel.settings[key] !== false, off, run: () => {
      this.panel.settings[key] = this.panel.settings[key] === false;
      this.page.edited();
      this.page.wantsChanged();
      this.changed();
    } });
    return [
      entry("Resolution rings, beam center", "rings", !geometry), entry("Mask", "mask", !attributes["mask"]), entry("Spots", "spots", !attributes["spots"]),
      { label: "Fill the plot", checked: this.view.stretch, run: () => {
        this.panel.settings["stretch"] = !this.view.stretch;
        this.sized();
        this.page.edited();
      } },
    ];
  }

  canvas(): HTMLCanvasElement {
    return this.screen;
  }

  themed(): void {
    this.draw();
  }

  close(): void {
    this.end();
    this.observer.disconnect();
  }

  private geometry(): Geometry | null {
    return geometryOf(this.page.store.node(this.path)?.attributes?.["geometry"]);
  }

  /** Path of mask or spots, if the image names one and it is not switched off. */
  private shows(what: "mask" | "spots"): string | null {
    const name = this.page.store.node(this.path)?.attributes?.[what];
    if (typeof name !== "string" || this.panel.settings[what] === false) return null;
    return name.startsWith("/") ? name : `${this.path.slice(0, this.path.lastIndexOf("/"))}/${name}`;
  }

  private takeImage(sent: Sent): void {
    this.image = sent;
    const [rows = 1, columns = 1] = sent.plot.full_shape.slice(-2);
    if (rows !== this.view.rows || columns !== this.view.columns) this.sized();
    this.bar.take(sent.block.data, sent.plot.low, sent.plot.high, sent.plot.invalid);
  }

  private takeSpots(plot: Plot, message: Message): void {
    const column = (...names: string[]) => message.blocks.get(plot.fields.find((field) => names.includes(field.name))?.buffer ?? "");
    const slow = column("slow", "ss", "y", "row"), fast = column("fast", "fs", "x", "column");
    this.spotFields = slow && fast ? [slow, fast] : null;
  }

  private sized(): void {
    const [rows = 1, columns = 1] = this.image?.plot.full_shape.slice(-2) ?? [];
    const narrow = Math.max(rows / columns, columns / rows) > 3;
    this.view.stretch = typeof this.panel.settings["stretch"] === "boolean" ? this.panel.settings["stretch"] : narrow;
    this.view.setSize(rows, columns, Math.max(this.screen.clientWidth, 1), Math.max(this.screen.clientHeight, 1));
    this.page.wantsChanged();
    this.changed();
  }

  private zoom(factor: number, x?: number, y?: number): void {
    if (factor) this.view.zoom(factor, x, y);
    else this.view.fit();
    this.page.wantsChanged();
    this.changed();
  }

  private changed(): void {
    this.page.drawSoon(this);
  }

  private repaint(): void {
    this.mustPaint = false;
    for (const sent of [this.image, this.mask]) {
      if (!sent) continue;
      const [height = 1, width = 1] = sent.block.shape;
      if (sent.canvas.width !== width || sent.canvas.height !== height) Object.assign(sent.canvas, { width, height });
      const pixels = new ImageData(width, height);
      const out = new Uint32Array(pixels.data.buffer);
      if (sent === this.mask) sent.block.data.forEach((value, index) => (out[index] = value ? 0x99404040 : 0));
      else paint(sent.block.data, out, this.bar.limits, this.bar.table, sent.plot.invalid);
      sent.canvas.getContext("2d")!.putImageData(pixels, 0, 0);
    }
  }

  /** Put what was sent where it belongs; its last row and column may stand for fewer pixels. */
  private place(context: CanvasRenderingContext2D, { plot, canvas }: Sent): void {
    const [left, top] = this.view.toCanvas(plot.columns[0], plot.rows[0]);
    const rows = plot.rows[1] - plot.rows[0], columns = plot.columns[1] - plot.columns[0];
    context.drawImage(canvas, 0, 0, columns / plot.bin[1], rows / plot.bin[0], left, top, columns * this.view.scaleX, rows * this.view.scaleY);
  }

  private drawOver(context: CanvasRenderingContext2D): void {
    if (this.view.scaleX >= VALUES_FROM && this.view.scaleY >= VALUES_FROM / 2) this.drawValues(context);
    const geometry = this.geometry();
    if (geometry && this.panel.settings["rings"] !== false) this.drawRings(context, geometry);
    if (this.shows("spots")) this.drawSpots(context);
    this.drawCenter(context);
    this.layer.draw(context);
  }

  private drawValues(context: CanvasRenderingContext2D): void {
    const { rows, columns } = this.view.visible();
    context.font = "10px system-ui, sans-serif";
    context.textAlign = "center";
    for (let slow = rows[0]; slow < rows[1]; slow++) {
      for (let fast = columns[0]; fast < columns[1]; fast++) {
        const [x, y] = this.view.toCanvas(fast + 0.5, slow + 0.5);
        const value = this.valueAt(slow, fast);
        if (value === null) continue;
        context.lineWidth = 2;
        context.strokeStyle = "#0009";
        context.fillStyle = "#fff";
        context.strokeText(short(value, 3), x, y + 3);
        context.fillText(short(value, 3), x, y + 3);
      }
    }
    context.textAlign = "start";
  }

  private drawRings(context: CanvasRenderingContext2D, geometry: Geometry): void {
    context.setLineDash([5, 5]);
    for (const { d, points } of rings(geometry, this.view.rows, this.view.columns)) {
      context.strokeStyle = "#ffffff90";
      context.lineWidth = 1;
      context.beginPath();
      points.forEach((point) => point && context.lineTo(...this.view.toCanvas(point[1], point[0])));
      context.stroke();
      const shown = points.find((point) => point && point[0] > 0 && point[0] < this.view.rows && point[1] > 0 && point[1] < this.view.columns);
      if (shown) label(context, `${d} Å`, ...this.view.toCanvas(shown[1], shown[0]), "#fff");
    }
    context.setLineDash([]);
    const center = beamCenter(geometry);
    if (center) cross(context, ...this.view.toCanvas(center[1], center[0]), 8, "#fff");
  }

  private drawSpots(context: CanvasRenderingContext2D): void {
    const [slow, fast] = this.spotFields ?? [];
    const width = this.spots?.shape[1] ?? 2;
    const n = slow ? slow.data.length : this.spots ? this.spots.data.length / width : 0;
    const radius = Math.max(5, this.view.scaleX);
    context.strokeStyle = "#ff4d4f";
    context.lineWidth = 1.4;
    for (let i = 0; i < n; i++) {
      const place = slow && fast ? [slow.data[i]!, fast.data[i]!] : [this.spots!.data[width * i]!, this.spots!.data[width * i + 1]!];
      const [x, y] = this.view.toCanvas(place[1]!, place[0]!);
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** The result of centering, marked on the heat map of a grid scan. */
  private drawCenter(context: CanvasRenderingContext2D): void {
    const { center } = objectOf(this.page.store.node(this.path)?.attributes?.["grid"]);
    if (!Array.isArray(center)) return;
    const [fast, slow] = center.map(Number);
    const place = this.view.toCanvas(fast ?? 0, slow ?? 0);
    cross(context, ...place, 18, "#fff");
    cross(context, ...place, 12, "#ff4d4f");
  }

  private valueAt(slow: number, fast: number): number | null {
    const plot = this.image?.plot, block = this.image?.block;
    if (!plot || !block || slow < plot.rows[0] || slow >= plot.rows[1] || fast < plot.columns[0] || fast >= plot.columns[1]) return null;
    const row = Math.floor((slow - plot.rows[0]) / plot.bin[0]), column = Math.floor((fast - plot.columns[0]) / plot.bin[1]);
    const value = block.data[row * (block.shape[1] ?? 1) + column];
    return value === undefined || value === plot.invalid ? null : value;
  }

  /** Write what is under the cursor. */
  private tell(): void {
    const plot = this.image?.plot;
    const [slow, fast] = this.at?.map(Math.floor) ?? [-1, -1];
    if (!plot || slow! < 0 || fast! < 0 || slow! >= this.view.rows || fast! >= this.view.columns) return setText(this.cursor, "");
    const value = this.valueAt(slow!, fast!);
    const binned = plot.bin[0] * plot.bin[1] > 1 ? ` (largest of ${plot.bin[0]} × ${plot.bin[1]})` : "";
    const geometry = this.geometry();
    const q = geometry && qOf(geometry, twoTheta(geometry, slow! + 0.5, fast! + 0.5));
    const scattering = q ? `  q ${short(q)} Å⁻¹  d ${short((2 * Math.PI) / q)} Å` : "";
    const unit = unitOf(this.path, this.page.store);
    const { axes, grid } = this.page.store.node(this.path)?.attributes ?? {};
    const [down, right] = Array.isArray(axes) && axes[0] && axes[1] ? axes.map(String) : grid ? ["row", "column"] : ["slow", "fast"];
    setText(this.cursor, `${down} ${slow!}  ${right} ${fast!}  ${value === null ? "masked" : `${short(value, 6)} ${unit}`.trimEnd()}${binned}${scattering}`);
  }

  private listen(): void {
    const screen = this.screen;
    const place = (event: MouseEvent): Place => {
      const [fast, slow] = this.view.toImage(event.offsetX, event.offsetY);
      return [slow, fast];
    };
    screen.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), event.offsetX, event.offsetY);
    }, { passive: false });
    screen.addEventListener("dblclick", () => (this.layer.tool === "polygon" ? this.layer.endPolygon() : this.zoom(0)));
    screen.addEventListener("pointerdown", (event) => {
      if (!this.image) return; // nothing is there yet that a region could be drawn on
      screen.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, event);
      if (this.fingers.size > 1) this.layer.cancel(); // the finger before began no region: two zoom
      this.ours = this.fingers.size === 1 && event.button === 0 && this.layer.down(place(event), event.pointerType === "touch");
      this.changed();
    });
    screen.addEventListener("pointermove", (event) => {
      const before = this.fingers.get(event.pointerId);
      this.at = place(event);
      if (this.ours || (this.layer.tool === "polygon" && this.fingers.size < 2)) this.layer.move(this.at);
      else if (before) this.dragged(before, event);
      if (before) this.fingers.set(event.pointerId, event);
      this.changed();
    });
    screen.addEventListener("pointerup", (event) => {
      if (this.ours) this.layer.up(place(event));
      this.ours = false;
    });
    screen.addEventListener("pointercancel", () => {
      if (this.ours) this.layer.cancel();
      this.ours = false;
    });
    for (const name of ["pointerup", "pointercancel"] as const) screen.addEventListener(name, (event) => this.fingers.delete(event.pointerId));
    screen.addEventListener("pointerleave", () => {
      this.at = null;
      this.changed();
    });
    screen.addEventListener("keydown", (event) => this.key(event));
  }

  /** One finger pans, or scrolls the page where there is nothing to pan; two zoom. */
  private dragged(before: PointerEvent, now: PointerEvent): void {
    const other = [...this.fingers.values()].find((finger) => finger.pointerId !== now.pointerId);
    if (other) {
      const apart = (finger: PointerEvent) => Math.hypot(finger.offsetX - other.offsetX, finger.offsetY - other.offsetY);
      this.zoom(apart(now) / Math.max(apart(before), 1), (now.offsetX + other.offsetX) / 2, (now.offsetY + other.offsetY) / 2);
    } else if (this.view.isFitted && now.pointerType === "touch") {
      this.screen.closest(".grid")?.scrollBy(0, before.clientY - now.clientY);
    } else {
      this.view.pan(now.offsetX - before.offsetX, now.offsetY - before.offsetY);
      this.page.wantsChanged();
    }
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const factor = { "+": 1.6, "=": 1.6, "-": 1 / 1.6, "0": 0 }[event.key];
    const tool = KEYS[event.key.toLowerCase()];
    if (this.layer.key(event)) event.preventDefault();
    else if (factor !== undefined) this.zoom(factor);
    else if (tool && this.page.mayChange) this.layer.setTool(tool);
  }
}

function cross(context: CanvasRenderingContext2D, x: number, y: number, size: number, color: string): void {
  for (const [width, style] of [[3.5, "#0008"], [1.6, color]] as const) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.beginPath();
    context.moveTo(x - size, y);
    context.lineTo(x + size, y);
    context.moveTo(x, y - size);
    context.lineTo(x, y + size);
    context.stroke();
  }
}
