// The questions of the page, as data for its one dialog. Each says what will happen, asks for what the
// controller needs, and carries it out.
import {
  endMaintenance,
  outOfService,
  shelve,
  startMaintenance,
  take,
  type Alarm,
  type Maintenance,
  type Snapshot,
} from './api';
import type { Question } from './ask';
import { moment } from './format';
import { numberOf } from './limits';
import { operator } from './operator.svelte';
import { named, t } from './text';

/** Spans of a shelf, in minutes; the controller accepts at most 480. */
const SHELF_MINUTES = [15, 30, 60, 120, 240, 480];
const DAY_MS = 86_400_000;
/** Longest reason in characters. */
export const REASON_MAX = 200;

export const minutesText = (minutes: number) =>
  minutes < 60 ? t('minutes', { n: minutes }) : t('hours', { n: minutes / 60 });

/** What an alarm is about, for the head of a question. */
const about = (alarm: Alarm) => `${named(alarm.what)} ${named(alarm.place)}`;

export const reasonField = () =>
  ({
    key: 'reason',
    kind: 'text',
    label: t('dialog.reason'),
    max: REASON_MAX,
    missing: t('dialog.reason.missing'),
  }) as const;

/** Puts an alarm away; `now` is the controller's clock, for the end of each span. */
export const shelveQuestion = (alarm: Alarm, now: number): Question => ({
  kind: 'shelve',
  title: t('dialog.shelve.title'),
  text: t('dialog.shelve.text'),
  about: about(alarm),
  fields: [
    {
      key: 'minutes',
      kind: 'choice',
      label: t('dialog.shelve.minutes'),
      value: '30',
      options: SHELF_MINUTES.map((minutes) => ({
        value: String(minutes),
        text: t('dialog.shelve.until', {
          span: minutesText(minutes),
          time: moment(operator.lang, now + minutes * 60_000, now).slice(0, -3),
        }),
      })),
    },
    reasonField(),
  ],
  do: t('dialog.shelve.do'),
  run: (by, values) => shelve(alarm.id, by, Number(values['minutes']), values['reason']!.trim()),
});

/** Takes an alarm over from somebody who has it. */
export const takeOverQuestion = (alarm: Alarm): Question => ({
  kind: 'take_over',
  title: t('dialog.take_over.title'),
  text: t('dialog.take_over.text', { owner: alarm.owner ?? t('alarm.owner.none') }),
  about: about(alarm),
  do: t('dialog.take_over.do'),
  run: (by) => take(alarm.id, by),
});

export const rehearseQuestion = (run: (by: string) => Promise<void>): Question => ({
  kind: 'rehearse',
  title: t('dialog.rehearse.title'),
  text: t('dialog.rehearse.text'),
  do: t('dialog.rehearse.do'),
  run,
});

/** Days out of service; the controller accepts at most 30. */
const SERVICE_DAYS = [1, 3, 7, 14, 30];

/** Takes an alarm out of service, e.g. because its sensor is broken and a new one is on its way. */
export const outOfServiceQuestion = (alarm: Alarm, now: number): Question => ({
  kind: 'out_of_service',
  title: t('dialog.service.title'),
  text: t('dialog.service.text'),
  about: about(alarm),
  fields: [
    {
      key: 'days',
      kind: 'choice',
      label: t('dialog.service.days'),
      value: '1',
      options: SERVICE_DAYS.map((days) => ({
        value: String(days),
        text: t('dialog.shelve.until', {
          span: t('days', { n: days }),
          time: moment(operator.lang, now + days * DAY_MS, now).slice(0, -3),
        }),
      })),
    },
    reasonField(),
  ],
  do: t('dialog.service.do'),
  run: (by, values) => outOfService(alarm.id, by, Number(values['days']) * 1440, values['reason']!.trim()),
});

/** What people do in the room again and again, with the time it takes. */
const WORKS = { inspection: 120, exchange: 240, cleaning: 60, construction: 480, other: 60 } as const;
/** Longest window in minutes; the controller accepts no more. */
const WINDOW_MAX = 24 * 60;

/** Nodes and devices, as a window names them. */
const targets = (snapshot: Snapshot) => [
  ...snapshot.devices.map((d) => ({ value: `device:${d.name}`, text: named(d.label) })),
  ...snapshot.nodes.map((n) => ({ value: `node:${n.name}`, text: named(n.label) })),
];

/** Begins a maintenance window: three clicks and nothing to type, when the template says enough. */
export const maintenanceQuestion = (snapshot: Snapshot): Question => ({
  kind: 'maintenance',
  title: t('maintenance.start.title'),
  text: t('maintenance.start.text'),
  fields: [
    { key: 'scope', kind: 'select', label: t('maintenance.scope'), options: targets(snapshot) },
    {
      key: 'work',
      kind: 'choice',
      label: t('maintenance.work'),
      value: 'inspection',
      options: Object.entries(WORKS).map(([work, minutes]) => ({
        value: work,
        text: t('maintenance.template', {
          work: t(`maintenance.work.${work as keyof typeof WORKS}`),
          span: minutesText(minutes),
        }),
      })),
    },
    {
      key: 'hours',
      kind: 'number',
      label: t('maintenance.hours'),
      hint: t('maintenance.hours.hint'),
      max: 4,
    },
    { key: 'detail', kind: 'text', label: t('maintenance.detail'), max: 150 },
    { key: 'work_order', kind: 'text', label: t('maintenance.work_order'), max: 64 },
  ],
  do: t('maintenance.start.do'),
  run: (by, values) => {
    const work = values['work'] as keyof typeof WORKS;
    const hours = numberOf(values['hours'] ?? '');
    const detail = values['detail']!.trim();
    return startMaintenance(by, {
      minutes: Math.min(WINDOW_MAX, Math.max(1, hours ? Math.round(hours * 60) : WORKS[work])),
      reason: [t(`maintenance.work.${work}`), detail].filter(Boolean).join(': '),
      work_order: values['work_order']!.trim() || null,
      scope: [values['scope'] || targets(snapshot)[0]?.value || ''],
    });
  },
});

/** Ends a window; what came of the work is demanded. */
export const endMaintenanceQuestion = (window: Maintenance, subject: string): Question => ({
  kind: 'maintenance_end',
  title: t(window.state === 'open' ? 'maintenance.end.title' : 'maintenance.result.title'),
  about: `${subject} ${window.reason}`,
  text: t('maintenance.end.text'),
  fields: [
    {
      key: 'result',
      kind: 'long',
      label: t('maintenance.result'),
      max: REASON_MAX,
      missing: t('maintenance.result.missing'),
    },
  ],
  do: t(window.state === 'open' ? 'maintenance.end.do' : 'maintenance.result.do'),
  run: (by, values) => endMaintenance(window.id, by, values['result']!.trim()),
});
