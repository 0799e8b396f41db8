import { describe, expect, it } from 'vitest';
import { clock, counter, day, moment, number, span, unit } from '../format';

const MORNING = Date.UTC(2026, 3, 1, 0, 5, 3);

describe('format', () => {
  it('writes dates in JST, whatever the clock of the browser', () => {
    expect(`${day('ja', MORNING)} ${clock(MORNING)}`).toBe('2026年4月1日(水) 09:05:03');
    expect(`${day('en', MORNING)} ${clock(MORNING)}`).toBe('Wed 1 Apr 2026 09:05:03');
    // 15:00 UTC is the next day in Japan.
    expect(day('ja', Date.UTC(2026, 3, 1, 15))).toBe('2026年4月2日(木)');
  });

  it('leaves the day out when it is today', () => {
    expect(moment('ja', MORNING, MORNING + 1000)).toBe('09:05:03');
    expect(moment('ja', MORNING - 86_400_000, MORNING)).toBe('2026年3月31日(火) 09:05:03');
  });

  it('writes spans in words', () => {
    expect(span('ja', 8_000)).toBe('8秒');
    expect(span('ja', 312_000)).toBe('5分12秒');
    expect(span('ja', 11_100_000)).toBe('3時間05分');
    expect(span('ja', 97 * 3_600_000)).toBe('4日1時間');
    expect(span('en', 312_000)).toBe('5 min 12 s');
    expect(span('en', 11_100_000)).toBe('3 h 05 min');
    expect(span('ja', -5)).toBe('0秒');
  });

  it('counts through zero', () => {
    expect(counter(245)).toBe('4:05');
    expect(counter(3723)).toBe('1:02:03');
    expect(counter(-30.9)).toBe('−0:30');
  });

  it('gives a measurement the digits it deserves', () => {
    expect(number('temperature', 23.44)).toBe('23.4');
    expect(number('temperature', -0.55)).toMatch(/^−0\.[56]$/);
    expect(number('percent', 97.6)).toBe('98');
    expect(number('seconds', 1450)).toBe('24:10');
    expect(unit('ja', 'temperature', '°C')).toBe('℃');
    expect(unit('en', 'humidity', '%')).toBe('%RH');
  });
});
