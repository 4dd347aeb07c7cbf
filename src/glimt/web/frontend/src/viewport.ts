/** Which part of an image is on a canvas, and how large: zoom, pan, and what to ask the server for. */

import type { Range } from "./protocol.ts";

const LARGEST_ZOOM = 96;

/** Place of the image on the canvas: canvas = origin + scale · pixel, for (slow, fast) = (y, x) [CSS px]. */
export class Viewport {
  rows = 1;
  columns = 1;
  width = 1;
  height = 1;
  scaleX = 1;
  scaleY = 1;
  originX = 0;
  originY = 0;
  stretch = false;
  private fitted = true;

  /** Tell the size of image and canvas; an image that was fitted stays so. */
  setSize(rows: number, columns: number, width: number, height: number): void {
    const same = rows === this.rows && columns === this.columns;
    const [centerX, centerY] = this.toImage(this.width / 2, this.height / 2);
    Object.assign(this, { rows, columns, width, height });
    if (this.fitted || !same) this.fit();
    else {
      this.originX = width / 2 - centerX * this.scaleX;
      this.originY = height / 2 - centerY * this.scaleY;
      this.clamp();
    }
  }

  get isFitted(): boolean {
    return this.fitted;
  }

  fit(): void {
    this.fitted = true;
    this.scaleX = this.width / this.columns;
    this.scaleY = this.height / this.rows;
    if (!this.stretch) this.scaleX = this.scaleY = Math.min(this.scaleX, this.scaleY);
    this.originX = (this.width - this.columns * this.scaleX) / 2;
    this.originY = (this.height - this.rows * this.scaleY) / 2;
  }

  toImage(x: number, y: number): [number, number] {
    return [(x - this.originX) / this.scaleX, (y - this.originY) / this.scaleY];
  }

  toCanvas(fast: number, slow: number): [number, number] {
    return [this.originX + fast * this.scaleX, this.originY + slow * this.scaleY];
  }

  /** Zoom by a factor; the point under (x, y) stays there. */
  zoom(factor: number, x = this.width / 2, y = this.height / 2): void {
    const [fast, slow] = this.toImage(x, y);
    const fitX = this.width / this.columns, fitY = this.height / this.rows;
    const smallest = this.stretch ? 1 : Math.min(fitX, fitY) / this.scaleX;
    const most = Math.max(LARGEST_ZOOM / Math.max(this.scaleX, this.scaleY), 1);
    const limited = Math.min(Math.max(factor, this.stretch ? Math.max(fitX / this.scaleX, fitY / this.scaleY) : smallest), most);
    if (limited * this.scaleX <= (this.stretch ? fitX : Math.min(fitX, fitY)) * 1.0001) return this.fit();
    this.fitted = false;
    this.scaleX *= limited;
    this.scaleY *= limited;
    this.originX = x - fast * this.scaleX;
    this.originY = y - slow * this.scaleY;
    this.clamp();
  }

  pan(dx: number, dy: number): void {
    if (this.fitted) return;
    this.originX += dx;
    this.originY += dy;
    this.clamp();
  }

  /** Visible rows and columns, rounded outwards and clipped. */
  visible(): { rows: Range; columns: Range } {
    const [left, top] = this.toImage(0, 0);
    const [right, bottom] = this.toImage(this.width, this.height);
    const range = (low: number, high: number, n: number): Range => {
      const first = Math.min(Math.max(Math.floor(low), 0), n - 1);
      return [first, Math.max(Math.min(Math.ceil(high), n), first + 1)];
    };
    return { rows: range(top, bottom, this.rows), columns: range(left, right, this.columns) };
  }

  /** Pixels that are of use to a screen of `density` device pixels a CSS pixel: [height, width]. */
  usefulSize(density: number): [number, number] {
    const { rows, columns } = this.visible();
    const length = (range: Range, scale: number) => Math.max(1, Math.ceil((range[1] - range[0]) * Math.min(scale * density, 1)));
    return [length(rows, this.scaleY), length(columns, this.scaleX)];
  }

  private clamp(): void {
    const inside = (origin: number, length: number, size: number) =>
      length <= size ? (size - length) / 2 : Math.min(Math.max(origin, size - length), 0);
    this.originX = inside(this.originX, this.columns * this.scaleX, this.width);
    this.originY = inside(this.originY, this.rows * this.scaleY, this.height);
  }
}
