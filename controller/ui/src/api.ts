// What the controller says and what it can be asked. The types come from the controller's own OpenAPI
// document (`openapi.json`, by `npm run types`; the browser test compares it with a running product). Times are
// milliseconds since 1970 UTC (`*_ms`) or ages at the moment of the snapshot (`*_age_ms`, `age_ms`),
// spans are seconds (`*_s`). A missing value is `null` with its reason in `no_data`.

import type { components } from './schema';

type Schemas = components['schemas'];

/** The document calls a field that may be null optional; the controller always sends it. */
type Sent<T> = T extends (infer U)[] ? Sent<U>[] : T extends object ? { [K in keyof T]-?: Sent<T[K]> } : T;

export type Label = Sent<Schemas['Label']>;
export type Priority = Schemas['Priority'];
export type AlarmState = Schemas['AlarmState'];
export type Point = Sent<Schemas['Point']>;
export type AlarmKind = Sent<Schemas['KindRow']>;
export type Alarm = Sent<Schemas['Alarm']>;
export type Device = Sent<Schemas['Device']>;
export type Ups = Sent<Schemas['Ups']>;
export type Step = Sent<Schemas['Step']>;
export type Power = Sent<Schemas['Power']>;
export type FeedGraph = Power['feeds'];
export type WhatIf = Sent<Schemas['WhatIf']>;
export type Exercise = Sent<Schemas['Exercise']>;
export type Forecast = Sent<Schemas['Forecast']>;
export type Maintenance = Sent<Schemas['Maintenance']>;
export type Limit = Sent<Schemas['Limit']>;
export type LimitValues = Sent<Schemas['LimitValues']>;
export type LimitChange = Sent<Schemas['LimitChange']>;
export type LimitRun = Sent<Schemas['LimitRun']>;
export type LimitPreview = Sent<Schemas['LimitPreview']>;
export type Incident = Sent<Schemas['Incident']>;
export type IncidentDocument = Sent<Schemas['Document']>;
export type Coverage = Sent<Schemas['Report']>;
export type CoverageGap = Coverage['gaps'][number];
export type Snapshot = Sent<Schemas['Snapshot']>;

/** A committed record; further fields depend on `kind`. */
export interface Entry {
  seq: number;
  wall_ms: number;
  kind: string;
  [field: string]: unknown;
}

export interface History {
  /** `[t_ms, min, avg, max, count]`; a bucket without samples is absent. */
  rows: [number, number, number, number, number][];
}

/** Longest wait for the answer to a command, milliseconds. */
const COMMAND_TIMEOUT_MS = 10_000;
/** A preview reads a month of values. */
const PREVIEW_TIMEOUT_MS = 30_000;
/** Longest error text shown; an error page of a proxy is cut here. */
const ERROR_TEXT_MAX = 300;

/** Why a command did not happen. `label` is what the user can do; `null` when nothing was said. */
export class CommandError extends Error {
  constructor(
    readonly status: number | null,
    readonly label: Label | null,
  ) {
    super(label?.en ?? `status ${status ?? 'none'}`);
  }
}

async function send(path: string, options: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS), ...options });
  } catch {
    throw new CommandError(null, null);
  }
  if (!answer.ok) throw new CommandError(answer.status, errorLabel(await answer.text().catch(() => '')));
  return answer;
}

/** Sends a command. Resolves when the controller has committed it. @throws CommandError */
export async function command(path: string, body: Record<string, unknown>): Promise<void> {
  await post(path, body);
}

async function post(
  path: string,
  body: Record<string, unknown>,
  within = COMMAND_TIMEOUT_MS,
): Promise<Response> {
  return send(path, {
    signal: AbortSignal.timeout(within),
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
}

/** Asks for something. @throws CommandError */
export async function get<T>(path: string, within = COMMAND_TIMEOUT_MS): Promise<T> {
  const answer = await send(path, { cache: 'no-store', signal: AbortSignal.timeout(within) });
  try {
    return (await answer.json()) as T;
  } catch {
    throw new CommandError(answer.status, null);
  }
}

/** Reads `{"error", "error_en"}`; `null` when the answer is something else. */
export function errorLabel(text: string): Label | null {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== 'object' || body === null) return null;
    const { error, error_en } = body as Record<string, unknown>;
    if (typeof error !== 'string') return null;
    const ja = error.slice(0, ERROR_TEXT_MAX);
    return { ja, en: typeof error_en === 'string' ? error_en.slice(0, ERROR_TEXT_MAX) : ja };
  } catch {
    return null;
  }
}

const alarm = (id: string, verb: string) => `/api/v1/alarms/${encodeURIComponent(id)}/${verb}`;

export const acknowledge = (id: string, by: string) => command(alarm(id, 'acknowledge'), { by });
export const shelve = (id: string, by: string, minutes: number, reason: string) =>
  command(alarm(id, 'shelve'), { by, minutes, reason });
/** Takes it over from whoever has it. */
export const take = (id: string, by: string) => command(alarm(id, 'take'), { by });
/** Ends a shelf before its time. */
export const unshelve = (id: string, by: string) => command(alarm(id, 'unshelve'), { by });
export const outOfService = (id: string, by: string, minutes: number, reason: string) =>
  command(alarm(id, 'out-of-service'), { by, minutes, reason });
export const inService = (id: string, by: string) => command(alarm(id, 'in-service'), { by });
export const reset = (id: string, by: string) => command(alarm(id, 'reset'), { by });
export interface MaintenanceOrder {
  minutes: number;
  reason: string;
  work_order: string | null;
  /** `node:NAME`, `device:NAME`, `point:ID`, `alarm:ID`. */
  scope: string[];
}
export const startMaintenance = (by: string, order: MaintenanceOrder) =>
  command('/api/v1/maintenance', { by, ...order });
/** Ends a window with what came of the work, or records that of one that has ended by itself. */
export const endMaintenance = (id: number, by: string, result: string) =>
  command(`/api/v1/maintenance/${id}/end`, { by, result });
export const rehearse = (by: string) => command('/api/v1/plan/rehearse', { by });
export const scenario = (name: string, by: string) =>
  command(`/api/v1/scenarios/${encodeURIComponent(name)}`, { by });

/** A test call of one contact, or of all. */
export const testCall = (by: string, contact: string | null) =>
  command(
    contact === null
      ? '/api/v1/notices/test'
      : `/api/v1/notices/contacts/${encodeURIComponent(contact)}/test`,
    { by },
  );
export const lampTest = (by: string) => command('/api/v1/notices/lamp-test', { by });

/** Every kind of alarm with its advice. @throws CommandError */
export const alarmKinds = () => get<AlarmKind[]>('/api/v1/alarm-kinds');

/** Every limit as it is now. @throws CommandError */
export const limits = () => get<Limit[]>('/api/v1/limits');
const ofLimit = (id: string, verb = '') => `/api/v1/limits/${encodeURIComponent(id)}${verb}`;
/** Its last changes, newest first. @throws CommandError */
export const limitHistory = (id: string) => get<LimitChange[]>(ofLimit(id, '/history'));
/** What other values would have done. @throws CommandError */
export const previewLimit = async (
  id: string,
  days: number,
  change: Partial<LimitValues>,
): Promise<LimitPreview> => {
  const answer = await post(ofLimit(id, '/preview'), { days, change }, PREVIEW_TIMEOUT_MS);
  return (await answer.json()) as LimitPreview;
};
export const changeLimit = (id: string, by: string, reason: string, change: Partial<LimitValues>) =>
  command(ofLimit(id), { by, reason, change });

/** What an incident can be, in the order in which a person chooses. */
export const NATURES = [
  'intrusion',
  'fire',
  'water',
  'power',
  'environment',
  'equipment',
  'monitoring',
  'false_alarm',
  'drill',
  'other',
] as const;

const ofIncident = (id: number, verb: string) => `/api/v1/incidents/${id}/${verb}`;

/** Every incident, newest first. @throws CommandError */
export const incidents = () => get<Incident[]>('/api/v1/incidents');
/** The document of one. @throws CommandError */
export const incident = (id: number) => get<IncidentDocument>(`/api/v1/incidents/${id}`);
export const openIncident = (by: string, nature: string, title: string) =>
  command('/api/v1/incidents', { by, nature, title });
export const noteIncident = (id: number, by: string, text: string) =>
  command(ofIncident(id, 'notes'), { by, text });
export const natureOfIncident = (id: number, by: string, nature: string) =>
  command(ofIncident(id, 'classify'), { by, nature });
export const closeIncident = (id: number, by: string, conclusion: string) =>
  command(ofIncident(id, 'close'), { by, conclusion });
export const reopenIncident = (id: number, by: string, reason: string) =>
  command(ofIncident(id, 'reopen'), { by, reason });
export const handOverIncident = (id: number, by: string, to: string) =>
  command(ofIncident(id, 'hand-over'), { by, to });

/** A report reads a month of the journal and of the history. */
const COVERAGE_TIMEOUT_MS = 30_000;
/** How much of a month was watched, `2026-11`. @throws CommandError */
export const coverage = (month: string) =>
  get<Coverage>(`/api/v1/coverage?month=${encodeURIComponent(month)}`, COVERAGE_TIMEOUT_MS);
/** Writes down why nobody watched in a gap. */
export const explainGap = (by: string, gap: CoverageGap, text: string) =>
  command('/api/v1/coverage/explanations', { by, from_ms: gap.from_ms, to_ms: gap.to_ms, text });

/** What would become of the hosts if these were lost now. @throws CommandError */
export const whatIf = (lost: readonly string[]) =>
  get<WhatIf>(`/api/v1/power/what-if?${lost.map((id) => `lose=${encodeURIComponent(id)}`).join('&')}`);

/** Results of rehearsals and drills, newest first. @throws CommandError */
export const rehearsals = () => get<Exercise[]>('/api/v1/outage/rehearsals');

/** Samples of a point between two moments. `null` when the controller cannot say. */
export async function history(
  id: string,
  from_ms: number,
  to_ms: number,
  buckets: number,
): Promise<History | null> {
  const path = `/api/v1/points/${encodeURIComponent(id)}/history`;
  const query = `from_ms=${Math.round(from_ms)}&to_ms=${Math.round(to_ms)}&buckets=${buckets}`;
  try {
    const answer = await fetch(`${path}?${query}`, { signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS) });
    if (!answer.ok) return null;
    const body: unknown = await answer.json();
    const rows = (body as { rows?: unknown }).rows;
    return Array.isArray(rows) ? { rows: rows as History['rows'] } : null;
  } catch {
    return null;
  }
}

/** Everything that a device tells. `null` when the controller cannot say. */
export async function deviceFacts(name: string): Promise<Point[] | null> {
  try {
    const answer = await fetch(`/api/v1/devices/${encodeURIComponent(name)}`, {
      signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS),
    });
    if (!answer.ok) return null;
    const body: unknown = await answer.json();
    const points = (body as { points?: unknown }).points;
    return Array.isArray(points) ? (points as Point[]) : null;
  } catch {
    return null;
  }
}
