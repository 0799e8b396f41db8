// Which objects the drawing of the room has and where they stand, from nothing but the snapshot. The
// drawing is a front view: what hangs from the ceiling, what stands on the floor, what lies under it.

import type { Label, Point, Snapshot, Step, Ups } from './api';

export type Item =
  | { kind: 'door'; point: Point; label: Label }
  | { kind: 'rack'; point: Point; more: Point[]; label: Label }
  | { kind: 'servers'; steps: Step[]; label: null }
  | { kind: 'ups'; ups: Ups; label: Label };

export interface Placed {
  item: Item;
  x: number;
  width: number;
  /** Row, 0 on top; a narrow screen has several. */
  row: number;
}

export interface Sketch {
  /** Sensors of the room that belong to no rack: on the ceiling. */
  ceiling: Point[];
  items: Placed[];
  ropes: Point[];
  rows: number;
}

/** Natural widths in pixels; rows are filled until they are full. */
export const WIDTH = { door: 84, rack: 100, servers: 176, ups: 116 } as const;
/** Objects are drawn narrower, down to this share, rather than in one row more. */
export const SHRINK = 0.78;
/** Space between two objects and at the walls. */
export const GAP = 18;
/** Most servers drawn in one rack. */
export const SLOTS = 6;

/** `inlet.r3.temperature` is measured at `inlet.r3`. */
const placeOf = (id: string) => id.slice(0, id.lastIndexOf('.'));

/** Objects of the room in the order in which they stand. */
export function itemsOf(snapshot: Snapshot): { items: Item[]; ceiling: Point[]; ropes: Point[] } {
  const devices = new Set(snapshot.devices.map((d) => d.name));
  const doors: Item[] = [];
  const racks: Item[] = [];
  const ceiling: Point[] = [];
  const ropes: Point[] = [];
  for (const point of snapshot.points) {
    if (devices.has(point.source)) continue;
    if (point.contact === 'door') doors.push({ kind: 'door', point, label: point.label });
    else if (point.contact === 'leak') ropes.push(point);
    else if (point.quantity === 'temperature' && /^(inlet|rack)\b/.test(point.id)) {
      racks.push({ kind: 'rack', point, more: [], label: point.label });
    } else if (point.contact !== null || ['temperature', 'humidity'].includes(point.quantity)) {
      ceiling.push(point);
    }
  }
  // What else is measured at a rack belongs to it, not to the ceiling.
  const loose = ceiling.filter((point) => {
    const rack = racks.find(
      (item) =>
        item.kind === 'rack' && point.contact === null && placeOf(item.point.id) === placeOf(point.id),
    );
    if (rack?.kind === 'rack') rack.more.push(point);
    return rack === undefined;
  });
  const servers: Item[] = [];
  for (let i = 0; i < snapshot.power.steps.length; i += SLOTS) {
    servers.push({ kind: 'servers', steps: snapshot.power.steps.slice(i, i + SLOTS), label: null });
  }
  const ups: Item[] = snapshot.power.ups.map((u) => ({ kind: 'ups', ups: u, label: u.label }));
  return { items: [...doors, ...racks, ...servers, ...ups], ceiling: loose, ropes };
}

/** Places the objects in rows of a given width, spread evenly. */
export function place(items: readonly Item[], width: number): Placed[] {
  const rows: Item[][] = [[]];
  const whole = items.reduce((sum, item) => sum + WIDTH[item.kind], 0);
  const fit = (width - (items.length + 1) * (GAP / 2)) / whole;
  const scale = fit < 1 && fit >= SHRINK ? fit : 1;
  const gapLeast = scale < 1 ? GAP / 2 : GAP;
  let used = gapLeast;
  for (const item of items) {
    const need = WIDTH[item.kind] * scale + gapLeast;
    if (rows.at(-1)!.length > 0 && used + need > width + 0.5) {
      rows.push([]);
      used = gapLeast;
    }
    rows.at(-1)!.push(item);
    used += need;
  }
  return rows.flatMap((row, r) => {
    const natural = row.reduce((sum, item) => sum + WIDTH[item.kind] * scale, 0);
    const gap = Math.max(GAP / 2, (width - natural) / (row.length + 1));
    let x = gap;
    return row.map((item) => {
      const placed = { item, x, width: WIDTH[item.kind] * scale, row: r };
      x += placed.width + gap;
      return placed;
    });
  });
}

/** The drawing for a width in pixels. */
export function sketch(snapshot: Snapshot, width: number): Sketch {
  const { items, ceiling, ropes } = itemsOf(snapshot);
  const placed = place(items, width);
  return { ceiling, items: placed, ropes, rows: Math.max(1, (placed.at(-1)?.row ?? 0) + 1) };
}

/** Cuts a text to a width in em, by the rule of thumb that a Latin letter is half as wide as a kanji. */
export function clip(text: string, em: number): string {
  let used = 0;
  let cut = '';
  for (const letter of text) {
    used += letter.codePointAt(0)! < 0x2e80 ? 0.56 : 1;
    if (used > em) return `${cut}…`;
    cut += letter;
  }
  return text;
}
