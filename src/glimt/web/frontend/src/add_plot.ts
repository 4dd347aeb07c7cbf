/** The dialog that adds plots: whatever is published, regions, and one value against another. */

import { button, choice, el } from "./elements.ts";
import type { PanelKind } from "./layout.ts";
import { type Page, labelOf } from "./page.ts";

const KINDS: Record<string, PanelKind[]> = {
  number: ["number", "history"], curve: ["curve", "table"], image: ["image", "curve", "table"], table: ["table"], text: ["text"], none: ["curve", "table"],
};

export function openAddPlot(page: Page): void {
  const { store } = page;
  const chosen = new Set<string>();
  const add = (kind: PanelKind, paths: string[]): void => {
    page.addPanel(kind, paths);
    dialog.close();
  };
  const together = button("chart", "Plot the chosen ones in one plot", () => {
    const paths = [...chosen];
    const series = paths.every((path) => path.startsWith("region:") || store.node(path)?.plot === "number");
    add(series ? "history" : "curve", paths.filter((path) => series || !path.startsWith("region:")));
  }, "Together in one plot");
  together.disabled = true;
  const row = (path: string, about: string, kinds: PanelKind[]) => {
    const box = el("input", { type: "checkbox", "aria-label": `choose ${labelOf(path, store)}`, onchange: () => {
      if (box.checked) chosen.add(path);
      else chosen.delete(path);
      together.disabled = chosen.size < 2;
    } });
    return el("li", { "data-search": labelOf(path, store).toLowerCase() }, box, el("b", {}, labelOf(path, store)), el("small", { class: "dim" }, about),
      el("span", {}, ...kinds.map((kind) => button("", `Add as ${kind}`, () => add(kind, [path]), kind))));
  };
  const items = [
    ...(store.state.regions ?? []).map((region) => row(`region:${region.id}`, region.kind, ["history", "histogram", ...(region.split?.delay ? ["delay" as const] : [])])),
    ...(store.state.tree ?? []).filter((node) => node.kind === "dataset").map((node) => row(node.path, `${node.dtype ?? ""} ${(node.shape ?? []).join(" × ")}`, KINDS[node.plot ?? "none"] ?? [])),
  ];
  const search = el("input", { type: "search", placeholder: "Search", "aria-label": "Search", oninput: () =>
    items.forEach((item) => (item.hidden = !item.dataset["search"]!.includes(search.value.toLowerCase()))) });
  const values = [...(store.state.regions ?? []).map((region) => `region:${region.id}`), ...store.numberPaths()].map((path): [string, string] => [path, labelOf(path, store)]);
  const y = choice("y", values, values[0]?.[0] ?? "", () => undefined), x = choice("x", values, values[1]?.[0] ?? "", () => undefined);
  const dialog: HTMLDialogElement = el("dialog", { class: "add", onclose: () => dialog.remove() },
    el("header", {}, el("h2", {}, "Add a plot"), button("close", "Close", () => dialog.close())), search, el("ul", {}, ...items),
    el("footer", {}, together, values.length > 1 ? el("span", {}, y, " against ", x, button("chart", "Add a scatter plot", () => add("scatter", [y.value, x.value]), "Scatter")) : null));
  document.body.append(dialog);
  dialog.showModal();
}
