// The two languages of the page. The choice is remembered on the device.
import type { Label } from '../api';
import { en } from './en';
import { ja, type Key } from './ja';

export type { Key } from './ja';
export type Lang = 'ja' | 'en';
export const TEXTS: Record<Lang, Record<Key, string>> = { ja, en };

/** Fills `{name}` places of a text. */
export function fill(text: string, values: Record<string, string | number> = {}): string {
  return text.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}

/** The text of a key. */
export function say(lang: Lang, key: Key, values?: Record<string, string | number>): string {
  return fill(TEXTS[lang][key], values);
}

/** The text of `prefix.word` for a reserved word of the API; an unknown word is shown as it came. */
export function sayWord(lang: Lang, prefix: string, word: string): string {
  const key = `${prefix}.${word}`;
  return key in ja ? TEXTS[lang][key as Key] : word;
}

/** Signs of the controller that are sentences. */
const SIGNS: Record<string, Key> = {
  'battery.charge falls': 'evidence.charge_falls',
  'another UPS says battery': 'evidence.peer',
  'self-test runs': 'evidence.self_test',
  'calibration runs': 'evidence.calibration',
  'no contact': 'evidence.no_contact',
};

/** A sign on which a verdict rests: `fact = value`, or one of a few sentences. */
export function saySign(lang: Lang, sign: string): string {
  const known = SIGNS[sign];
  if (known) return say(lang, known);
  const [fact, value] = sign.split(' = ', 2);
  if (fact === undefined || value === undefined) return sign;
  const key = `fact.${fact}`;
  const name = key in ja ? TEXTS[lang][key as Key] : fact;
  return `${name}: ${sayWord(lang, 'state', value)}`;
}

/** Why an alarm was raised. Where the controller gives bare signs instead of a sentence, they are put in words. */
export function sayReason(lang: Lang, label: Label): string {
  if (label.ja !== label.en) return sayLabel(lang, label);
  const signs = label.ja.split(', ').filter((part) => part !== '');
  return signs.map((part) => saySign(lang, part)).join(TEXTS[lang]['list.comma']);
}

/** A label of the API; the other language stands in for an empty one. */
export function sayLabel(lang: Lang, label: Label): string {
  return label[lang] || label.ja || label.en;
}
