/** The page: top bar, plots, dock; one turn of the connection is one animation frame. */

import "uplot/dist/uPlot.min.css";
import "./page.css";
import { openAddPlot } from "./add_plot.ts";
import { Api, ApiError } from "./api.ts";
import { Connection } from "./connection.ts";
import { button, el, setText, toast } from "./elements.ts";
import { Grid } from "./grid.ts";
import { HealthDock } from "./health_dock.ts";
import { LayoutMenu } from "./layout_menu.ts";
import { openMenu } from "./menu.ts";
import { count, duration, short } from "./numbers.ts";
import { type Drawn, type Page, attempt } from "./page.ts";
import { ParameterDock } from "./parameter_dock.ts";
import { RegionDock } from "./region_dock.ts";
import { Store } from "./store.ts";

const store = new Store();
const api = new Api();
const waiting = new Set<Drawn>();
const turns: number[] = [];
const delays: number[] = [];
let frame = 0, wantTimer = 0, owesReady = false, dockName = "";

const page: Page = {
  store, api, mayChange: true, selectedRegion: null,
  edited: () => layouts.edited(),
  wantsChanged: () => {
    wantTimer ||= window.setTimeout(() => {
      wantTimer = 0;
      connection.want(document.hidden ? [] : grid.wants());
    }, 40);
  },
  drawSoon: (view) => {
    waiting.add(view);
    frame ||= requestAnimationFrame(drawAll);
  },
  addPanel: (kind, paths, title) => layouts.add(kind, paths, title),
  selectRegion: (id) => {
    if (page.selectedRegion === id) return;
    page.selectedRegion = id;
    regionDock.select(id);
    store.tell("selection");
  },
  openDock: (name) => name !== dockName && window.innerWidth > 700 && showDock(name), // on a phone it would hide the plot
};

function drawAll(): void {
  frame = 0;
  const views = [...waiting];
  waiting.clear();
  for (const view of views) view.draw();
  if (owesReady) finishTurn();
}

function finishTurn(): void {
  owesReady = false;
  const now = performance.now();
  turns.push(now);
  if (store.timeS) delays.push(Date.now() - 1000 * store.timeS);
  if (turns.length > 100) turns.shift();
  if (delays.length > 100) delays.shift();
  connection.ready();
}

function screenTimes(): string {
  const recent = turns.filter((turn) => turn > performance.now() - 5000);
  const sorted = delays.slice(-50).sort((a, b) => a - b);
  const at = (part: number) => duration((sorted[Math.floor(part * (sorted.length - 1))] ?? NaN) / 1000);
  return `${(recent.length / 5).toFixed(1)} Hz, published → drawn ${at(0.5)} (p95 ${at(0.95)})`;
}

const connection = new Connection(() => api.socketUrl(), () => api.who, (message) => {
  store.take(message);
  if (message.header.type === "problem") toast(message.header.reason ?? "the server refused a message", "error");
  if (message.header.type !== "data") return;
  owesReady = true;
  // A hidden tab gets no animation frames: it asks for nothing and answers once a second.
  if (document.hidden) window.setTimeout(() => owesReady && finishTurn(), 1000);
  else frame ||= requestAnimationFrame(drawAll);
}, () => {
  store.connected = connection.status === "open";
  if (connection.status === "lost") void greet();
  store.tell("connection");
  renewBar();
});

const grid = new Grid(page);
const layouts = new LayoutMenu(page, (panels) => grid.set(panels));
const regionDock = new RegionDock(page);
const docks: Record<string, { label: string; root: HTMLElement; draw?: () => void }> = {
  regions: { label: "Regions", root: regionDock.root, draw: () => regionDock.draw() },
  parameters: { label: "Parameters", root: new ParameterDock(page).root },
};
const healthDock = new HealthDock(page, screenTimes);
docks["health"] = { label: "Health", root: healthDock.root, draw: () => healthDock.draw() };

const dock = el("aside", { class: "dock", hidden: true, "aria-label": "details" });
const name = el("strong"), state = el("span", { class: "pill", id: "run-state" }), scan = el("span", { id: "scan" }), event = el("span", { id: "event" }), rate = el("span", { id: "rate" });
const lost = el("span", { id: "loss" }), viewers = el("span", { id: "viewers" }), fresh = el("span", { class: "pill", id: "freshness" }), notice = el("div", { id: "notice", role: "status", hidden: true });
const tabs = Object.entries(docks).map(([key, { label }]) => el("button", { type: "button", class: "button tab", "data-dock": key, "aria-pressed": "false", onclick: () => showDock(dockName === key ? "" : key) }, label));
const layoutButton = button("layout", "Save, load, share layouts", () => void layouts.entries().then((entries) => openMenu(layoutButton, entries)), "Layout");

document.getElementById("page")!.append(
  el("header", { class: "bar" }, el("span", { class: "brand" }, "glimt"), name, state, fresh, scan, event, rate, lost, viewers, el("span", { class: "space" }),
    button("add", "Add a plot", () => openAddPlot(page), "Plot"), layoutButton, ...tabs,
    button("share", "Copy a link that may look and change nothing", () => void share()), button("theme", "Light or dark", switchTheme)),
  notice, el("div", { class: "body" }, grid.root, dock));

function showDock(key: string): void {
  dockName = key;
  dock.hidden = !key;
  tabs.forEach((tab) => tab.setAttribute("aria-pressed", String(tab.dataset["dock"] === key)));
  dock.replaceChildren(...(key ? [docks[key]!.root] : []));
  docks[key]?.draw?.();
}

function renewBar(): void {
  const { health, progress, freshness, event_number: newest, viewers: looking } = store.state;
  const isLost = connection.status === "lost";
  setText(state, health?.state ?? (progress ? `replay${progress.fraction == null ? "" : ` ${Math.floor(100 * progress.fraction)} %`}` : "–"));
  state.className = `pill ${health?.state ?? ""}`;
  setText(fresh, isLost ? "no connection" : progress?.finished ? "ended" : freshness?.state ?? "…");
  fresh.className = `pill ${isLost ? "lost" : progress?.finished ? "ended" : freshness?.state ?? ""}`;
  setText(scan, health?.scan?.scan_number ? `scan ${health.scan.scan_number}` : "");
  setText(event, newest === null || newest === undefined ? "" : `event ${newest}`);
  setText(rate, health?.scan?.event_rate === undefined ? "" : `${short(health.scan.event_rate, 3)}/s`);
  const gone = Object.values(health?.streams ?? {}).reduce((total, { ledger = {} }) =>
    total + (ledger.n_missing ?? 0) + (ledger.failed ?? 0) + Object.values(ledger.dropped ?? {}).reduce((a, b) => a + b, 0), 0);
  setText(lost, gone ? `${count(gone)} lost or failed` : "");
  setText(viewers, looking && looking > 1 ? `${looking} viewers` : "");
  const wait = Math.max(0, Math.ceil((connection.retryAt - Date.now()) / 1000));
  const text = isRefused ? "This page needs a token. Reload it to give one." : isLost ? `Connection lost; what is shown is old. Trying again${wait ? ` in ${wait} s` : ""} …`
    : freshness?.state === "lost" ? `The reducer does not answer; what is shown is old. ${freshness.reason}` : "";
  notice.hidden = !text;
  setText(notice, text);
}

async function share(): Promise<void> {
  const link = await attempt(api.call<{ url: string }>("POST", "view-link"));
  if (!link) return;
  try {
    await navigator.clipboard.writeText(link.url);
    toast("view-only link copied");
  } catch {
    window.prompt("View-only link", link.url);
  }
}

function switchTheme(): void {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const next = (document.documentElement.dataset["theme"] ?? (isDark ? "dark" : "light")) === "dark" ? "light" : "dark";
  localStorage.setItem("glimt-theme", next);
  document.documentElement.dataset["theme"] = next;
  grid.themed();
}

let isGreeting = false, isRefused = false;

/** Learn what this page may do; ask for the token where the server wants one; without it there is nothing to connect to. */
async function greet(): Promise<void> {
  if (isGreeting || isRefused) return;
  isGreeting = true;
  let question = "This page needs the token of the run", isGiven = false;
  while (!isRefused) {
    try {
      const hello = await api.call<{ name: string; may_change: boolean }>("GET", "hello");
      api.setToken(api.token);
      page.mayChange = hello.may_change;
      document.body.classList.toggle("view-only", !hello.may_change);
      setText(name, hello.name);
      document.title = `${hello.name} – glimt`;
      store.tell("regions", "parameters");
      if (isGiven) connection.retryNow();
      break;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) break;
      if (api.token) question = "This is not the token of the run; try again";
      const token = api.token ? "" : window.prompt(question)?.trim();
      isRefused = token === undefined;
      isGiven ||= Boolean(token);
      api.setToken(token ?? "");
    }
  }
  isGreeting = false;
  renewBar();
}

const theme = localStorage.getItem("glimt-theme");
if (theme) document.documentElement.dataset["theme"] = theme;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => grid.themed());
document.addEventListener("visibilitychange", () => page.wantsChanged());
store.on(["health", "progress", "freshness", "event_number", "viewers"], renewBar);
window.setInterval(renewBar, 1000);
window.addEventListener("hashchange", () => location.reload()); // a link with another token, in the same tab
void greet().then(() => isRefused || connection.open());
