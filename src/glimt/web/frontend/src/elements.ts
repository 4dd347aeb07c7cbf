/** DOM elements. All text goes through text nodes: nothing that was published ever becomes HTML. */

type Child = Node | string | null | undefined | false;
type Props = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

/** Make an element; functions become listeners (`onclick`), `true` an empty attribute, `null` and `false` nothing. */
export function el<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

const PATHS: Record<string, string> = {
  add: "M8 3v10M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  menu: "M8 3.5v.01M8 8v.01M8 12.5v.01",
  select: "M4 2.5l8 5-3.6.9L6.2 12z",
  rectangle: "M3 4h10v8H3z",
  polygon: "M8 2.5l5 4-2 6.5H5L3 6.5z",
  ring: "M8 2.2a5.8 5.8 0 1 0 .01 0M8 5.4a2.6 2.6 0 1 0 .01 0",
  zoomIn: "M7 3a4 4 0 1 0 .01 0M10 10l3.5 3.5M7 5.2v3.6M5.2 7h3.6",
  zoomOut: "M7 3a4 4 0 1 0 .01 0M10 10l3.5 3.5M5.2 7h3.6",
  fit: "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3",
  theme: "M8 2.5a5.5 5.5 0 1 0 .01 0M8 2.5v11A5.5 5.5 0 0 0 8 2.5",
  share: "M6.5 9.5l3-3M7 5l1.8-1.8a2.8 2.8 0 0 1 4 4L11 9M9 11l-1.8 1.8a2.8 2.8 0 0 1-4-4L5 7",
  layout: "M2.5 3h11v10h-11zM2.5 7h11M8 7v6",
  trash: "M3 4.5h10M6 4.5V3h4v1.5M4.5 4.5l.5 8.5h6l.5-8.5",
  chart: "M2.5 12.5l3.5-4 3 2.5 4.5-6",
};

export function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name] ?? "");
  svg.append(path);
  return svg;
}

export function button(name: string, title: string, onclick: () => void, text = ""): HTMLButtonElement {
  return el("button", { type: "button", title, "aria-label": title, class: text ? "button" : "button only-icon", onclick },
    name ? icon(name) : null, name && text ? el("span", {}, text) : text);
}

/** A choice; entries are values, or [value, label]. */
export function choice(label: string, entries: (string | [string, string])[], value: string, onchange: (value: string) => void): HTMLSelectElement {
  const select = el("select", { "aria-label": label, title: label, onchange: () => onchange(select.value) });
  for (const entry of entries) {
    const [key, text] = typeof entry === "string" ? [entry, entry] : entry;
    select.append(el("option", { value: key }, text));
  }
  select.value = value;
  return select;
}

export function toggle(label: string, checked: boolean, onchange: (checked: boolean) => void): HTMLLabelElement {
  const box = el("input", { type: "checkbox", onchange: () => onchange(box.checked) });
  box.checked = checked;
  return el("label", { class: "toggle" }, box, label);
}

/** Replace what an element holds, unless it is the same text already. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

let toastTimer = 0;

/** Say something for a few seconds. */
export function toast(text: string, kind: "info" | "error" = "info"): void {
  const box = document.getElementById("toast")!;
  setText(box, text);
  box.className = `shown ${kind}`;
  window.clearTimeout(toastTimer);
  toastTimer = window.setTimeout(() => (box.className = ""), kind === "error" ? 8000 : 3500);
}
