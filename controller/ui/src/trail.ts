// The last minutes of a point, for its sparkline. A gap is a gap: no line is drawn over the time in
// which nothing was measured.

import type { History, Point } from './api';

/** How far back a trail reaches, milliseconds. */
export const TRAIL_MS = 15 * 60_000;
/** Silence beyond which the line is broken even if nobody said "no data", milliseconds. */
export const GAP_MS = 60_000;
/** Most marks kept for a point: one a second. */
export const MAX_MARKS = TRAIL_MS / 1000;

/** A measurement, or `null` for the moment from which there was none. */
export interface Mark {
  t: number;
  v: number | null;
}

/** Appends what the snapshot says of the point; the same measurement is not counted twice. */
export function append(trail: Mark[], point: Pick<Point, 'value' | 'age_ms'>, wall_ms: number): void {
  const last = trail.at(-1);
  if (point.value === null) {
    if (last && last.v !== null) trail.push({ t: wall_ms, v: null });
  } else {
    const t = wall_ms - (point.age_ms ?? 0);
    // The wall clock of the controller may be corrected backwards: begin anew rather than draw a loop.
    if (last && t < last.t - TRAIL_MS) trail.length = 0;
    if (!last || t - last.t >= 900 || (t > last.t && point.value !== last.v))
      trail.push({ t, v: point.value });
  }
  const oldest = wall_ms - TRAIL_MS;
  while (trail.length > MAX_MARKS || (trail.length > 0 && trail[0]!.t < oldest)) trail.shift();
}

/** Puts measurements from before the page was opened in front. */
export function prepend(trail: Mark[], history: History): void {
  const first = trail[0]?.t ?? Infinity;
  const older = history.rows.filter((row) => row[0] < first).map((row) => ({ t: row[0], v: row[2] }));
  trail.unshift(...older.slice(-MAX_MARKS));
}

/** Unbroken stretches of measurements. */
export function stretches(trail: readonly Mark[]): { t: number; v: number }[][] {
  const parts: { t: number; v: number }[][] = [];
  let part: { t: number; v: number }[] = [];
  for (const { t, v } of trail) {
    const before = part.at(-1);
    if (part.length > 0 && (v === null || (before && t - before.t > GAP_MS))) {
      parts.push(part);
      part = [];
    }
    if (v !== null) part.push({ t, v });
  }
  if (part.length > 0) parts.push(part);
  return parts;
}

/** Least and greatest measurement; `null` when there is none. */
export function range(trail: readonly Mark[]): { min: number; max: number } | null {
  let min = Infinity;
  let max = -Infinity;
  for (const { v } of trail) {
    if (v === null) continue;
    min = Math.min(min, v);
    max = Math.max(max, v);
  }
  return min <= max ? { min, max } : null;
}
