/** Parameters as forms made from their descriptions, and who changed what, when, from which event on. */

import { ApiError } from "./api.ts";
import { el, setText } from "./elements.ts";
import { clock, eventText, several, short } from "./numbers.ts";
import type { Page } from "./page.ts";
import type { Change, Description } from "./protocol.ts";

const PAUSE_MS = 150, REFUSED_MS = 4000, TOLD_MS = 30_000;

interface Field {
  root: HTMLElement;
  answer: HTMLElement;
  /** Show the value in force; `anyway` also where the cursor is in the field. */
  show(value: string | null, anyway?: boolean): void;
  /** What is typed, as it is shown. */
  typed(): string;
  say(text: string, isError?: boolean): void;
}

export class ParameterDock {
  readonly root = el("section", { class: "dock-page" });
  private readonly fields = new Map<string, Field>();
  private readonly changes = el("div");
  private readonly who: HTMLInputElement = el("input", {
    type: "text", maxlength: 60, placeholder: "your name", onchange: () => this.page.api.setWho(this.who.value),
  });
  private descriptions = "";
  private readonly timers = new Map<string, number>();

  constructor(private readonly page: Page) {
    page.store.on(["parameters"], () => this.renew());
    page.store.on(["changes"], () => this.listChanges());
    this.who.value = page.api.who;
    this.renew();
    this.listChanges();
  }

  private renew(): void {
    const { descriptions = [], values = {} } = this.page.store.state.parameters ?? {};
    const key = JSON.stringify([descriptions, this.page.mayChange]);
    if (key !== this.descriptions) {
      this.descriptions = key;
      this.fields.clear();
      for (const description of descriptions) this.fields.set(description.name, this.field(description));
      const none = descriptions.length ? null : el("p", { class: "hint" }, "Nothing here can be changed: no class of this run describes a parameter.");
      this.root.replaceChildren(...[none, ...[...this.fields.values()].map((field) => field.root), el("label", { class: "dim" }, "Your name, shown beside what you change ", this.who), this.changes].filter((part) => part !== null));
    }
    for (const [name, field] of this.fields) if (!this.timers.has(name)) field.show(values[name] ?? null);
  }

  private field(description: Description): Field {
    const { name, unit } = description;
    const answer = el("output", { class: "dim" });
    const [input, show] = this.input(description);
    const typed = () => [...input.querySelectorAll<HTMLInputElement>("input, select")].map((each) => (each.type === "checkbox" ? each.checked : each.value)).join(" ");
    input.addEventListener("focusout", () => this.timers.has(name) || this.restore(name));
    const range = bounds(description);
    const facts = [unit, range, description.default === undefined || ["binary", "roi"].includes(description.dtype) ? "" : `default ${String(description.default)}`].filter(Boolean).join(" · ");
    const root = el("article", { class: "card parameter", "data-parameter": name },
      el("label", {}, el("b", {}, name), el("small", { class: "dim" }, ` ${facts}`), description.description ? el("p", {}, description.description) : null, input), answer);
    input.querySelectorAll("input, select").forEach((each) => ((each as HTMLInputElement).disabled = !this.page.mayChange));
    return { root, answer, show, typed, say: (text, isError = false) => (setText(answer, text), void answer.classList.toggle("bad", isError)) };
  }

  /** What the value is entered with, and how to show a value in it. */
  private input({ name, dtype, minimum, maximum, choices, default: preset }: Description): [HTMLElement, Field["show"]] {
    const isNumber = dtype === "int" || dtype === "float";
    if (dtype === "roi") {
      const text = el("span", { class: "dim" });
      return [el("div", {}, text), () => setText(text, `${several(this.page.store.state.regions?.length ?? 0, "region")}, as drawn on the images`)];
    }
    if (dtype === "binary") {
      const file = el("input", { type: "file", onchange: () => file.files?.[0] && this.send(name, file.files[0], 0) });
      return [el("div", {}, file), () => undefined];
    }
    if (dtype === "bool") {
      const box = el("input", { type: "checkbox", role: "switch", onchange: () => this.send(name, box.checked ? "True" : "False", 0) });
      return [el("div", {}, box), (value) => (box.checked = /^(true|1|on|yes)$/i.test(value ?? String(preset ?? "")))];
    }
    if (choices?.length) {
      const select = el("select", { onchange: () => this.send(name, select.value, 0) }, ...choices.map((each) => el("option", {}, each)));
      return [el("div", {}, select), (value) => (select.value = value ?? String(preset ?? ""))];
    }
    const box = el("input", { type: isNumber ? "number" : "text", "aria-label": name, step: dtype === "int" ? 1 : "any", min: minimum, max: maximum, onchange: () => this.send(name, box.value, 0) });
    if (!isNumber || minimum === null || minimum === undefined || maximum === null || maximum === undefined) {
      return [el("div", { class: "row" }, box), (value, anyway = false) => void ((anyway || document.activeElement !== box) && (box.value = value ?? String(preset ?? "")))];
    }
    const step = dtype === "int" ? 1 : (maximum - minimum) / 200;
    const slider = el("input", { type: "range", min: minimum, max: maximum, step, "aria-label": name, oninput: () => {
      box.value = dtype === "int" ? slider.value : String(Number(Number(slider.value).toPrecision(6)));
      this.send(name, box.value, PAUSE_MS);
    } });
    return [el("div", { class: "row" }, slider, box), (value, anyway = false) => {
      slider.value = value ?? String(preset ?? "");
      if (anyway || document.activeElement !== box) box.value = value ?? String(preset ?? "");
    }];
  }

  /** Send a value after a pause in which a later one takes its place. */
  private send(name: string, value: string | Blob, pause: number): void {
    window.clearTimeout(this.timers.get(name));
    this.timers.set(name, window.setTimeout(() => void this.post(name, value), pause));
    this.fields.get(name)?.say("…");
  }

  private async post(name: string, value: string | Blob): Promise<void> {
    try {
      const answer = await this.page.api.call<Change>("POST", `parameters/${encodeURIComponent(name)}`, value);
      const { values = {} } = this.page.store.state.parameters ?? {};
      if (typeof value === "string") values[name] = value;
      this.fields.get(name)?.say(answer.event_number !== null ? `applied from ${eventText(answer)}`
        : this.page.store.state.progress?.finished ? "kept, but the replay has ended: no event has it" : "applies from the next event on");
    } catch (error) {
      this.fields.get(name)?.say(`Not changed: ${error instanceof ApiError ? error.message : String(error)}`, true);
      if (this.fields.has(name)) this.restoreSoon(name);
    } finally {
      this.timers.delete(name);
    }
  }

  private restore(name: string, anyway = false): void {
    this.fields.get(name)?.show(this.page.store.state.parameters?.values[name] ?? null, anyway);
  }

  /** What was refused stays to be read, and mended, for a while; the reason stays longer. */
  private restoreSoon(name: string): void {
    const field = this.fields.get(name)!;
    const refused = field.typed(), reason = field.answer.textContent!;
    const isSaid = () => field.answer.textContent === reason;
    window.setTimeout(() => {
      if (isSaid()) field.say(reason);
      if (field.typed() === refused && !this.timers.has(name)) this.restore(name, true);
    }, REFUSED_MS);
    window.setTimeout(() => isSaid() && field.say(""), TOLD_MS);
  }

  private listChanges(): void {
    const rows = [...(this.page.store.state.changes ?? [])].reverse().slice(0, 50).map((change) =>
      el("tr", {}, el("td", {}, clock(change.time_s)), el("td", {}, change.name), el("td", { class: "value" }, change.value === null ? "(bytes)" : /^\[\{?.*"kind"/.test(change.value) ? "regions as drawn" : change.value.slice(0, 60)),
        el("td", {}, change.event_number === null ? "–" : `${change.scan_number ? `scan ${change.scan_number} ` : ""}#${change.event_number}`), el("td", {}, change.who)));
    const head = el("tr", {}, ...["when", "what", "value", "from", "who"].map((text) => el("th", {}, text)));
    this.changes.replaceChildren(...(rows.length ? [el("h3", {}, "Changes"), el("table", { class: "list", id: "changes" }, el("thead", {}, head), el("tbody", {}, ...rows))] : []));
  }
}

function bounds({ minimum, maximum }: Description): string {
  if (minimum !== null && minimum !== undefined && maximum !== null && maximum !== undefined) return `${short(minimum)} to ${short(maximum)}`;
  if (minimum !== null && minimum !== undefined) return `at least ${short(minimum)}`;
  return maximum !== null && maximum !== undefined ? `at most ${short(maximum)}` : "";
}
