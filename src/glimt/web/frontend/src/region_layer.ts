/** Regions on an image: drawn with mouse, pen or finger, selected, moved, pulled into shape. */

import { freeColor } from "./colors.ts";
import { type Page, attempt, changeRegion, cssColor } from "./page.ts";
import type { Region } from "./protocol.ts";
import { type Place, type Shape, handleAt, handles, isInside, labelPlace, moved, rectangleBetween, reshaped } from "./shapes.ts";
import type { Viewport } from "./viewport.ts";

export type Tool = "select" | "rectangle" | "polygon" | "ring";
const REACH = 9, FINGER_REACH = 22;

export class RegionLayer {
  tool: Tool = "select";
  private draft: Shape | null = null;
  private start: Place = [0, 0];
  private reach = REACH;
  private held: { region: Region; handle: number } | null = null;

  constructor(private readonly page: Page, private readonly path: string, private readonly view: Viewport, private readonly changed: () => void) {}

  regions(): Region[] {
    return (this.page.store.state.regions ?? []).filter((region) => region.image === this.path && region.kind !== "value");
  }

  setTool(tool: Tool): void {
    this.tool = tool;
    this.draft = null;
    this.changed();
  }

  /** Begin something at a place; says whether it is ours (else the image is panned). A finger moves what it tapped before. */
  down(place: Place, isTouch = false): boolean {
    this.start = place;
    this.reach = isTouch ? FINGER_REACH : REACH;
    if (this.tool === "polygon") return this.addVertex(place);
    if (this.tool !== "select") {
      this.draft = this.drawn(place);
      return true;
    }
    const reach = this.reach / this.view.scaleX;
    const selected = this.regions().find((region) => region.id === this.page.selectedRegion);
    const handle = selected && this.page.mayChange ? handleAt(selected, place, reach) : -1;
    const hit = handle >= 0 ? selected : this.regions().findLast((region) => isInside(region, place));
    this.page.selectRegion(hit?.id ?? null);
    if (hit && this.page.mayChange && (!isTouch || hit === selected)) this.held = { region: hit, handle };
    return Boolean(this.held);
  }

  move(place: Place): void {
    if (this.held) {
      const { region, handle } = this.held;
      this.draft = handle < 0 ? moved(region, place[0] - this.start[0], place[1] - this.start[1]) : reshaped(region, handle, place);
    } else if (this.draft && this.tool === "polygon") {
      this.draft = { kind: "polygon", vertices: [...this.draft.vertices!.slice(0, -1), place] };
    } else if (this.draft) {
      this.draft = this.drawn(place);
    }
    this.changed();
  }

  up(place: Place): void {
    const far = Math.hypot(place[0] - this.start[0], place[1] - this.start[1]) * this.view.scaleX > 3;
    if (this.held) {
      const { region } = this.held;
      if (this.draft && far) void changeRegion(this.page, region.id, this.draft);
      this.held = null;
      this.draft = null;
    } else if (this.draft && this.tool !== "polygon") {
      if (far) void this.create(this.draft);
      this.setTool(far ? "select" : this.tool);
    }
    this.changed();
  }

  /** Forget what was begun and not ended. */
  cancel(): void {
    this.held = null;
    if (this.tool !== "polygon") this.draft = null;
    this.changed();
  }

  /** Keys while the image has the focus; says whether the key meant something here. */
  key(event: KeyboardEvent): boolean {
    const selected = this.regions().find((region) => region.id === this.page.selectedRegion);
    if (event.key === "Escape") this.setTool("select");
    else if (event.key === "Enter" && this.tool === "polygon") this.endPolygon();
    else if (event.key === "Enter" && this.tool !== "select") this.placeInMiddle();
    else if ((event.key === "Delete" || event.key === "Backspace") && selected && this.page.mayChange) void attempt(this.page.api.call("DELETE", `regions/${selected.id}`));
    else if (event.key.startsWith("Arrow") && selected && this.page.mayChange) {
      const step = event.shiftKey ? 10 : 1;
      const [slow, fast] = ({ ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] } as Record<string, Place>)[event.key]!;
      void changeRegion(this.page, selected.id, moved(selected, slow * step, fast * step));
    } else return false;
    return true;
  }

  /** Without a pointer: a region over the middle of what is visible, for the arrow keys to move. */
  private placeInMiddle(): void {
    const { rows, columns } = this.view.visible();
    const slow = (rows[0] + rows[1]) / 2, fast = (columns[0] + columns[1]) / 2;
    const extent = Math.min(rows[1] - rows[0], columns[1] - columns[0]) / 8;
    this.start = this.tool === "ring" ? [slow, fast] : [slow - extent, fast - extent];
    void this.create(this.drawn([slow + extent, fast + extent]));
    this.setTool("select");
  }

  endPolygon(): void {
    const vertices = this.draft?.vertices?.slice(0, -1) ?? [];
    if (vertices.length >= 3) void this.create({ kind: "polygon", vertices });
    this.setTool("select");
  }

  draw(context: CanvasRenderingContext2D): void {
    for (const region of this.regions()) {
      const isHeld = this.held?.region.id === region.id && this.draft;
      const shape = isHeld ? this.draft! : region;
      this.outline(context, shape, region.color, region.id === this.page.selectedRegion, region.name);
    }
    if (this.draft && !this.held) this.outline(context, this.draft, cssColor("--accent"), true, "");
  }

  private outline(context: CanvasRenderingContext2D, shape: Shape, color: string, selected: boolean, name: string): void {
    const at = ([slow, fast]: Place) => this.view.toCanvas(fast, slow);
    const path = new Path2D();
    if (shape.center) {
      const [x, y] = at(shape.center);
      for (const radius of [shape.r_max ?? 0, shape.r_min ?? 0]) {
        path.moveTo(x + radius * this.view.scaleX, y);
        path.ellipse(x, y, radius * this.view.scaleX, radius * this.view.scaleY, 0, 0, 2 * Math.PI);
      }
    } else {
      const corners = handles(shape).map(at);
      corners.forEach(([x, y]) => path.lineTo(x, y));
      path.closePath();
    }
    context.lineWidth = selected ? 4 : 3;
    context.strokeStyle = "#0008";
    context.stroke(path);
    context.lineWidth = selected ? 2 : 1.5;
    context.strokeStyle = color;
    context.stroke(path);
    context.fillStyle = `${color}22`;
    if (selected) context.fill(path, "evenodd");
    const [x, y] = at(labelPlace(shape));
    label(context, name, x, y - 5, color);
    if (!selected) return;
    for (const handle of handles(shape)) {
      const [left, top] = at(handle);
      context.fillStyle = "#fff";
      context.fillRect(left - 3.5, top - 3.5, 7, 7);
      context.lineWidth = 1.5;
      context.strokeRect(left - 3.5, top - 3.5, 7, 7);
    }
  }

  private drawn(place: Place): Shape {
    if (this.tool === "rectangle") return { kind: "rectangle", bounds: rectangleBetween(this.start, place) };
    const radius = Math.max(Math.hypot(place[0] - this.start[0], place[1] - this.start[1]), 1);
    return { kind: "ring", center: this.start, r_min: radius * 0.8, r_max: radius };
  }

  private addVertex(place: Place): boolean {
    const vertices = this.draft?.vertices ?? [place];
    const first = vertices[0]!;
    const closes = vertices.length > 3 && Math.hypot(first[0] - place[0], first[1] - place[1]) * this.view.scaleX < this.reach;
    if (closes) this.endPolygon();
    else this.draft = { kind: "polygon", vertices: [...vertices.slice(0, -1), place, place] };
    this.changed();
    return true;
  }

  private async create(shape: Shape): Promise<void> {
    const all = this.page.store.state.regions ?? [];
    let number = all.length + 1;
    while (all.some((region) => region.name === `region ${number}`)) number++;
    const region = {
      name: `region ${number}`, image: this.path, color: freeColor(all), quantity: "sum", denominator: null,
      events: null, split: null, ...shape,
    };
    const answer = await attempt(this.page.api.call<{ region: Region }>("POST", "regions", region));
    if (!answer) return;
    this.page.openDock("regions");
    this.page.selectRegion(answer.region.id);
  }
}

export function label(context: CanvasRenderingContext2D, text: string, x: number, y: number, color: string): void {
  context.font = "600 12px system-ui, sans-serif";
  context.lineWidth = 3;
  context.strokeStyle = "#000a";
  context.strokeText(text, x, y);
  context.fillStyle = color;
  context.fillText(text, x, y);
}
