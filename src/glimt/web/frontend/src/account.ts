/** What follows from the account of a run. */

import type { Health, Ledger } from "./protocol.ts";

export const sum = (values: Record<string, number> | undefined): number => Object.values(values ?? {}).reduce((total, value) => total + value, 0);

/** Packets by which the account is wrong: 0 where `received = reduced + failed + dropped + pending`. */
export function imbalance(ledger: Ledger): number {
  return (ledger.received ?? 0) - (ledger.reduced ?? 0) - (ledger.failed ?? 0) - (ledger.pending ?? 0) - sum(ledger.dropped);
}

/** Events that wait, and how long they take at the present rate [s]; `null` where nothing gets less. */
export function backlog(health: Health): { events: number; drain_s: number | null } {
  const events = Math.max(0, ...Object.values(health.streams ?? {}).map((stream) => stream.ledger?.pending ?? 0));
  const rate = health.scan?.event_rate ?? 0;
  return { events, drain_s: events === 0 ? 0 : rate > 0 ? events / rate : null };
}
