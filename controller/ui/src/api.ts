// What the controller says and what it can be asked. The types mirror `room::snapshot`; times are
// milliseconds since 1970 UTC (`*_ms`) or ages at the moment of the snapshot (`*_age_ms`, `age_ms`),
// spans are seconds (`*_s`). A missing value is `null` with its reason in `no_data`.

export interface Label {
  ja: string;
  en: string;
}

export type Priority = 'critical' | 'warning' | 'advisory';
export type ContactKind = 'door' | 'leak' | 'smoke' | 'tamper';
export type AlarmState =
  | 'unacknowledged'
  | 'acknowledged'
  | 'returned_unacknowledged'
  | 'latched'
  | 'shelved'
  | 'suppressed'
  | 'out_of_service';
export type PowerMode = 'unknown' | 'mains' | 'reduced' | 'battery' | 'stopping' | 'stopped';

export interface Point {
  id: string;
  label: Label;
  source: string;
  quantity: string;
  unit: string;
  value: number | null;
  state: string | null;
  no_data: string | null;
  age_ms: number | null;
  contact: ContactKind | null;
}

export interface Alarm {
  id: string;
  state: AlarmState;
  priority: Priority;
  what: Label;
  place: Label;
  action: Label;
  because: Label;
  since_ms: number;
  age_ms: number;
  owner: string | null;
  count: number;
  shelved_until_ms: number | null;
  cause: string | null;
}

export interface Node {
  id: number;
  name: string;
  label: Label;
  state: string;
  age_ms: number | null;
  boot: number | null;
  firmware: string | null;
  last_event: number | null;
  missing: number;
  refused: number;
}

export interface Device {
  name: string;
  label: Label;
  kind: 'ups' | 'other';
  state: string;
  age_ms: number | null;
  profile: string | null;
  failed_polls: number;
}

export interface Ups {
  name: string;
  label: Label;
  source: string;
  contact: string;
  charge_percent: number | null;
  runtime_s: number | null;
  load_percent: number | null;
  on_battery_s: number | null;
  modelled: boolean;
  evidence: string[];
}

export interface Run {
  id: number;
  state: string;
  kind: string;
  because: Label;
  since_ms: number;
}

export interface Step {
  id: string;
  label: Label;
  after: string[];
  action: string;
  starts_at_s: number;
  planned_s: number;
  budget_s: number;
  state: string;
  running_s: number | null;
  took_s: number | null;
  problem: string | null;
}

export interface Power {
  mode: PowerMode;
  ups: Ups[];
  plan_s: number | null;
  runtime_s: number | null;
  reserve_s: number | null;
  margin_s: number | null;
  starts_in_s: number | null;
  outage_s: number | null;
  plan_hash: string | null;
  run: Run | null;
  steps: Step[];
}

export interface Snapshot {
  version: number;
  wall_ms: number;
  site: Label;
  simulated: boolean;
  points: Point[];
  alarms: Alarm[];
  nodes: Node[];
  devices: Device[];
  power: Power;
  counters: Record<string, number>;
}

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

/** Sends a command. Resolves when the controller has committed it. @throws CommandError */
export async function command(path: string, body: Record<string, unknown>): Promise<void> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS),
    });
  } catch {
    throw new CommandError(null, null);
  }
  if (!answer.ok) throw new CommandError(answer.status, errorLabel(await answer.text().catch(() => '')));
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
export const reset = (id: string, by: string) => command(alarm(id, 'reset'), { by });
export const rehearse = (by: string) => command('/api/v1/plan/rehearse', { by });
export const scenario = (name: string, by: string) =>
  command(`/api/v1/scenarios/${encodeURIComponent(name)}`, { by });

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
