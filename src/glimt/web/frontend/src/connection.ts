/** The WebSocket: pulls turns with `ready`, comes back by itself with growing pauses. */

import { type Message, type Want, decode } from "./protocol.ts";

export type Status = "connecting" | "open" | "lost";

const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 8000;
const SILENCE_MS = 45_000;

/** How long to wait before attempt n (from 0) [ms]; `chance` in 0..1 spreads pages that lost the server together. */
export function pauseMs(attempt: number, chance: number): number {
  return Math.min(FIRST_PAUSE_MS * 2 ** attempt, LONGEST_PAUSE_MS) * (0.75 + 0.5 * chance);
}

export class Connection {
  status: Status = "connecting";
  retryAt = 0;
  private socket: WebSocket | null = null;
  private attempt = 0;
  private timer = 0;
  private silence = 0;
  private wanted = "[]";

  constructor(
    private readonly url: () => string,
    private readonly who: () => string,
    private readonly onMessage: (message: Message) => void,
    private readonly onStatus: () => void,
  ) {
    window.addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.retryNow();
    });
  }

  open(): void {
    window.clearTimeout(this.timer);
    this.set("connecting");
    const socket = new WebSocket(this.url());
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.send({ op: "want", plots: JSON.parse(this.wanted) as unknown });
      this.send({ op: "hello", history: true, who: this.who() });
      this.watch();
    };
    socket.onmessage = (event) => this.received(event.data as ArrayBuffer);
    socket.onclose = () => {
      if (this.socket === socket) this.lost();
    };
  }

  retryNow(): void {
    if (this.status === "lost") this.open();
  }

  want(plots: Want[]): void {
    const wanted = JSON.stringify(plots);
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    if (this.status === "open") this.send({ op: "want", plots });
  }

  ready(): void {
    this.send({ op: "ready" });
    this.watch();
  }

  private received(data: ArrayBuffer): void {
    this.attempt = 0;
    if (this.status !== "open") this.set("open");
    this.watch();
    this.onMessage(decode(data));
  }

  private send(message: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** A turn comes every second: after long silence the other end is gone, whatever TCP believes. */
  private watch(): void {
    window.clearTimeout(this.silence);
    this.silence = window.setTimeout(() => {
      const socket = this.socket;
      this.lost();
      socket?.close();
    }, SILENCE_MS);
  }

  private lost(): void {
    window.clearTimeout(this.silence);
    this.socket = null;
    const pause = pauseMs(this.attempt, Math.random());
    this.attempt += 1;
    this.retryAt = Date.now() + pause;
    this.timer = window.setTimeout(() => this.open(), pause);
    this.set("lost");
  }

  private set(status: Status): void {
    // Between two attempts the page says "lost" all the time.
    if (status === "connecting" && this.attempt > 0) return;
    this.status = status;
    this.onStatus();
  }
}
