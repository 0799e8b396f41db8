// What the view of the coverage works out by itself: months of Japan's time, and figures that never look
// better than they are.
import type { Coverage, CoverageGap } from './api';
import type { Lang } from './words';

const JST_MS = 9 * 3600_000;
const MONTHS_EN = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `2026-11`, the month in which this moment lies in Japan. */
export const monthOf = (ms: number): string => new Date(ms + JST_MS).toISOString().slice(0, 7);

/** True for `2026-11`; an address can hold anything. */
export const isMonth = (text: string): boolean => /^(19[7-9]\d|[2-9]\d{3})-(0[1-9]|1[0-2])$/.test(text);

/** So many months later, or earlier. */
export function monthAfter(month: string, count: number): string {
  const months = Number(month.slice(0, 4)) * 12 + Number(month.slice(5)) - 1 + count;
  return `${Math.floor(months / 12)}-${String((months % 12) + 1).padStart(2, '0')}`;
}

/** `2026年11月` or `Nov 2026`. */
export function monthName(lang: Lang, month: string): string {
  const [year, at] = [month.slice(0, 4), Number(month.slice(5))];
  return lang === 'ja' ? `${year}年${at}月` : `${MONTHS_EN[at - 1]} ${year}`;
}

/** Two decimals, never rounded up: what was missed for a second is not 100 %. */
export const percentText = (percent: number): string => (Math.floor(percent * 100 + 1e-6) / 100).toFixed(2);

/** Neither the journal nor a person says why. */
export const isOpen = (gap: CoverageGap): boolean =>
  gap.reason === 'unexplained' && gap.explanations.length === 0;

/** What needs a person first, then the newest. */
export const inOrder = (report: Coverage): CoverageGap[] =>
  [...report.gaps].sort((a, b) => Number(isOpen(b)) - Number(isOpen(a)) || b.from_ms - a.from_ms);
