// The questions of the page, as data for its one dialog. Each says what will happen, asks for what the
// controller needs, and carries it out.
import { acknowledge, shelve, type Alarm } from './api';
import type { Question } from './ask';
import { moment } from './format';
import { operator } from './operator.svelte';
import { named, t } from './text';

/** Spans of a shelf, in minutes; the controller accepts at most 480. */
const SHELF_MINUTES = [15, 30, 60, 120, 240, 480];
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
  run: (by) => acknowledge(alarm.id, by),
});

export const rehearseQuestion = (run: (by: string) => Promise<void>): Question => ({
  kind: 'rehearse',
  title: t('dialog.rehearse.title'),
  text: t('dialog.rehearse.text'),
  do: t('dialog.rehearse.do'),
  run,
});
