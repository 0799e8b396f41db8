// The view of the coverage: months of Japan, figures that never flatter, and what nobody has explained yet.
import { beforeEach, describe, expect, it } from 'vitest';
import { render } from 'svelte/server';
import type { Coverage, CoverageGap } from '../api';
import { inOrder, isMonth, monthAfter, monthName, monthOf, percentText } from '../coverage';
import { operator } from '../operator.svelte';
import CoverageReport from '../parts/CoverageReport.svelte';

const BEGIN = Date.parse('2026-11-01T00:00:00+09:00');
const HOUR = 3_600_000;

const gap = (hour: number, given: Partial<CoverageGap> = {}): CoverageGap => ({
  from_ms: BEGIN + hour * HOUR,
  to_ms: BEGIN + (hour + 1) * HOUR,
  reason: 'node_silent',
  why: { ja: '端末の無応答', en: 'the node was silent' },
  sources: ['inlet.r1.temperature'],
  more_sources: 0,
  explanations: [],
  ...given,
});
const unexplained: Partial<CoverageGap> = {
  reason: 'unexplained',
  why: { ja: '原因不明', en: 'unexplained' },
};
const report = (gaps: CoverageGap[]): Coverage => ({
  from_ms: BEGIN,
  to_ms: BEGIN + 720 * HOUR,
  percent: 99.9999,
  controller_percent: 100,
  unexplained: gaps.filter((one) => one.reason === 'unexplained' && !one.explanations.length).length,
  groups: [
    { id: 'ups-a', label: { ja: 'UPS-A', en: 'UPS-A' }, group: null, percent: 100, unwatched_ms: 0 },
    {
      id: 'node-1',
      label: { ja: '端末1', en: 'Node 1' },
      group: null,
      percent: 97.5,
      unwatched_ms: 18 * HOUR,
    },
  ],
  sources: [
    {
      id: 'inlet.r1.temperature',
      label: { ja: '吸気温度', en: 'Inlet temperature' },
      group: 'node-1',
      percent: 97.5,
      unwatched_ms: 18 * HOUR,
    },
  ],
  gaps,
  left_out: 0,
});
const drawn = (given: Coverage) =>
  render(CoverageReport, { props: { report: given, now: BEGIN + 800 * HOUR, onexplain: () => undefined } })
    .body;

beforeEach(() => {
  operator.lang = 'ja';
});

describe('a month', () => {
  it('begins at midnight in Japan', () => {
    expect(monthOf(BEGIN)).toBe('2026-11');
    expect(monthOf(BEGIN - 1)).toBe('2026-10');
  });

  it('has one before and one after it, over the year', () => {
    expect(monthAfter('2026-12', 1)).toBe('2027-01');
    expect(monthAfter('2026-01', -1)).toBe('2025-12');
    expect(monthAfter('2026-11', -12)).toBe('2025-11');
  });

  it('is taken from an address only when it is one', () => {
    for (const good of ['2026-11', '1970-01']) expect(isMonth(good)).toBe(true);
    for (const bad of ['', '2026-13', '2026-1', '1969-12', '11-2026', '2026-11-01'])
      expect(isMonth(bad)).toBe(false);
  });

  it('is named in both languages', () => {
    expect(monthName('ja', '2026-02')).toBe('2026年2月');
    expect(monthName('en', '2026-02')).toBe('Feb 2026');
  });
});

describe('the report', () => {
  it('never rounds up to all of it', () => {
    expect(percentText(99.9999)).toBe('99.99');
    expect(percentText(100)).toBe('100.00');
    expect(percentText(99.29)).toBe('99.29');
    expect(drawn(report([]))).toContain('data-coverage="99.99"');
  });

  it('puts what nobody explained first, then the newest', () => {
    const explained = gap(4, {
      ...unexplained,
      explanations: [{ from_ms: 0, to_ms: 1, source: null, text: '停電作業', by: '佐藤', at_ms: 2 }],
    });
    const gaps = inOrder(report([gap(1), gap(2, unexplained), gap(3), explained]));
    expect(gaps.map((one) => (one.from_ms - BEGIN) / HOUR)).toEqual([2, 4, 3, 1]);
  });

  it('names a gap without a reason, and asks a person for it', () => {
    const html = drawn(report([gap(1), gap(2, unexplained)]));
    expect(html).toContain('1 件（説明が必要）');
    const row = html.split('data-gap="unexplained"')[1]!.split('</tr>')[0]!;
    for (const text of ['原因不明', '吸気温度', '1時間', '<button', '説明を書く'])
      expect(row).toContain(text);
    expect(html.split('data-gap="node_silent"')[1]!.split('</tr>')[0]!).not.toContain('<button');
  });

  it('shows what a person wrote, and calls nothing unexplained any more', () => {
    const said = { from_ms: 0, to_ms: 1, source: null, text: '分電盤の点検', by: '施設課 佐藤', at_ms: 2 };
    const html = drawn(report([gap(2, { ...unexplained, explanations: [said] })]));
    expect(html).toContain('分電盤の点検');
    expect(html).toContain('施設課 佐藤');
    expect(html).toContain('なし');
  });

  it('begins with the node that was watched least', () => {
    const html = drawn(report([]));
    expect(html.indexOf('data-share="node-1"')).toBeLessThan(html.indexOf('data-share="ups-a"'));
    expect(html).toContain('監視が途切れたことはありません');
  });

  it('speaks English when asked to', () => {
    operator.lang = 'en';
    const html = drawn(report([gap(1), gap(2, unexplained)]));
    for (const text of ['Watched', 'the node was silent', '1 need an explanation', 'Inlet temperature'])
      expect(html).toContain(text);
    expect(html).not.toMatch(/[぀-ヿ一-龯]/);
  });
});
