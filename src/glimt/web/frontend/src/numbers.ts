/** Numbers and times as people read them. */

/** Short text of a number: about `digits` digits, large and small ones with an exponent. */
export function short(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e7) return value.toLocaleString("en").replaceAll(",", "\u2009");
  if (size >= 1e6 || size < 1e-3) return value.toExponential(Math.max(digits - 2, 1)).replace("e+", "e");
  return value.toFixed(Math.min(Math.max(digits - 1 - Math.floor(Math.log10(size)), 0), 6));
}

/** Text of a tick of an axis: as many digits as it needs. */
export function tickText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return Number(value.toPrecision(6)).toExponential().replace("e+", "e");
  return Number.isInteger(value) ? short(value) : String(Number(value.toPrecision(6)));
}

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en").replaceAll(",", "\u2009");
}

export function bytes(value: number | undefined): string {
  if (value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let index = 0;
  for (; value >= 1000 && index < units.length - 1; index++) value /= 1000;
  return `${value.toFixed(value < 10 && index ? 1 : 0)} ${units[index]!}`;
}

/** 1 event, 2 events. */
export function several(value: number, what: string): string {
  return `${count(value)} ${what}${value === 1 ? "" : "s"}`;
}

/** From where on something holds: event 7, or event 7 of scan 2 where scans are counted. */
export function eventText({ event_number: event, scan_number: scan }: { event_number: number | null; scan_number?: number | null }): string {
  return `event ${event ?? "–"}${scan ? ` of scan ${scan}` : ""}`;
}

/** A duration: 80 ms, 3.2 s, 4 min 10 s, 2 h 5 min. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function clock(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

export function plain(value: number, error: number | null | undefined): string {
  return error === null || error === undefined ? short(value) : `${short(value)} ± ${short(error, 2)}`;
}
