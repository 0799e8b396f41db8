// How times, spans and values are written. Screens show JST whatever the clock of the browser says.
import type { Lang } from './words';

/** Japan has no summer time; a fixed offset needs no time-zone data. */
const JST_MS = 9 * 3600_000;
const DAYS_JA = ['日', '月', '火', '水', '木', '金', '土'];
const DAYS_EN = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS_EN = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

const two = (n: number) => String(n).padStart(2, '0');

/** `2026年4月1日(水)` or `Wed 1 Apr 2026`. */
export function day(lang: Lang, ms: number): string {
  const d = new Date(ms + JST_MS);
  const [y, m, n, w] = [d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate(), d.getUTCDay()];
  return lang === 'ja' ? `${y}年${m + 1}月${n}日(${DAYS_JA[w]})` : `${DAYS_EN[w]} ${n} ${MONTHS_EN[m]} ${y}`;
}

/** `09:05:03`. */
export function clock(ms: number): string {
  const d = new Date(ms + JST_MS);
  return `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
}

/** `09:05:03` today, with the day otherwise. */
export function moment(lang: Lang, ms: number, now_ms: number): string {
  const sameDay = Math.floor((ms + JST_MS) / 86_400_000) === Math.floor((now_ms + JST_MS) / 86_400_000);
  return sameDay ? clock(ms) : `${day(lang, ms)} ${clock(ms)}`;
}

/** A span in words: `8秒`, `5分12秒`, `3時間05分`, `2日3時間`. */
export function span(lang: Lang, ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const u = lang === 'ja' ? ['秒', '分', '時間', '日'] : [' s', ' min ', ' h ', ' d '];
  if (s < 60) return `${s}${u[0]}`;
  if (s < 3600) return `${Math.floor(s / 60)}${u[1]}${two(s % 60)}${u[0]}`;
  if (s < 86_400) return `${Math.floor(s / 3600)}${u[2]}${two(Math.floor(s / 60) % 60)}${u[1]}`.trim();
  return `${Math.floor(s / 86_400)}${u[3]}${Math.floor(s / 3600) % 24}${u[2]}`.trim();
}

/** A span that is watched while it runs: `4:05`, `1:02:03`, `-0:30`. */
export function counter(s: number): string {
  const whole = Math.trunc(s);
  const n = Math.abs(whole);
  const sign = whole < 0 ? '−' : '';
  const rest = `${two(n % 60)}`;
  if (n < 3600) return `${sign}${Math.floor(n / 60)}:${rest}`;
  return `${sign}${Math.floor(n / 3600)}:${two(Math.floor(n / 60) % 60)}:${rest}`;
}

/** What is measured, by the unit when the controller only says that it is a fact of a device. */
export function kindOf(quantity: string, given: string): string {
  if (quantity !== 'fact') return quantity;
  const byUnit: Record<string, string> = {
    s: 'seconds',
    '°C': 'temperature',
    '%': 'percent',
    V: 'voltage',
    A: 'current',
    Hz: 'frequency',
    W: 'power',
  };
  return byUnit[given] ?? quantity;
}

/** Decimals that a measurement of the quantity deserves. */
function decimals(quantity: string): number {
  if (quantity === 'temperature' || quantity === 'current' || quantity === 'frequency') return 1;
  return 0;
}

/** The number of a measurement, without its unit. Spans are counters. */
export function number(quantity: string, value: number): string {
  if (quantity === 'seconds') return counter(value);
  const text = value.toFixed(decimals(quantity));
  return text.replace('-', '−');
}

/** The unit as Japanese and English readers write it. */
export function unit(lang: Lang, quantity: string, given: string): string {
  if (quantity === 'seconds') return '';
  if (quantity === 'temperature') return lang === 'ja' ? '℃' : '°C';
  if (quantity === 'humidity') return '%RH';
  return given;
}
