// What the page makes of limits: what a person typed, what would be otherwise, and the drawing of the bands.
// Pure functions.

import type { LimitValues, Priority } from './api';

/** Longest delay in seconds; the controller accepts no more. */
export const DELAY_MAX_S = 3600;

/** What a person typed. */
export interface Draft {
  limit: string;
  deadband: string;
  on_delay_s: string;
  off_delay_s: string;
  priority: Priority;
}

export const VALUES = ['limit', 'deadband', 'on_delay_s', 'off_delay_s'] as const;
export type ValueKey = (typeof VALUES)[number];

export const draftOf = (values: LimitValues): Draft => ({
  limit: String(values.limit),
  deadband: String(values.deadband),
  on_delay_s: String(values.on_delay_s),
  off_delay_s: String(values.off_delay_s),
  priority: values.priority,
});

/** A number as people in Japan type it: full-width digits and signs are the same. `null` when it is none. */
export function numberOf(text: string): number | null {
  const plain = text
    .normalize('NFKC')
    .replace(/[−ー―]/g, '-')
    .trim();
  if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(plain)) return null;
  return Number(plain);
}

/** The values of a draft, or the first field that is wrong. */
export function valuesOf(draft: Draft): { values: LimitValues } | { wrong: ValueKey } {
  const values = { priority: draft.priority } as LimitValues;
  for (const key of VALUES) {
    const value = numberOf(draft[key]);
    const delay = key === 'on_delay_s' || key === 'off_delay_s';
    if (value === null || (key !== 'limit' && value < 0) || (delay && value > DELAY_MAX_S)) {
      return { wrong: key };
    }
    values[key] = value;
  }
  return { values };
}

/** What is otherwise, in the order of the form. */
export function differences(before: LimitValues, after: LimitValues): (keyof LimitValues)[] {
  return ([...VALUES, 'priority'] as const).filter((key) => before[key] !== after[key]);
}

/** Only what is otherwise, as the controller wants it. */
export function changeOf(before: LimitValues, after: LimitValues): Partial<LimitValues> {
  return Object.fromEntries(differences(before, after).map((key) => [key, after[key]]));
}

/** The scale of the drawing: everything that is drawn, with some air. */
export function scaleOf(numbers: readonly number[]): { low: number; high: number } {
  let low = Infinity;
  let high = -Infinity;
  for (const n of numbers) {
    low = Math.min(low, n);
    high = Math.max(high, n);
  }
  if (low > high) return { low: 0, high: 1 };
  const air = Math.max((high - low) * 0.12, Math.abs(high) * 0.01, 0.5);
  return { low: low - air, high: high + air };
}

/** Pieces of a line without a gap: no value is drawn where none was heard. `gap` in the unit of the times. */
export function pieces<T extends readonly [number, ...unknown[]]>(rows: readonly T[], gap: number): T[][] {
  const found: T[][] = [];
  for (const row of rows) {
    const last = found.at(-1);
    const before = last?.at(-1);
    if (last && before && row[0] - before[0] <= gap) last.push(row);
    else found.push([row]);
  }
  return found;
}
