/** What page and server say to each other (docs/reference/page-protocol.md): types, and decoding of binary messages. */

export type Numbers =
  | Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array;

export interface Block { data: Numbers; shape: number[] }

export type PlotKind = "number" | "curve" | "image" | "table" | "text";
export type Range = [number, number];

export interface TreeNode {
  path: string; kind: "group" | "dataset"; dtype?: string; shape?: number[] | null;
  attributes?: Record<string, unknown>; plot?: PlotKind | "none"; fields?: string[];
}

export interface Want {
  id: string; path: string; kind: PlotKind; rows?: Range; columns?: Range; size?: [number, number];
  pool?: "max" | "mean";
}

export interface Plot {
  id: string; path: string; kind: PlotKind; problem?: string; version: number; event_number: number | null;
  time_s: number; age_s: number; dtype: string; full_shape: number[]; rows: Range; columns: Range;
  bin: [number, number]; buffer: string; invalid: number | null; low: number | null; high: number | null;
  plane?: number[]; y: string; x: string | null; x0?: number; step?: number; is_thinned?: boolean;
  value: number | null; fields: { name: string; buffer?: string; texts?: string[] }[]; text: string;
}

export interface Side { mean: number | null; n: number; error: number | null }

export interface BinnedSide { mean: (number | null)[]; n: number[]; error: (number | null)[] }

export interface SplitPoint {
  on: Side; off: Side; difference: number | null; difference_error: number | null;
  bins: { edges: number[]; on: BinnedSide; off: BinnedSide } | null;
}

export interface Point {
  value: number | null; sum: number | null; mean: number | null; n_pixels: number; denominator: number | null;
  event_number: number | null; time_s: number; histogram?: { counts: number[]; low: number; high: number } | null;
  split?: SplitPoint | null; problem?: string;
}

export interface Split {
  on: string | null; above: number; delay: string | null; low: number; high: number; n_bins: number;
}

export interface Region {
  id: string; name: string; kind: "rectangle" | "polygon" | "ring" | "value"; image: string; color: string;
  quantity: "sum" | "mean"; denominator: string | null; events: string | null; split: Split | null;
  bounds?: [number, number, number, number]; vertices?: [number, number][]; center?: [number, number];
  r_min?: number; r_max?: number; changed_by?: string;
}

export interface Description {
  name: string; description?: string | null; dtype: "int" | "float" | "str" | "bool" | "binary" | "roi";
  default?: unknown; unit?: string | null; minimum?: number | null; maximum?: number | null;
  choices?: string[] | null;
}

export interface Parameters { descriptions: Description[]; values: Record<string, string | null>; hash: string }

export interface Change { name: string; value: string | null; who: string; time_s: number; event_number: number | null; scan_number?: number | null }

export interface LogLine { msg: string; name: string; levelname: string; created: string | number }

export interface Freshness { state: "live" | "idle" | "lost"; age_s: number | null; reason: string }

export interface Queue { used_bytes?: number; limit_bytes?: number; policy?: string; full_s?: number }

export interface Ledger {
  received?: number; reduced?: number; failed?: number; dropped?: Record<string, number>; pending?: number;
  n_missing?: number;
}

export interface Stream {
  protocol?: string; address?: string; connection?: string; reason?: string; silent_s?: number;
  message_rate?: number; n_bytes?: number; n_bad?: number; last_bad?: string; queue?: Queue; ledger?: Ledger;
}

export interface Process {
  state?: string; n_restarts?: number; last_exit?: string; n_events?: number; n_results?: number; n_all_results?: number;
  n_failures?: number; n_waiting?: number; last_failure?: string; event_rate?: number; result_rate?: number;
  busy?: number; backlog?: Queue;
}

export interface Health {
  name?: string;
  version?: string;
  state?: string;
  reason?: string;
  mode?: string;
  uptime_s?: number;
  scan?: {
    scan_number?: number; last_assigned?: number; completed_events?: number; total_events?: number | null;
    finished?: boolean; n_failures?: number; event_rate?: number; elapsed_s?: number;
  };
  streams?: Record<string, Stream>;
  workers?: Record<string, Process>;
  reducer?: Process;
  ingester?: Queue;
  disks?: Record<string, { what?: string; free_bytes?: number; total_bytes?: number; write_rate?: number; error?: string | null }>;
  latency_s?: Record<string, number>;
}

export interface Progress {
  n_events?: number; n_results?: number; n_failures?: number; errors?: string[]; fraction?: number | null; finished?: boolean;
}

export interface State {
  health: Health | null; progress: Progress | null; freshness: Freshness;
  scan: { scan_number: number | null; scan_id: string | null; event_number: number | null }; viewers: number;
  version: number; event_number: number | null; tree: TreeNode[]; problems: { path: string; reason: string }[];
  regions: Region[]; parameters: Parameters; changes: Change[]; layout_version: number;
}

export interface SeriesPart { id: string; buffer: string; reset?: boolean }

export interface Header extends Partial<State> {
  type: "state" | "history" | "data" | "problem"; reason?: string; series?: SeriesPart[]; log?: LogLine[];
  plots?: Plot[]; numbers?: Record<string, number | null>; time_s?: number;
  buffers?: { name: string; dtype: string; shape: number[]; offset: number }[];
}

/** Of a `data` message `regions` are points by id; of `state` they are the list. */
export type Points = Record<string, Point>;

export interface Message { header: Header; blocks: Map<string, Block> }

const MAKERS: Record<string, new (buffer: ArrayBuffer, offset: number, length: number) => Numbers> = {
  uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array, int32: Int32Array,
  float32: Float32Array, float64: Float64Array,
};

export class ProtocolError extends Error {}

/** Return header and buffers of one message; the buffers are views into it, nothing is copied. */
export function decode(message: ArrayBuffer): Message {
  if (message.byteLength < 4) throw new ProtocolError("a message of fewer than 4 bytes");
  const length = new DataView(message).getUint32(0, true);
  if (4 + length > message.byteLength) throw new ProtocolError("the header is longer than the message");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(message, 4, length))) as Header;
  const blocks = new Map<string, Block>();
  for (const { name, dtype, shape, offset } of header.buffers ?? []) {
    const maker = MAKERS[dtype];
    if (!maker) throw new ProtocolError(`buffer ${name} has the unknown type ${dtype}`);
    const count = shape.reduce((product, extent) => product * extent, 1);
    try {
      blocks.set(name, { data: new maker(message, offset, count), shape });
    } catch {
      throw new ProtocolError(`buffer ${name} does not lie in the message`);
    }
  }
  return { header, blocks };
}
