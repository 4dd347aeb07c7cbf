/** Everything the page knows of the run, and who wants to hear of changes. */

import type { Change, Header, LogLine, Message, Plot, Point, Points, Region, State, TreeNode } from "./protocol.ts";
import { Series } from "./series.ts";

export type Topic = keyof State | "numbers" | "points" | "series" | "plots" | "log" | "history" | "connection" | "selection";
const LOG_LINES = 1000;

export class Store {
  state: Partial<State> = {};
  numbers: Record<string, number | null> = {};
  points: Points = {};
  series = new Map<string, Series>();
  log: LogLine[] = [];
  connected = false;
  timeS = 0;
  receivedAt = 0;
  private readonly listeners = new Map<Topic, Set<() => void>>();
  private readonly plotTakers = new Set<(plot: Plot, message: Message) => void>();

  /** Call `listener` after each change of a topic; returns how to end that. */
  on(topics: Topic[], listener: () => void): () => void {
    for (const topic of topics) {
      const set = this.listeners.get(topic) ?? new Set();
      this.listeners.set(topic, set.add(listener));
    }
    return () => topics.forEach((topic) => this.listeners.get(topic)?.delete(listener));
  }

  onPlot(taker: (plot: Plot, message: Message) => void): void {
    this.plotTakers.add(taker);
  }

  tell(...topics: Topic[]): void {
    const called = new Set(topics.flatMap((topic) => [...(this.listeners.get(topic) ?? [])]));
    called.forEach((listener) => listener());
  }

  take(message: Message): void {
    const { header } = message;
    if (header.type === "state") this.takeState(header);
    else if (header.type === "history") this.takeHistory(message);
    else if (header.type === "data") this.takeData(message);
    else if (header.type === "problem") console.info(`glimt: ${header.reason ?? "a message was refused"}`);
  }

  node(path: string): TreeNode | undefined {
    return this.state.tree?.find((node) => node.path === path);
  }

  region(id: string): Region | undefined {
    return this.state.regions?.find((region) => region.id === id);
  }

  seriesOf(id: string): Series {
    let series = this.series.get(id);
    if (!series) this.series.set(id, (series = new Series()));
    return series;
  }

  /** Paths of all published numbers. */
  numberPaths(): string[] {
    return (this.state.tree ?? []).filter((node) => node.plot === "number").map((node) => node.path);
  }

  private takeState(header: Header): void {
    const { type: _type, buffers: _buffers, ...state } = header;
    Object.assign(this.state, state);
    this.tell(...(Object.keys(state) as Topic[]));
  }

  private takeHistory(message: Message): void {
    for (const { id, buffer } of message.header.series ?? []) {
      const block = message.blocks.get(buffer);
      if (!block) continue;
      if (id.startsWith("region:")) this.seriesOf(id).clear(); // regions persist on the server: it knows all of them
      this.seriesOf(id).merge(block);
    }
    if (message.header.log) this.log = message.header.log.slice(-LOG_LINES);
    if (message.header.changes) this.state.changes = message.header.changes as Change[];
    this.tell("history", "series", "log", "changes");
  }

  private takeData(message: Message): void {
    const { header } = message;
    const topics: Topic[] = ["plots"];
    this.timeS = header.time_s ?? this.timeS;
    this.receivedAt = performance.now();
    for (const plot of header.plots ?? []) this.plotTakers.forEach((taker) => taker(plot, message));
    if (header.numbers) {
      Object.assign(this.numbers, header.numbers);
      topics.push("numbers");
    }
    const points = header.regions as unknown as Record<string, Point> | undefined;
    if (points && Object.keys(points).length) {
      Object.assign(this.points, points);
      topics.push("points");
    }
    for (const { id, buffer, reset } of header.series ?? []) {
      const series = this.seriesOf(id);
      if (reset) series.clear();
      const block = message.blocks.get(buffer);
      if (block) series.append(block);
    }
    if (header.series?.length) topics.push("series");
    if (header.log?.length) {
      this.log = [...this.log, ...header.log].slice(-LOG_LINES);
      topics.push("log");
    }
    this.tell(...topics);
  }
}
