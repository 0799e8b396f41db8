// What the page makes of the alarms: which list each belongs to, what is shown singly and what is folded,
// how long is left to act. Pure functions; every one is linear, because a flood is ten thousand alarms.

import type { Alarm, AlarmState, Label, Priority } from './api';

export const URGENCY: Record<Priority, number> = { critical: 3, warning: 2, advisory: 1 };
/** Alarms of a list that are shown singly; the rest stands in groups (EEMUA: no person reads more at once). */
export const SINGLY = 5;
/** Rows of a group that are drawn at a time. */
export const PAGE = 50;
/** Newly raised alarms that are read aloud one by one. */
export const ANNOUNCED = 3;

/** The two states in which the cause still stands and somebody must act. */
export const standing = (alarm: Alarm) => alarm.state === 'unacknowledged' || alarm.state === 'acknowledged';

/** The most urgent priority among alarms. */
export function mostUrgent(alarms: readonly Alarm[]): Priority | null {
  let worst: Priority | null = null;
  for (const { priority } of alarms) if (!worst || URGENCY[priority] > URGENCY[worst]) worst = priority;
  return worst;
}

/** Alarms that still stand, by priority, for the counts of the top bar. */
export function standingCounts(alarms: readonly Alarm[]): Record<Priority, number> {
  const counts = { critical: 0, warning: 0, advisory: 0 };
  for (const alarm of alarms) if (standing(alarm)) counts[alarm.priority] += 1;
  return counts;
}

export type Tab = 'new' | 'owned' | 'returned' | 'shelved';
export const TABS: readonly Tab[] = ['new', 'owned', 'returned', 'shelved'];
/** The lists of the view: the tabs of the alarms, and the forecasts, which are none. */
export type List = Tab | 'forecast';
export const LISTS: readonly List[] = [...TABS, 'forecast'];

const TAB_OF: Record<AlarmState, Tab | null> = {
  unacknowledged: 'new',
  acknowledged: 'owned',
  returned_unacknowledged: 'returned',
  latched: 'returned',
  shelved: 'shelved',
  out_of_service: 'shelved',
  suppressed: null,
};

export interface Sorted {
  tabs: Record<Tab, Alarm[]>;
  /** Alarms folded under an alarm that is listed, by its id. */
  folded: Map<string, Alarm[]>;
  /** Suppressed alarms whose cause is not listed. */
  loose: Alarm[];
}

/** Alarms by tab; suppressed ones under their cause. Keeps the order of the controller. */
export function sortAlarms(alarms: readonly Alarm[]): Sorted {
  const tabs: Record<Tab, Alarm[]> = { new: [], owned: [], returned: [], shelved: [] };
  const folded = new Map<string, Alarm[]>();
  const loose: Alarm[] = [];
  const listed = new Set(alarms.filter((a) => TAB_OF[a.state]).map((a) => a.id));
  for (const alarm of alarms) {
    const tab = TAB_OF[alarm.state];
    if (tab) tabs[tab].push(alarm);
    else if (alarm.cause && listed.has(alarm.cause)) {
      const under = folded.get(alarm.cause);
      if (under) under.push(alarm);
      else folded.set(alarm.cause, [alarm]);
    } else loose.push(alarm);
  }
  return { tabs, folded, loose };
}

export interface Group {
  key: string;
  priority: Priority;
  what: Label;
  alarms: Alarm[];
}

/**
 * The first few of a list singly, the rest by what happened. An alarm under which others are folded
 * explains them and is never in a group, as long as there are few of its kind.
 */
export function inGroups(
  given: readonly Alarm[],
  folded: ReadonlyMap<string, unknown>,
): { singly: Alarm[]; groups: Group[] } {
  const alarms = given.toSorted((a, b) => URGENCY[b.priority] - URGENCY[a.priority]);
  if (alarms.length <= SINGLY) return { singly: alarms, groups: [] };
  const causes = alarms.filter((a) => folded.has(a.id)).slice(0, SINGLY);
  const chosen = new Set(causes);
  for (const alarm of alarms) {
    if (chosen.size >= SINGLY) break;
    chosen.add(alarm);
  }
  const groups = new Map<string, Group>();
  for (const alarm of alarms) {
    if (chosen.has(alarm)) continue;
    const key = `${alarm.priority} ${alarm.kind} ${alarm.what.ja}`;
    const group = groups.get(key);
    if (group) group.alarms.push(alarm);
    else groups.set(key, { key, priority: alarm.priority, what: alarm.what, alarms: [alarm] });
  }
  return {
    singly: alarms.filter((a) => chosen.has(a)),
    groups: [...groups.values()].sort((a, b) => URGENCY[b.priority] - URGENCY[a.priority]),
  };
}

/**
 * The tab to show. A person's choice stands while it is fresh or still has something to show; a wall
 * display, which nobody touches, always shows the most urgent tab that is not empty.
 */
export function shownTab(tabs: Record<Tab, Alarm[]>, chosen: List | null, fresh: boolean): List {
  const full = chosen === 'forecast' || (chosen !== null && tabs[chosen].length > 0);
  if (chosen && (fresh || (full && tabs.new.length === 0))) return chosen;
  return TABS.find((tab) => tabs[tab].length > 0) ?? 'new';
}

/** Alarms that need a person and were not so in the snapshot before. */
export function newAlarms(before: readonly Alarm[], after: readonly Alarm[]): Alarm[] {
  const known = new Map(before.map((a) => [a.id, a]));
  return after.filter((a) => {
    if (a.state !== 'unacknowledged') return false;
    const old = known.get(a.id);
    return !old || old.state !== 'unacknowledged' || old.count < a.count;
  });
}

/** What should sound: the most urgent priority that nobody has taken. Advisories and forecasts never sound. */
export function sounding(alarms: readonly Alarm[]): 'critical' | 'warning' | null {
  const worst = mostUrgent(alarms.filter((a) => a.state === 'unacknowledged'));
  return worst === 'critical' || worst === 'warning' ? worst : null;
}

/** Time that is left to act, or by how much it is over, milliseconds; `null` when nothing is demanded any more. */
export function answerTime(alarm: Alarm, age_ms: number): { late: boolean; ms: number } | null {
  if (alarm.respond_within_s <= 0 || !standing(alarm)) return null;
  const left = alarm.respond_within_s * 1000 - age_ms;
  return { late: left < 0, ms: Math.abs(left) };
}
