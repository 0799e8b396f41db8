// The one-line diagram: where each box stands, and which lines join them. Pure; the drawing is a part.
import type { FeedGraph, Label, Power } from './api';

/** What comes over a line or out of a box. */
export type Flow = 'mains' | 'battery' | 'unknown' | 'none' | 'off';

export interface Box {
  id: string;
  label: Label | null;
  /** `mains`, `ups`, `pdu`, `ats`, `outlet` or `host`. */
  kind: string;
  state: Flow;
  column: number;
  /** In rows; the centre of the box. */
  row: number;
  /** Of a host: feeds left, feeds it has, feeds it needs. */
  feeds?: { left: number; all: number; need: number };
}

export interface Line {
  from: string;
  to: string;
  state: Flow;
  /** An ATS says that it uses this input. */
  in_use: boolean;
}

export interface Diagram {
  boxes: Box[];
  lines: Line[];
  columns: number;
  rows: number;
}

/** The public supply; a UPS has no line in the picture that leads to it. */
export const GRID = 'grid';

const flow = (word: string): Flow =>
  word === 'mains' || word === 'battery' || word === 'none' || word === 'off' ? word : 'unknown';

/** What a UPS gets, by what it is judged to give: on its battery it gets nothing. */
const intake = (state: string): Flow =>
  state === 'mains' ? 'mains' : state === 'battery' ? 'none' : 'unknown';

/** Boxes in columns from the public supply to the hosts, each as near as it can be to what it feeds. */
export function diagram(graph: FeedGraph): Diagram {
  const column = new Map<string, number>([[GRID, 0]]);
  const lines: Line[] = [];
  // A point stands behind everything that feeds it in the list, so one pass is enough.
  for (const point of graph.points) {
    const before = point.inputs.map((input) => column.get(input.from) ?? 0);
    column.set(point.id, Math.max(0, ...before) + 1);
    if (point.kind === 'ups') {
      lines.push({ from: GRID, to: point.id, state: intake(point.state), in_use: false });
    } else if (point.inputs.length === 0) {
      lines.push({ from: GRID, to: point.id, state: flow(point.state), in_use: false });
    }
    for (const input of point.inputs) {
      lines.push({ from: input.from, to: point.id, state: flow(input.state), in_use: input.in_use });
    }
  }
  const last = Math.max(0, ...column.values()) + 1;
  for (const host of graph.hosts) {
    for (const feed of host.feeds) {
      lines.push({ from: feed.from, to: `host ${host.id}`, state: flow(feed.state), in_use: false });
    }
  }

  const boxes: Box[] = graph.points.map((point) => ({
    id: point.id,
    label: point.label,
    kind: point.kind,
    state: flow(point.state),
    column: column.get(point.id) ?? 1,
    row: 0,
  }));
  const hosts: Box[] = graph.hosts.map((host, index) => ({
    id: `host ${host.id}`,
    label: host.label,
    kind: 'host',
    state:
      host.lives_s !== null
        ? 'battery'
        : host.left >= host.need
          ? 'mains'
          : host.feeds.some((feed) => feed.state === 'unknown')
            ? 'unknown'
            : 'none',
    column: last,
    row: index,
    feeds: { left: host.left, all: host.feeds.length, need: host.need },
  }));

  // From the hosts backwards: the middle of what a box feeds, then apart from its neighbours.
  const at = new Map(hosts.map((box) => [box.id, box.row]));
  const columns = new Map<number, Box[]>();
  for (const box of boxes) columns.set(box.column, [...(columns.get(box.column) ?? []), box]);
  for (const number of [...columns.keys()].sort((a, b) => b - a)) {
    const here = columns.get(number)!;
    for (const box of here) {
      const fed = lines.filter((line) => line.from === box.id).flatMap((line) => at.get(line.to) ?? []);
      box.row = fed.length > 0 ? fed.reduce((sum, row) => sum + row, 0) / fed.length : hosts.length;
    }
    here.sort((a, b) => a.row - b.row || a.id.localeCompare(b.id));
    let free = 0;
    for (const box of here) {
      box.row = Math.max(box.row, free);
      free = box.row + 1;
      at.set(box.id, box.row);
    }
  }
  const all = [...boxes, ...hosts];
  const rows = Math.max(1, ...all.map((box) => box.row + 1));
  const grid: Box = {
    id: GRID,
    label: null,
    kind: 'mains',
    state: lines.some((line) => line.from === GRID && line.state === 'mains')
      ? 'mains'
      : lines.some((line) => line.from === GRID && line.state === 'none')
        ? 'none'
        : 'unknown',
    column: 0,
    row: (rows - 1) / 2,
  };
  return { boxes: [grid, ...all], lines, columns: last + 1, rows };
}

/** A step on the time axis, seconds from now (a running plan: from its start). */
export interface Bar {
  id: string;
  start: number;
  end: number;
  /** The last moment to begin it: its point of no return for whoever wants to hold it back. */
  latest: number | null;
}

export interface Timetable {
  /** Length of the axis. */
  whole: number;
  bars: Map<string, Bar>;
  /** Where the batteries end; `null` when nobody knows. */
  battery_end: number | null;
  /** From here on the batteries are kept back. */
  reserve_from: number | null;
  /** Where the present moment stands. */
  now: number;
}

/**
 * The plan against the batteries. Before it starts the axis begins now, and the plan stands where it would
 * start by itself: as late as is safe. While it runs the axis begins with it.
 */
export function timetable(power: Power, since_start: number | null): Timetable {
  const length = Math.max(0, ...power.steps.map((step) => step.starts_at_s + step.planned_s));
  const reserve = power.reserve_s ?? 0;
  const now = since_start ?? 0;
  const battery_end = power.runtime_s === null ? null : now + power.runtime_s;
  const reserve_from = battery_end === null ? null : Math.max(0, battery_end - reserve);
  const waits = power.starts_in_s ?? (reserve_from === null ? 0 : Math.max(0, reserve_from - length));
  const offset = since_start === null ? waits : 0;
  const bars = new Map<string, Bar>();
  for (const step of power.steps) {
    const start = offset + step.starts_at_s;
    const latest = reserve_from === null ? null : reserve_from - (length - step.starts_at_s);
    bars.set(step.id, { id: step.id, start, end: start + step.planned_s, latest });
  }
  const ends = [...bars.values()].map((bar) => bar.end);
  return {
    whole: Math.max(1, battery_end ?? 0, ...ends, now),
    bars,
    battery_end,
    reserve_from,
    now,
  };
}
