/** Health: the account of every stream, rates, latency, backlog, processes, disks, log. */

import { backlog, imbalance, sum } from "./account.ts";
import { choice, el } from "./elements.ts";
import { bytes, clock, count, duration, several, short } from "./numbers.ts";
import type { Page } from "./page.ts";
import type { Health, Process, Queue } from "./protocol.ts";

const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
export class HealthDock {
  readonly root: HTMLElement;
  private readonly facts = el("div");
  private readonly lines = el("div", { class: "log", role: "log" });
  private level = "INFO";

  constructor(private readonly page: Page, private readonly screenTimes: () => string) {
    this.root = el("section", { class: "dock-page" }, this.facts,
      el("h3", {}, "Log ", choice("least level", LEVELS, this.level, (level) => ((this.level = level), this.drawLog()))), this.lines);
    page.store.on(["health", "progress", "freshness", "viewers"], () => page.drawSoon(this));
    page.store.on(["log"], () => this.drawLog());
    window.setInterval(() => this.root.isConnected && this.draw(), 1000);
  }

  draw(): void {
    if (!this.root.isConnected) return;
    const { health, progress, freshness, viewers, problems } = this.page.store.state;
    const parts: (Node | null)[] = [];
    if (health) parts.push(...run(health));
    if (progress) parts.push(list("Replay", [["events", count(progress.n_events)], ["results", count(progress.n_results)], ["failures", count(progress.n_failures)],
      ["done", progress.fraction === null || progress.fraction === undefined ? "–" : `${(100 * progress.fraction).toFixed(0)} %`], ...(progress.errors ?? []).map((text): [string, string] => ["error", text])]));
    parts.push(list("Picture", [["newest data", progress?.finished ? "of a replay that has ended" : freshness ? `${freshness.state}${freshness.reason ? `: ${freshness.reason}` : ""}` : "–"], ["this page", this.screenTimes()], ["viewers", count(viewers)]]));
    if (problems?.length) parts.push(list("Published, but not shown", problems.map(({ path, reason }): [string, string] => [path, reason])));
    this.facts.replaceChildren(...parts.filter((part) => part !== null));
    if (!this.lines.childElementCount) this.drawLog();
  }

  private drawLog(): void {
    if (!this.root.isConnected) return;
    const least = LEVELS.indexOf(this.level);
    const atEnd = this.lines.scrollTop + this.lines.clientHeight >= this.lines.scrollHeight - 20;
    const shown = this.page.store.log.filter((line) => LEVELS.indexOf(line.levelname) >= least).slice(-300);
    this.lines.replaceChildren(...(shown.length ? [] : [el("p", { class: "dim" }, "nothing at this level")]), ...shown.map((line) => el("p", { class: line.levelname.toLowerCase() }, el("time", {}, clock(Number(line.created))), el("b", {}, line.levelname), ` ${line.msg}`)));
    if (atEnd) this.lines.scrollTop = this.lines.scrollHeight;
  }
}

function run(health: Health): Node[] {
  const { scan, latency_s: latency = {} } = health;
  const waits = backlog(health);
  const quantiles = Object.entries(latency).map(([quantile, seconds]) => `p${short(Number(quantile) * 100)} ${duration(seconds)}`).join(", ");
  return [
    list("Run", [["state", health.state ?? "–"], ...(health.reason ? [["reason", health.reason] as [string, string]] : []), ["up", duration(health.uptime_s)],
      ...(scan ? [["scan", `${scan.scan_number ?? "–"}, ${count(scan.completed_events)} of ${scan.total_events ? count(scan.total_events) : "open end"}${scan.finished ? ", finished" : ""}`],
        ["rate", `${short(scan.event_rate, 3)} events/s`], ["failed events", count(scan.n_failures)],
        ["backlog", `${several(waits.events, "event")}, ${waits.drain_s === null ? "not draining" : waits.events ? `drained in ${duration(waits.drain_s)}` : "none"}`],
        ["memory", queue(health.ingester)], ["latency", quantiles || "–"]] as [string, string][] : [])]),
    ...streams(health), workers(health),
    ...(Object.keys(health.disks ?? {}).length ? [list("Disks", Object.entries(health.disks ?? {}).map(([path, disk]): [string, string] =>
      [disk.what ?? path, `${bytes(disk.free_bytes)} free, ${bytes(disk.write_rate)}/s${disk.error ? `, ${disk.error}` : ""}`]))] : []),
  ];
}

function streams({ streams = {} }: Health): Node[] {
  const cards = Object.entries(streams).map(([name, stream]) => {
    const ledger = stream.ledger ?? {};
    const wrong = imbalance(ledger);
    const cell = (label: string, value = 0, bad = false) => el("div", {}, el("dt", {}, label), el("dd", { class: bad && value ? "bad" : "" }, count(value)));
    const reasons = Object.entries(ledger.dropped ?? {}).map(([reason, n]) => `${count(n)} dropped: ${reason}`);
    const notes = [stream.reason, ...reasons, stream.n_bad ? `${several(stream.n_bad, "bad message")}: ${stream.last_bad ?? ""}` : ""].filter(Boolean).join("; ");
    const state = `${stream.connection ?? ""}${stream.silent_s && stream.silent_s > 5 ? `, silent for ${duration(stream.silent_s)}` : ""}`;
    return el("article", { class: "stream", "data-stream": name },
      el("p", {}, el("span", { class: `dot ${stream.connection ?? ""}`, title: state }), el("b", {}, name), `${short(stream.message_rate, 3)}/s`),
      el("dl", {}, cell("received", ledger.received), cell("reduced", ledger.reduced), cell("failed", ledger.failed, true), cell("dropped", sum(ledger.dropped), true),
        cell("pending", ledger.pending), cell("missing", ledger.n_missing, true)),
      el("p", { class: "dim" }, `${wrong ? `⚠ account off by ${count(wrong)}` : "✓ account balanced"} · ${state} · ${bytes(stream.n_bytes)} · queue ${queue(stream.queue)}${notes ? ` · ${notes}` : ""}`));
  });
  return cards.length ? [el("h3", {}, "Streams"), ...cards] : [];
}

function workers({ workers = {}, reducer }: Health): Node {
  const row = (name: string, process: Process) => {
    const done = process.n_events ?? process.n_all_results ?? process.n_results;
    const note = [process.last_exit, process.last_failure].filter(Boolean).join("; ");
    return [el("tr", {}, el("th", {}, el("span", { class: `dot ${process.state ?? ""}` }), name), el("td", {}, process.state ?? "–"), el("td", {}, count(done)), el("td", { class: process.n_failures ? "bad" : "" }, count(process.n_failures)),
      el("td", {}, `${short(process.event_rate ?? process.result_rate, 3)}/s`), el("td", {}, `${((process.busy ?? 0) * 100).toFixed(0)} %`), el("td", {}, count(process.n_restarts))),
    ...(note ? [el("tr", {}, el("td", { class: "note", colspan: 7 }, note))] : [])];
  };
  const head = el("tr", {}, ...["process", "state", "done", "failed", "rate", "busy", "restarts"].map((text) => el("th", {}, text)));
  const rows = [...Object.entries(workers).flatMap(([name, worker]) => row(name, worker)), ...(reducer ? row("reducer", reducer) : [])];
  return el("div", {}, el("h3", {}, "Processes"), el("div", { class: "wide" }, el("table", { class: "list" }, el("thead", {}, head), el("tbody", {}, ...rows))));
}

function queue(given: Queue | undefined): string {
  if (!given) return "–";
  return `${bytes(given.used_bytes ?? 0)} of ${bytes(given.limit_bytes)}${given.full_s ? `, full for ${duration(given.full_s)}` : ""}`;
}

function list(title: string, rows: [string, string][]): Node {
  return el("div", {}, el("h3", {}, title), el("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
}
