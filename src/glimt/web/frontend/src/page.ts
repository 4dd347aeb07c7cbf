/** What plots and panels of the page share. */

import type { Api } from "./api.ts";
import { ApiError } from "./api.ts";
import { toast } from "./elements.ts";
import type { Panel, PanelKind } from "./layout.ts";
import type { MenuEntry } from "./menu.ts";
import type { Message, Plot, Region, Want } from "./protocol.ts";
import type { Store } from "./store.ts";

export interface Page {
  store: Store;
  api: Api;
  mayChange: boolean;
  selectedRegion: string | null;
  /** The user changed the layout. */
  edited(): void;
  wantsChanged(): void;
  drawSoon(view: Drawn): void;
  addPanel(kind: PanelKind, paths: string[], title?: string): void;
  selectRegion(id: string | null): void;
  openDock(name: string): void;
}

export interface Drawn {
  draw(): void;
}

/** One plot on the page. */
export interface View extends Drawn {
  root: HTMLElement;
  wants(): Want[];
  take?(plot: Plot, message: Message): void;
  menu?(): MenuEntry[];
  canvas?(): HTMLCanvasElement | null;
  themed?(): void;
  close(): void;
}

export function lastName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Name of what a panel shows, for people. */
export function titleOf(panel: Panel, store: Store): string {
  if (panel.title) return panel.title;
  return panel.paths.map((path) => labelOf(path, store)).join(panel.kind === "scatter" ? " vs " : ", ");
}

export function labelOf(path: string, store: Store): string {
  if (path === "region:*") return "Regions";
  if (path.startsWith("region:")) return store.region(path.slice(7))?.name ?? "region";
  const title = store.node(path)?.attributes?.["title"];
  return typeof title === "string" ? title : path.replace(/^\//, "").replaceAll("/", " / ");
}

export function unitOf(path: string, store: Store): string {
  const units = store.node(path)?.attributes?.["units"];
  return typeof units === "string" ? units : "";
}

/** Call the server; what goes wrong is said to the user, and `null` comes back. */
export async function attempt<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error) {
    const refused = error instanceof ApiError && error.status === 403;
    toast(refused ? "this page may look, not change" : error instanceof Error ? error.message : String(error), "error");
    return null;
  }
}

let sending: Promise<unknown> = Promise.resolve();

/** Change some fields of a region: here at once, on the server in turn, so that no change is sent without the one before. */
export async function changeRegion(page: Page, id: string, change: Partial<Region>): Promise<void> {
  const { store } = page;
  store.state.regions = store.state.regions?.map((each) => (each.id === id ? { ...each, ...change } : each)) ?? [];
  const region = store.region(id);
  store.tell("regions");
  sending = sending.then(() => region && attempt(page.api.call("PUT", `regions/${id}`, region)));
  await sending;
}

export function cssColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function seriesColor(index: number): string {
  return cssColor(`--c${(index % 6) + 1}`);
}

/** Let the browser save something under a name. */
export function download(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
