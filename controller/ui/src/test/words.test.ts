// A missing text in either language, or for a reserved word of the controller, fails here.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nodeEvent } from '../event';
import { fill, sayReason, saySign, sayWord, TEXTS } from '../words';

const places = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();

/** The reserved words that a Rust source hands out: `Self::Stale => "stale"`. */
const reserved = (path: string) =>
  [...readFileSync(new URL(path, import.meta.url), 'utf8').matchAll(/Self::\w+ => "(\w+)"/g)].map(
    (m) => m[1]!,
  );

describe('words', () => {
  it('has the same keys in both languages', () => {
    expect(Object.keys(TEXTS.en).sort()).toEqual(Object.keys(TEXTS.ja).sort());
  });

  it.each(Object.keys(TEXTS.ja) as (keyof typeof TEXTS.ja)[])('%s is complete', (key) => {
    expect(TEXTS.ja[key].trim()).not.toBe('');
    expect(TEXTS.en[key].trim()).not.toBe('');
    expect(places(TEXTS.en[key])).toEqual(places(TEXTS.ja[key]));
  });

  it('knows every reason for missing data', () => {
    const words = reserved('../../../../shared/src/nodata.rs');
    expect(words.length).toBeGreaterThan(10);
    for (const word of words)
      for (const texts of Object.values(TEXTS)) expect(texts).toHaveProperty([`no_data.${word}`]);
  });

  it('knows every state of a device', () => {
    const source = readFileSync(new URL('../../../room/src/profile/words.rs', import.meta.url), 'utf8');
    const tables = source.slice(source.indexOf('const LIMIT'), source.indexOf('#[must_use]'));
    const words = [...tables.matchAll(/"([a-z_-]+)"/g)].map((m) => m[1]!);
    expect(words.length).toBeGreaterThan(60);
    for (const word of words)
      for (const texts of Object.values(TEXTS)) expect(texts).toHaveProperty([`state.${word}`]);
  });

  it('knows every decision about a card', () => {
    const words = reserved('../../../../shared/src/access.rs');
    expect(words.length).toBeGreaterThan(10);
    for (const word of words)
      for (const texts of Object.values(TEXTS)) expect(texts).toHaveProperty([`decision.${word}`]);
  });

  it('knows every event of a node, and shows a later one by its name', () => {
    const source = readFileSync(new URL('../../../room/src/record.rs', import.meta.url), 'utf8');
    const body = source.split('pub enum NodeEvent {')[1]!.split('\n}')[0]!;
    const names = [...body.matchAll(/^ {4}([A-Z]\w+)/gm)].map((m) => m[1]!);
    expect(names.length).toBeGreaterThan(15);
    for (const name of names) {
      const word = name.replace(/(?<!^)([A-Z])/g, '_$1').toLowerCase();
      for (const texts of Object.values(TEXTS)) expect(texts).toHaveProperty([`event.${word}`]);
    }
    expect(nodeEvent('ja', { event: 'door', portal: 0, door: { Opened: 'KeyOverride' } })).toBe(
      '扉: 鍵で開いた',
    );
    expect(nodeEvent('en', { event: 'door', portal: 0, door: { Tamper: false } })).toBe('Door: tamper ended');
    expect(nodeEvent('en', { event: 'credential', decision: 'expired' })).toBe('Card: Denied: expired');
    expect(nodeEvent('en', { event: 'sang_a_song' })).toBe('sang_a_song');
    expect(nodeEvent('en', null)).toBe('');
  });

  it('shows an unknown word as it came', () => {
    expect(sayWord('ja', 'no_data', 'eaten_by_mice')).toBe('eaten_by_mice');
  });

  it('puts signs in words', () => {
    expect(saySign('ja', 'output.source = battery')).toBe('給電元: 電池');
    expect(saySign('en', 'input.voltage = 101 V')).toBe('Input voltage: 101 V');
    expect(saySign('ja', 'no contact')).toBe('連絡がとれない');
    expect(saySign('en', 'something new')).toBe('something new');
  });

  it('puts bare signs as a reason in words, and leaves sentences alone', () => {
    const signs = 'output.source = battery, another UPS says battery';
    expect(sayReason('ja', { ja: signs, en: signs })).toBe('給電元: 電池、別の UPS も電池運転と言っている');
    expect(sayReason('en', { ja: '接点が開いた', en: 'the contact is open, wide' })).toBe(
      'the contact is open, wide',
    );
  });

  it('leaves a place without value visible', () => {
    expect(fill('{a} and {b}', { a: 1 })).toBe('1 and {b}');
  });
});
