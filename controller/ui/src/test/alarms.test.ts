import { describe, expect, it } from 'vitest';
import { answerTime, inGroups, newAlarms, PAGE, SINGLY, shownTab, sortAlarms, sounding } from '../alarms';
import { alarm } from './alarm';

describe('alarms', () => {
  it('are sorted by what a person has to do, suppressed ones under their cause', () => {
    const { tabs, folded, loose } = sortAlarms([
      alarm('outage', { priority: 'critical' }),
      alarm('server', { state: 'suppressed', cause: 'outage' }),
      alarm('stray', { state: 'suppressed', cause: 'gone' }),
      alarm('door', { state: 'latched' }),
      alarm('old', { state: 'out_of_service' }),
    ]);
    expect(tabs.new.map((a) => a.id)).toEqual(['outage']);
    expect(tabs.returned.map((a) => a.id)).toEqual(['door']);
    expect(tabs.shelved.map((a) => a.id)).toEqual(['old']);
    expect(folded.get('outage')?.map((a) => a.id)).toEqual(['server']);
    expect(loose.map((a) => a.id)).toEqual(['stray']);
  });

  it('come to the front on a screen that nobody touches', () => {
    const { tabs } = sortAlarms([alarm('a'), alarm('b', { state: 'acknowledged' })]);
    expect(shownTab(tabs, null, false)).toBe('new');
    expect(shownTab(tabs, 'owned', true)).toBe('owned');
    expect(shownTab(tabs, 'owned', false)).toBe('new');
    const rest = sortAlarms([alarm('b', { state: 'acknowledged' })]).tabs;
    expect(shownTab(rest, 'new', false)).toBe('owned');
    expect(shownTab(sortAlarms([]).tabs, null, false)).toBe('new');
  });

  it('are announced when they are raised, and again when they come back', () => {
    const a = alarm('a');
    expect(newAlarms([], [a])).toEqual([a]);
    expect(newAlarms([a], [a])).toEqual([]);
    const again = { ...a, count: 2 };
    expect(newAlarms([a], [again])).toEqual([again]);
    expect(newAlarms([{ ...a, state: 'acknowledged' }], [a])).toEqual([a]);
  });
});

describe('a flood', () => {
  const flood = Array.from({ length: 10_000 }, (_, i) =>
    alarm(`rack.${i}.high`, {
      priority: i % 100 === 0 ? 'critical' : 'advisory',
      what: { ja: i % 2 === 0 ? '温度が高い' : '湿度が高い', en: 'high' },
    }),
  );

  it('is shown as a few alarms and a few groups, and none is lost', () => {
    const { singly, groups } = inGroups(flood, new Map());
    expect(singly).toHaveLength(SINGLY);
    expect(groups.map((g) => g.priority)).toEqual(['critical', 'advisory', 'advisory']);
    expect(singly.length + groups.reduce((n, g) => n + g.alarms.length, 0)).toBe(flood.length);
    expect(PAGE).toBeLessThanOrEqual(100);
  });

  it('shows the alarm that explains others singly', () => {
    const { singly } = inGroups(flood, new Map([['rack.9000.high', []]]));
    expect(singly.map((a) => a.id)).toContain('rack.9000.high');
    expect(inGroups(flood.slice(0, SINGLY), new Map()).groups).toEqual([]);
  });

  it('folded under one cause takes no longer than its length', () => {
    const under = flood.map((a) => ({ ...a, state: 'suppressed' as const, cause: 'outage' }));
    const { folded } = sortAlarms([alarm('outage'), ...under]);
    expect(folded.get('outage')).toHaveLength(10_000);
  });
});

describe('the time to respond', () => {
  it('runs down, then says by how much it is over', () => {
    const hot = alarm('a', { respond_within_s: 600 });
    expect(answerTime(hot, 60_000)).toEqual({ late: false, ms: 540_000 });
    expect(answerTime(hot, 660_000)).toEqual({ late: true, ms: 60_000 });
    expect(answerTime({ ...hot, state: 'latched' }, 0)).toBeNull();
    expect(answerTime(alarm('a', { respond_within_s: 0 }), 0)).toBeNull();
  });
});

describe('the sound', () => {
  it('is for what nobody has taken, and never for advisories', () => {
    expect(sounding([])).toBeNull();
    expect(sounding([alarm('a', { priority: 'advisory' })])).toBeNull();
    expect(sounding([alarm('a', { state: 'acknowledged', priority: 'critical' })])).toBeNull();
    expect(sounding([alarm('a'), alarm('b', { priority: 'critical' })])).toBe('critical');
    expect(sounding([alarm('a', { state: 'shelved' })])).toBeNull();
  });
});
