import { describe, expect, it } from 'vitest';
import { errorLabel } from '../api';
import { MAX_EVENT, SseParser } from '../sse';
import { append, MAX_MARKS, prepend, range, stretches, TRAIL_MS, type Mark } from '../trail';

describe('the stream', () => {
  const text =
    'event: core\ndata: {"linked":true}\n\n:\n\nevent: snapshot\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata: x\n\n';
  const events = [
    { event: 'core', data: '{"linked":true}' },
    { event: 'snapshot', data: '{"a":\n1}' },
    { event: 'message', data: 'x' },
  ];

  it('is the same however it is cut', () => {
    for (let size = 1; size <= text.length; size++) {
      const parser = new SseParser();
      const seen = [];
      for (let i = 0; i < text.length; i += size) seen.push(...parser.push(text.slice(i, i + size)));
      expect(seen, `pieces of ${size}`).toEqual(events);
    }
  });

  it('refuses an event without end', () => {
    const parser = new SseParser();
    expect(() => parser.push('x'.repeat(MAX_EVENT + 1))).toThrow(RangeError);
  });
});

describe('errors of the API', () => {
  it('are read, and anything else is none', () => {
    expect(errorLabel('{"error":"だめ","error_en":"no"}')).toEqual({ ja: 'だめ', en: 'no' });
    expect(errorLabel('{"error":"だめ"}')).toEqual({ ja: 'だめ', en: 'だめ' });
    for (const text of ['', 'null', '[]', '<html>', '{"error":5}']) expect(errorLabel(text)).toBeNull();
  });
});

describe('a trail', () => {
  const value = (v: number | null, age_ms = 0) => ({ value: v, age_ms });

  it('takes each measurement once and breaks where there was none', () => {
    const trail: Mark[] = [];
    append(trail, value(20), 10_000);
    append(trail, value(20, 500), 10_500);
    append(trail, value(21), 12_000);
    append(trail, value(null), 14_000);
    append(trail, value(null), 15_000);
    append(trail, value(22), 16_000);
    expect(trail).toHaveLength(4);
    expect(stretches(trail).map((part) => part.map((m) => m.v))).toEqual([[20, 21], [22]]);
    expect(range(trail)).toEqual({ min: 20, max: 22 });
  });

  it('does not draw over a silence', () => {
    expect(
      stretches([
        { t: 0, v: 1 },
        { t: 61_000, v: 2 },
      ]),
    ).toHaveLength(2);
    expect(
      stretches([
        { t: 0, v: 1 },
        { t: 59_000, v: 2 },
      ]),
    ).toHaveLength(1);
  });

  it('is bounded in time and number', () => {
    const trail: Mark[] = [];
    for (let i = 0; i < 3000; i++) append(trail, value(i), i * 1000);
    expect(trail.length).toBeLessThanOrEqual(MAX_MARKS);
    expect(trail[0]!.t).toBeGreaterThanOrEqual(2_999_000 - TRAIL_MS);
  });

  it('gets its past in front, without overlap', () => {
    const trail: Mark[] = [{ t: 100_000, v: 5 }];
    prepend(trail, {
      rows: [
        [90_000, 1, 2, 3, 4],
        [100_000, 9, 9, 9, 9],
      ],
    });
    expect(trail.map((m) => m.v)).toEqual([2, 5]);
  });
});
