import { describe, expect, it } from 'vitest';
import type { FeedGraph, Power, Step } from '../api';
import { diagram, GRID, timetable } from '../oneline';

const label = (text: string) => ({ ja: text, en: text });
const point = (
  id: string,
  kind: string,
  state: string,
  from: string[] = [],
): FeedGraph['points'][number] => ({
  id,
  label: label(id),
  kind,
  device: id,
  state,
  inputs: from.map((one, i) => ({ from: one, state, in_use: kind === 'ats' && i === 0 })),
});
const host = (
  id: string,
  from: [string, string][],
  lives_s: number | null = null,
): FeedGraph['hosts'][number] => ({
  id,
  label: label(id),
  need: 1,
  left: from.filter(([, state]) => state === 'mains' || state === 'battery').length,
  lives_s,
  feeds: from.map(([one, state]) => ({ from: one, state, in_use: false })),
});

const room: FeedGraph = {
  points: [
    point('ups-a', 'ups', 'mains'),
    point('ups-b', 'ups', 'battery'),
    point('pdu-1', 'pdu', 'mains', ['ups-a']),
    point('ats-1', 'ats', 'mains', ['ups-a', 'ups-b']),
    point('pdu-1/3', 'outlet', 'none', ['pdu-1']),
  ],
  hosts: [
    host(
      'app1',
      [
        ['pdu-1/3', 'off'],
        ['ups-b', 'battery'],
      ],
      240,
    ),
    host('db1', [
      ['ats-1', 'mains'],
      ['ups-b', 'battery'],
    ]),
    host('nas1', [['pdu-1/3', 'none']]),
  ],
};

describe('the one-line diagram', () => {
  const drawing = diagram(room);
  const box = (id: string) => drawing.boxes.find((one) => one.id === id)!;

  it('puts everything behind what feeds it, and the hosts last', () => {
    for (const line of drawing.lines) expect(box(line.from).column).toBeLessThan(box(line.to).column);
    for (const one of room.hosts) expect(box(`host ${one.id}`).column).toBe(drawing.columns - 1);
    expect(box(GRID).column).toBe(0);
  });
  it('lets no two boxes lie on each other', () => {
    for (const a of drawing.boxes)
      for (const b of drawing.boxes)
        if (a.id < b.id && a.column === b.column) expect(Math.abs(a.row - b.row)).toBeGreaterThan(0.999);
    for (const one of drawing.boxes) expect(one.row + 1).toBeLessThanOrEqual(drawing.rows);
  });
  it('says that a UPS on its battery gets nothing', () => {
    expect(drawing.lines.find((line) => line.from === GRID && line.to === 'ups-b')?.state).toBe('none');
    expect(drawing.lines.find((line) => line.from === GRID && line.to === 'ups-a')?.state).toBe('mains');
    expect(box(GRID).state).toBe('mains');
  });
  it('says of a host what becomes of it', () => {
    expect(box('host app1').state).toBe('battery');
    expect(box('host db1').state).toBe('mains');
    expect(box('host nas1').state).toBe('none');
  });
  it('draws an empty room and words it does not know', () => {
    expect(diagram({ points: [], hosts: [] }).lines).toEqual([]);
    const odd = diagram({ points: [point('x', 'later', 'maybe')], hosts: [] });
    expect(odd.boxes.find((one) => one.id === 'x')?.state).toBe('unknown');
  });
});

const step = (id: string, starts_at_s: number, planned_s: number) => ({ id, starts_at_s, planned_s }) as Step;
const power = (more: Partial<Power>) =>
  ({
    runtime_s: 1000,
    reserve_s: 100,
    starts_in_s: null,
    steps: [step('app', 0, 60), step('db', 60, 120)],
    ...more,
  }) as Power;

describe('the timetable', () => {
  it('puts the plan of a quiet day as late as is safe', () => {
    const table = timetable(power({}), null);
    expect(table.bars.get('app')).toEqual({ id: 'app', start: 720, end: 780, latest: 720 });
    expect(table.bars.get('db')?.end).toBe(900);
    expect([table.reserve_from, table.battery_end, table.whole]).toEqual([900, 1000, 1000]);
  });
  it('begins where the controller says that it begins', () => {
    expect(timetable(power({ starts_in_s: 30 }), null).bars.get('app')?.start).toBe(30);
  });
  it('counts a running plan from its start', () => {
    const table = timetable(power({ runtime_s: 300 }), 40);
    expect(table.bars.get('app')?.start).toBe(0);
    expect([table.now, table.battery_end, table.reserve_from]).toEqual([40, 340, 240]);
    expect(table.bars.get('db')?.latest).toBe(120);
  });
  it('knows no last moment where nobody knows the runtime', () => {
    const table = timetable(power({ runtime_s: null }), null);
    expect(table.bars.get('app')).toEqual({ id: 'app', start: 0, end: 60, latest: null });
    expect([table.battery_end, table.whole]).toEqual([null, 180]);
  });
});
