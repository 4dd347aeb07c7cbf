/** A small menu at a button: arrow keys, Escape, closes when something else is touched. */

import { el } from "./elements.ts";

export type MenuEntry = { label: string; run?: () => void; checked?: boolean; off?: boolean } | "line";

export function openMenu(anchor: HTMLElement, entries: MenuEntry[]): void {
  document.querySelector(".menu")?.remove();
  const close = (): void => {
    menu.remove();
    document.removeEventListener("pointerdown", outside, true);
  };
  const outside = (event: Event): void => {
    if (!menu.contains(event.target as Node)) close();
  };
  const items = entries.map((entry) => {
    if (entry === "line") return el("hr");
    const mark = entry.checked === undefined ? "" : entry.checked ? "✓ " : "\u2003";
    return el("button", { type: "button", role: "menuitem", disabled: entry.off, onclick: () => (close(), anchor.focus(), entry.run?.()) }, mark + entry.label);
  });
  const menu = el("div", { class: "menu", role: "menu", onkeydown: (event: KeyboardEvent) => {
    const focusable = [...menu.querySelectorAll<HTMLElement>("button:not(:disabled)")];
    const at = focusable.indexOf(document.activeElement as HTMLElement);
    if (event.key === "Escape" || event.key === "Tab") (close(), anchor.focus());
    else if (event.key === "ArrowDown") focusable[(at + 1) % focusable.length]?.focus();
    else if (event.key === "ArrowUp") focusable[(at + focusable.length - 1) % focusable.length]?.focus();
    else return;
    event.preventDefault();
  } }, ...items);
  document.body.append(menu);
  const at = anchor.getBoundingClientRect();
  menu.style.left = `${Math.max(4, Math.min(at.left, window.innerWidth - menu.offsetWidth - 4))}px`;
  const below = at.bottom + menu.offsetHeight + 4 < window.innerHeight;
  menu.style.top = `${below ? at.bottom + 2 : Math.max(4, at.top - menu.offsetHeight - 2)}px`;
  menu.querySelector<HTMLElement>("button:not(:disabled)")?.focus();
  document.addEventListener("pointerdown", outside, true);
}
