/** Which layout is shown: the run's own, one by name, one from a file, or the one made from the tree. */

import { toast } from "./elements.ts";
import { type Layout, type Panel, type PanelKind, checkedLayout, defaultLayout, newPanel } from "./layout.ts";
import type { MenuEntry } from "./menu.ts";
import { type Page, attempt, download } from "./page.ts";

export class LayoutMenu {
  panels: Panel[] = [];
  private isAutomatic = true;
  private isEdited = false;
  private version: number | undefined;
  private readonly offered = new Set<string>();

  constructor(private readonly page: Page, private readonly show: (panels: Panel[]) => void) {
    page.store.on(["tree", "regions"], () => this.grow());
    page.store.on(["layout_version"], () => {
      const version = page.store.state.layout_version;
      if (this.version === version) return;
      this.version = version;
      if (!this.isEdited) void this.load("layout", true);
      else toast("somebody saved another layout: Layout → Saved layout shows it");
    });
  }

  edited(): void {
    this.isEdited = true;
    this.isAutomatic = false;
    document.body.classList.add("edited");
  }

  add(kind: PanelKind, paths: string[], title?: string): void {
    const panel = newPanel(kind, paths, title);
    this.edited();
    this.panels.push(panel);
    this.show(this.panels);
    document.querySelector(".grid > :last-child")?.scrollIntoView({ behavior: "smooth", block: "center" });
  }

  async entries(): Promise<MenuEntry[]> {
    const { api } = this.page;
    const names = (await attempt(api.call<{ names: string[] }>("GET", "layouts")))?.names ?? [];
    const off = !this.page.mayChange;
    return [
      { label: "Save for everybody", run: () => void this.save("layout"), off },
      { label: "Save under a name …", off, run: () => {
        const name = window.prompt("Name of the layout")?.trim();
        if (name) void this.save(`layouts/${encodeURIComponent(name)}`);
      } },
      "line", { label: "Saved layout", run: () => void this.load("layout", false) },
      ...names.map((name): MenuEntry => ({ label: `Layout “${name}”`, run: () => void this.load(`layouts/${encodeURIComponent(name)}`, false) })),
      { label: "Made from what is published", run: () => this.reset() },
      "line", { label: "Download as a file", run: () => download(new Blob([JSON.stringify(this.layout(), null, 1)], { type: "application/json" }), "glimt-page.json") },
      { label: "Open a file …", run: () => this.openFile() },
    ];
  }

  private layout(): Layout {
    return { panels: this.panels };
  }

  private async save(route: string): Promise<void> {
    const answer = await attempt(this.page.api.call<{ layout_version?: number } | null>("PUT", route, this.layout()));
    if (!answer) return;
    this.settle();
    this.version = answer.layout_version ?? this.version;
    toast("layout saved");
  }

  private settle(): void {
    this.isEdited = false;
    document.body.classList.remove("edited");
  }

  private async load(route: string, isQuiet: boolean): Promise<void> {
    const layout = checkedLayout(await attempt(this.page.api.call<unknown>("GET", route)));
    if (layout?.panels.length) this.use(layout);
    else if (!isQuiet) toast("no layout is saved yet");
  }

  private use(layout: Layout): void {
    this.isAutomatic = false;
    this.settle();
    this.show((this.panels = layout.panels));
  }

  private reset(): void {
    this.isAutomatic = true;
    this.settle();
    this.offered.clear();
    this.panels = [];
    this.grow();
  }

  /** While nobody arranged anything, what is newly published gets its plot. */
  private grow(): void {
    const { tree, regions } = this.page.store.state;
    if (!this.isAutomatic || !tree) return;
    const key = (panel: Panel) => `${panel.kind} ${panel.paths.join(" ")}`;
    const wanted = defaultLayout(tree, regions?.length ?? 0).panels;
    if (wanted.every((panel) => this.offered.has(key(panel)))) return;
    const present = new Map(this.panels.map((panel) => [key(panel), panel]));
    wanted.forEach((panel) => this.offered.add(key(panel)));
    this.show((this.panels = wanted.map((panel) => present.get(key(panel)) ?? panel)));
  }

  private openFile(): void {
    const input = document.createElement("input");
    input.type = "file";
    input.accept = ".json";
    input.onchange = async () => {
      try {
        const layout = checkedLayout(JSON.parse((await input.files?.[0]?.text()) ?? ""));
        if (!layout) throw new Error("no plots in it");
        this.use(layout);
        this.edited();
      } catch (error) {
        toast(`this file is no layout: ${String(error)}`, "error");
      }
    };
    input.click();
  }
}
