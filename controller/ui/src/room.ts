// What the page makes of a snapshot: pure functions without clock or DOM.

import { mostUrgent, standing, URGENCY } from './alarms';
import type { Alarm, Device, Point, Power, Priority, Snapshot, Step } from './api';

export type Overall = Priority | 'lost' | 'unknown' | 'no_data' | 'away' | 'pending' | 'normal';

/** The device itself says that it does not measure this, or says what cannot be. */
const REFUSED = ['sentinel', 'implausible', 'device_error'];

/**
 * A missing value that someone should care about. Items that a model does not have are none, nor are
 * side facts of a device that it does not measure: most devices have some, on every day.
 */
export const isMissing = (point: Point) =>
  point.value === null &&
  point.state === null &&
  point.no_data !== 'not_supported' &&
  !(point.quantity === 'fact' && chief(point) < 0 && REFUSED.includes(point.no_data ?? ''));

/**
 * The one word for the room. Old data is never normal: without a live link it is `lost`, without a
 * single value `unknown`. Nor is a cause that stands but was put away: that is `away`.
 */
export function overall(snapshot: Snapshot | null, live: boolean): Overall {
  if (!live) return 'lost';
  if (!snapshot) return 'unknown';
  const worst = mostUrgent(snapshot.alarms.filter(standing));
  if (worst) return worst;
  const known = snapshot.points.filter((p) => p.no_data !== 'not_supported');
  if (known.length === 0 || known.every(isMissing)) return 'unknown';
  if (known.some(isMissing)) return 'no_data';
  if (snapshot.devices.some((d) => d.kind === 'ups') && snapshot.power.mode === 'unknown') return 'unknown';
  // Shelved, out of service, or covered by a maintenance window: nothing rings, but the cause is there.
  if (snapshot.alarms.some((a) => a.active)) return 'away';
  if (snapshot.alarms.some((a) => a.state === 'returned_unacknowledged' || a.state === 'latched')) {
    return 'pending';
  }
  return 'normal';
}

/** Age in milliseconds of the oldest value at the moment of the snapshot; `null` when there is no value. */
export function oldestAge(points: readonly Point[]): number | null {
  let oldest: number | null = null;
  for (const point of points) {
    if (point.no_data === 'not_supported' || point.age_ms === null) continue;
    oldest = Math.max(oldest ?? 0, point.age_ms);
  }
  return oldest;
}

export interface Groups {
  environment: Point[];
  contacts: Point[];
  /** Points of devices, in the order of the devices. */
  devices: { device: Device; points: Point[]; unheard: Point[] }[];
  other: Point[];
}

const ENVIRONMENT = ['temperature', 'humidity'];

/** Facts of a device that are looked at every day, in the order in which they are shown. */
const CHIEF_FACTS = [
  'output.source',
  'battery.charge',
  'battery.runtime',
  'ups.load',
  'battery.status',
  'input.voltage',
  'output.voltage',
  'battery.temperature',
  'ups.realpower',
  'battery.replace',
  'ups.test.result',
];

const chief = (point: Point) => CHIEF_FACTS.indexOf(point.id.slice(point.source.length + 1));

/** Points by what they tell. */
export function groupPoints(snapshot: Snapshot): Groups {
  const groups: Groups = { environment: [], contacts: [], devices: [], other: [] };
  const byDevice = new Map<string, Groups['devices'][number]>();
  for (const device of snapshot.devices) {
    const group: Groups['devices'][number] = { device, points: [], unheard: [] };
    byDevice.set(device.name, group);
    groups.devices.push(group);
  }
  for (const point of snapshot.points) {
    const device = byDevice.get(point.source);
    if (device) {
      // The controller chose what is looked at; of a UPS only the first of it stands out.
      if (point.no_data === 'not_supported') continue;
      if (point.no_data === 'never_heard' && point.value === null) device.unheard.push(point);
      else if (chief(point) >= 0 || isMissing(point) || device.device.kind !== 'ups')
        device.points.push(point);
    } else if (point.contact !== null || point.quantity === 'contact') groups.contacts.push(point);
    else if (ENVIRONMENT.includes(point.quantity)) groups.environment.push(point);
    else groups.other.push(point);
  }
  // Temperatures before humidities; otherwise the order of the controller.
  groups.environment.sort((a, b) => ENVIRONMENT.indexOf(a.quantity) - ENVIRONMENT.indexOf(b.quantity));
  const rank = (point: Point) => (chief(point) < 0 ? CHIEF_FACTS.length : chief(point));
  for (const { points } of groups.devices) points.sort((a, b) => rank(a) - rank(b));
  return groups;
}

/**
 * The most urgent standing alarm of each point. An alarm belongs to the point whose id is the longest
 * that begins the alarm's id (`inlet.r3.temperature.high` belongs to `inlet.r3.temperature`).
 */
export function alarmsByPoint(points: readonly Point[], alarms: readonly Alarm[]): Map<string, Priority> {
  const ids = new Set(points.map((p) => p.id));
  const found = new Map<string, Priority>();
  for (const alarm of alarms) {
    if (!standing(alarm)) continue;
    // Word by word from the right, so that ten thousand alarms do not go through all points each.
    let id = alarm.id;
    while (id !== '' && !ids.has(id)) id = id.slice(0, Math.max(0, id.lastIndexOf('.')));
    if (id === '') continue;
    const before = found.get(id);
    if (!before || URGENCY[alarm.priority] > URGENCY[before]) found.set(id, alarm.priority);
  }
  return found;
}

/** True while the room lives on its batteries or has gone down. */
export const isOutage = (power: Power) =>
  power.mode === 'battery' || power.mode === 'stopping' || power.mode === 'stopped';

/** Seconds that the running plan still needs, by its timetable and how far its steps have got. */
export function planLeft(steps: readonly Step[]): number {
  const open = steps.filter((s) => s.state === 'waiting' || s.state === 'started');
  if (open.length === 0) return 0;
  // The step that lags most sets the clock: everything after it moves with it.
  const reached = Math.min(
    ...open.map((s) => s.starts_at_s + (s.state === 'started' ? Math.min(s.running_s ?? 0, s.planned_s) : 0)),
  );
  return Math.max(0, Math.max(...open.map((s) => s.starts_at_s + s.planned_s)) - reached);
}

/** Power figures `elapsed_s` after the snapshot: what drains goes on draining between two updates. */
export function drained(power: Power, elapsed_s: number): Power {
  const down = (value: number | null) => (value === null ? null : value - elapsed_s);
  const up = (value: number | null) => (value === null ? null : value + elapsed_s);
  if (!isOutage(power)) return power;
  const waiting = power.mode === 'battery';
  const runtime_s = power.runtime_s === null ? null : Math.max(0, power.runtime_s - elapsed_s);
  // While the plan runs, what it still needs counts, and not its whole length.
  const left = planLeft(
    power.steps.map((s) => (s.running_s === null ? s : { ...s, running_s: s.running_s + elapsed_s })),
  );
  const margin = runtime_s === null ? null : runtime_s - left - (power.reserve_s ?? 0);
  return {
    ...power,
    runtime_s,
    plan_s: waiting ? power.plan_s : left,
    margin_s: waiting ? down(power.margin_s) : margin,
    starts_in_s:
      waiting && power.starts_in_s !== null ? Math.max(0, power.starts_in_s - elapsed_s) : power.starts_in_s,
    outage_s: up(power.outage_s),
  };
}

/** Shares of the runtime for the bar, 0 to 1; `short` when the plan and the reserve do not fit. */
export function budget(
  power: Power,
): { plan: number; reserve: number; margin: number; short: boolean } | null {
  const { runtime_s, plan_s, reserve_s, margin_s } = power;
  if (runtime_s === null || plan_s === null) return null;
  const reserve = reserve_s ?? 0;
  const margin = margin_s ?? runtime_s - plan_s - reserve;
  const whole = Math.max(runtime_s, plan_s + reserve, 1);
  return {
    plan: plan_s / whole,
    reserve: reserve / whole,
    margin: Math.max(0, whole - plan_s - reserve) / whole,
    short: margin < 0,
  };
}

/** Seconds since the plan began, when it runs. */
export function sinceRunStart(power: Power, wall_ms: number): number | null {
  return power.run?.state === 'running' ? Math.max(0, (wall_ms - power.run.since_ms) / 1000) : null;
}
