import { describe, expect, it } from 'vitest';
import type { LimitValues } from '../api';
import { changeOf, differences, draftOf, numberOf, pieces, scaleOf, valuesOf } from '../limits';

const values: LimitValues = {
  limit: 27,
  deadband: 0.5,
  on_delay_s: 300,
  off_delay_s: 60,
  priority: 'advisory',
};

describe('a limit that somebody types', () => {
  it('is read as people type it, and refused when it is none', () => {
    expect(numberOf('２７．５')).toBe(27.5);
    expect(numberOf(' −3 ')).toBe(-3);
    for (const wrong of ['', '27度', '1e9', '2,7', 'NaN', '--1']) expect(numberOf(wrong)).toBeNull();
  });

  it('says which field is wrong', () => {
    const draft = draftOf(values);
    expect(valuesOf(draft)).toEqual({ values });
    expect(valuesOf({ ...draft, limit: '-4' })).toEqual({ values: { ...values, limit: -4 } });
    expect(valuesOf({ ...draft, deadband: '-1' })).toEqual({ wrong: 'deadband' });
    expect(valuesOf({ ...draft, on_delay_s: '3601' })).toEqual({ wrong: 'on_delay_s' });
    expect(valuesOf({ ...draft, off_delay_s: 'soon' })).toEqual({ wrong: 'off_delay_s' });
  });

  it('sends only what is otherwise', () => {
    const after = { ...values, limit: 28, priority: 'warning' as const };
    expect(differences(values, after)).toEqual(['limit', 'priority']);
    expect(changeOf(values, after)).toEqual({ limit: 28, priority: 'warning' });
    expect(changeOf(values, values)).toEqual({});
  });
});

describe('the drawing of a limit', () => {
  it('draws nothing where nothing was heard', () => {
    expect(pieces([[0], [10], [100], [110]], 25)).toEqual([
      [[0], [10]],
      [[100], [110]],
    ]);
    expect(pieces([], 25)).toEqual([]);
  });

  it('has everything on its scale', () => {
    const { low, high } = scaleOf([20, 32]);
    expect(low).toBeLessThan(20);
    expect(high).toBeGreaterThan(32);
    expect(scaleOf([]).high).toBeGreaterThan(scaleOf([]).low);
    expect(scaleOf([5, 5]).high).toBeGreaterThan(5);
  });
});
