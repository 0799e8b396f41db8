import { describe, expect, it } from 'vitest';
import type { Power, Snapshot } from '../api';
import { alarm } from './alarm';
import { alarmsByPoint, budget, drained, groupPoints, oldestAge, overall, planLeft } from '../room';
import json from './room.json';

const room = () => structuredClone(json) as unknown as Snapshot;

describe('the one word for the room', () => {
  it('is normal only when everything is heard and nothing stands', () => {
    expect(overall(room(), true)).toBe('normal');
  });

  it('is never normal without a live link', () => {
    expect(overall(room(), false)).toBe('lost');
    expect(overall(null, true)).toBe('unknown');
  });

  it('is the most urgent standing alarm', () => {
    const snapshot = room();
    snapshot.alarms = [
      alarm('a', { priority: 'advisory' }),
      alarm('b', { state: 'acknowledged', priority: 'critical' }),
    ];
    expect(overall(snapshot, true)).toBe('critical');
  });

  it.each(['shelved', 'out_of_service', 'suppressed'] as const)(
    'is not normal while a cause stands whose alarm is %s',
    (state) => {
      const snapshot = room();
      snapshot.alarms = [alarm('a', { state, active: true })];
      expect(overall(snapshot, true)).toBe('away');
      snapshot.alarms.push(alarm('b', { priority: 'advisory' }));
      expect(overall(snapshot, true)).toBe('advisory');
    },
  );

  it('does not count what was put away and is over, and says when a return was not seen', () => {
    const snapshot = room();
    snapshot.alarms = [
      alarm('a', { state: 'shelved', active: false }),
      alarm('b', { state: 'suppressed', active: false }),
    ];
    expect(overall(snapshot, true)).toBe('normal');
    snapshot.alarms.push(alarm('c', { state: 'returned_unacknowledged', active: false }));
    expect(overall(snapshot, true)).toBe('pending');
  });

  it('says that data is missing, but not for what a model does not have', () => {
    const snapshot = room();
    expect(snapshot.points.some((p) => p.no_data === 'not_supported')).toBe(true);
    Object.assign(snapshot.points[0]!, { value: null, no_data: 'stale' });
    expect(overall(snapshot, true)).toBe('no_data');
    for (const point of snapshot.points)
      Object.assign(point, { value: null, state: null, no_data: 'never_heard' });
    expect(overall(snapshot, true)).toBe('unknown');
  });

  it('is unknown while no UPS was heard from', () => {
    const snapshot = room();
    snapshot.power.mode = 'unknown';
    expect(overall(snapshot, true)).toBe('unknown');
  });
});

describe('points', () => {
  it('have the alarms whose id begins with theirs', () => {
    const found = alarmsByPoint(room().points, [
      alarm('inlet.r3.temperature.high'),
      alarm('inlet.r3.temperature.high.critical', { priority: 'critical' }),
      alarm('leak.10.wet'),
      alarm('door.1.forced', { state: 'shelved' }),
    ]);
    expect([...found]).toEqual([['inlet.r3.temperature', 'critical']]);
  });

  it('are grouped, and items a model does not have stand apart', () => {
    const groups = groupPoints(room());
    expect(groups.environment.map((p) => p.id)).toContain('inlet.r1.temperature');
    expect(groups.contacts.map((p) => p.contact)).toEqual(['door', 'leak', 'smoke']);
    expect(groups.devices.map((d) => [d.device.name, d.points.length])).toEqual([
      ['ups-a', 5],
      ['ups-b', 5],
    ]);
  });

  it('tell the oldest age', () => {
    const snapshot = room();
    snapshot.points[0]!.age_ms = 61_000;
    expect(oldestAge(snapshot.points)).toBe(61_000);
    expect(oldestAge([])).toBeNull();
  });
});

describe('power', () => {
  const onBattery = (): Power => ({ ...room().power, mode: 'battery', outage_s: 20, starts_in_s: 100 });

  it('stands still on mains and drains between two updates on battery', () => {
    expect(drained(room().power, 10).margin_s).toBe(1000);
    const later = drained(onBattery(), 10);
    expect([later.runtime_s, later.margin_s, later.starts_in_s, later.outage_s]).toEqual([1440, 990, 90, 30]);
    expect(drained(onBattery(), 2000).runtime_s).toBe(0);
    expect(drained(onBattery(), 2000).margin_s).toBe(-1000);
  });

  it('counts what a running plan still needs', () => {
    const { steps } = room().power;
    expect(planLeft(steps)).toBe(330);
    Object.assign(steps[0]!, { state: 'confirmed' });
    Object.assign(steps[1]!, { state: 'abandoned' });
    Object.assign(steps[2]!, { state: 'started', running_s: 30 });
    expect(planLeft(steps)).toBe(210);
    expect(drained({ ...onBattery(), mode: 'stopping', steps }, 10).plan_s).toBe(200);
    for (const step of steps) step.state = 'confirmed';
    expect(planLeft(steps)).toBe(0);
  });

  it('shows a plan that does not fit', () => {
    expect(budget(room().power)?.short).toBe(false);
    const tight = budget({ ...room().power, runtime_s: 300, margin_s: -150 });
    expect(tight?.short).toBe(true);
    expect(tight?.margin).toBe(0);
    expect(budget({ ...room().power, runtime_s: null })).toBeNull();
  });
});
