/** Which plots are on the page: as saved, and made from the published tree where nothing is saved. */

import type { TreeNode } from "./protocol.ts";

export const PANEL_KINDS = ["number", "curve", "image", "table", "text", "history", "histogram", "scatter", "delay"] as const;
export type PanelKind = (typeof PANEL_KINDS)[number];

/** One plot. Paths are of datasets, or `region:ID` (`region:*`: all); of a scatter plot first y, then x. */
export interface Panel {
  id: string;
  kind: PanelKind;
  paths: string[];
  w: number;
  h: number;
  title?: string;
  settings: Record<string, unknown>;
}

export interface Layout {
  panels: Panel[];
}

export const COLUMNS = 12;
const SIZES: Record<PanelKind, [number, number]> = {
  number: [2, 2], curve: [6, 7], image: [6, 12], table: [6, 7], text: [4, 4], history: [6, 5], histogram: [4, 5], scatter: [4, 7], delay: [4, 7],
};

let made = 0;

export function newPanel(kind: PanelKind, paths: string[], title?: string): Panel {
  const [w, h] = SIZES[kind];
  return { id: `p${Date.now().toString(36)}${(made++).toString(36)}`, kind, paths, w, h, settings: {}, ...(title ? { title } : {}) };
}

/** Return what is usable of a saved layout; it may come from a file of anybody. */
export function checkedLayout(given: unknown): Layout | null {
  const panels = (given as Layout | null)?.panels;
  if (!Array.isArray(panels)) return null;
  const known = panels.filter((panel) => panel && PANEL_KINDS.includes(panel.kind) && Array.isArray(panel.paths)).slice(0, 200);
  const size = (value: unknown, least: number, most: number) => Math.min(Math.max(Math.round(Number(value)) || least, least), most);
  return {
    panels: known.map((panel) => ({
      ...newPanel(panel.kind, panel.paths.map(String)),
      w: size(panel.w, 1, COLUMNS),
      h: size(panel.h, 1, 40),
      ...(typeof panel.title === "string" ? { title: panel.title } : {}),
      settings: typeof panel.settings === "object" && panel.settings !== null ? panel.settings : {},
    })),
  };
}

/** Paths that others use as x values, mask, spots or axes: they need no plot of their own. */
function partsOfOthers(tree: TreeNode[]): Set<string> {
  const used = new Set<string>();
  for (const node of tree) {
    const parent = node.path.slice(0, node.path.lastIndexOf("/"));
    const resolve = (name: string) => (name.startsWith("/") ? name : `${node.kind === "group" ? node.path : parent}/${name}`);
    for (const key of ["x", "mask", "spots"]) {
      const other = node.attributes?.[key];
      if (typeof other === "string") used.add(resolve(other));
    }
    const axes = node.attributes?.["axes"];
    if (node.kind === "group" && Array.isArray(axes)) axes.forEach((name) => used.add(resolve(String(name))));
  }
  return used;
}

/** Numbers of streams come without being published: a scan engine's many counters are there to be added, no page of their own. */
const ofStreams = /^\/stream(s|_means)\//;

/** Make a page from the published tree alone: tiles first, then images beside curves, then the rest. */
export function defaultLayout(tree: TreeNode[], nRegions: number): Layout {
  const used = partsOfOthers(tree);
  const shown = tree.filter((node) => node.kind === "dataset" && node.plot && node.plot !== "none" && !used.has(node.path) && !ofStreams.test(node.path));
  const of = (kind: PanelKind) => shown.filter((node) => node.plot === kind).map((node) => newPanel(kind, [node.path]));
  // Of grid scans the newest is published first; however large, it stays before the others.
  const area = (panel: Panel) => {
    const node = tree.find(({ path }) => path === panel.paths[0]);
    return node?.attributes?.["grid"] ? 0 : (node?.shape ?? []).slice(-2).reduce((a, b) => a * b, 1);
  };
  const images = of("image").sort((a, b) => area(b) - area(a)), curves = of("curve");
  const panels = of("number").slice(0, 24);
  const beside = [...curves];
  if (nRegions) beside.unshift(newPanel("history", ["region:*"], "Regions"));
  for (const image of images.slice(0, 6)) {
    panels.push(image);
    // Two plots as high together as the image stand beside it.
    for (const [plot, height] of [[beside.shift(), 6], [beside.shift(), 6]] as const) {
      if (plot) panels.push({ ...plot, h: height });
    }
  }
  panels.push(...beside.slice(0, 12), ...of("table"), ...of("text"));
  return { panels: panels.slice(0, 60) };
}

/** Columns a plot takes on a page of so many. */
export function spanOn(columns: number, w: number): number {
  if (columns >= COLUMNS) return w;
  if (columns >= 6) return w <= 2 ? 2 : w <= 4 ? 3 : 6;
  return w <= 2 ? 2 : 4;
}
