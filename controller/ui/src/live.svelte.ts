// The page's view of the controller: the last snapshot, how long ago it came, and whether the link lives.
// Every age on the page is the age at the snapshot plus the time since it arrived, by the browser's
// monotonic clock; the browser's wall clock is never used.

import { history, type Entry, type Snapshot } from './api';
import { newAlarms } from './alarms';
import { SseParser } from './sse';
import { append, prepend, TRAIL_MS, type Mark } from './trail';

/** Silence of the stream after which the controller counts as lost; keep-alives come every 15 s. */
export const SILENCE_MS = 20_000;
/** First and longest pause before connecting again. */
const RETRY_FIRST_MS = 500;
const RETRY_LONGEST_MS = 5_000;
/** Newest records kept on the page. */
const MAX_ENTRIES = 50;
/** Points whose past is asked for when the page opens, and rows of each. */
const MAX_HISTORY_POINTS = 64;
const HISTORY_BUCKETS = 60;

/** What an older controller does not send: a page that is left open lives through an update being taken back. */
const NEWER = {
  alarms_left_out: 0,
  maintenance: [],
  forecasts: [],
  incidents: [],
  notices: { contacts: [], routes: [], notifiers: [], told: [], failed: [], under_way: 0, test_due: null },
} satisfies Partial<Snapshot>;

/** `core`: the page server lives, but what it shows comes from nobody. */
export type Link = 'connecting' | 'live' | 'core' | 'lost';

export class Live {
  snapshot = $state.raw<Snapshot | null>(null);
  /** Newest first. */
  entries = $state.raw<Entry[]>([]);
  /** Text for the screen reader: the alarms that have just been raised. */
  raised = $state.raw<Snapshot['alarms']>([]);
  /** `performance.now()`, once a second and with every snapshot. */
  now = $state(performance.now());
  /** Counts up when trails grew. */
  trailVersion = $state(0);

  #arrived = $state<number | null>(null);
  #heard = $state<number | null>(null);
  #open = $state(false);
  #linked = $state(true);
  #begun = performance.now();
  #trails = new Map<string, Mark[]>();
  #stop = new AbortController();

  /** Milliseconds since the shown snapshot arrived. */
  get elapsed(): number {
    return this.#arrived === null ? 0 : Math.max(0, this.now - this.#arrived);
  }

  /** True when what the page shows may be old: nothing on it may then look normal. */
  get lost(): boolean {
    return this.link === 'lost' || this.link === 'core';
  }

  get link(): Link {
    const quiet = this.now - (this.#heard ?? this.#begun);
    if (this.#arrived === null) {
      if (this.#open && !this.#linked) return 'core';
      return quiet > SILENCE_MS ? 'lost' : 'connecting';
    }
    if (!this.#open || quiet > SILENCE_MS) return 'lost';
    return this.#linked ? 'live' : 'core';
  }

  /** The controller's clock, milliseconds since 1970 UTC. */
  get wall_ms(): number | null {
    return this.snapshot ? this.snapshot.wall_ms + this.elapsed : null;
  }

  /** Age now of something that was `age_ms` old in the snapshot. */
  age(age_ms: number): number {
    return age_ms + this.elapsed;
  }

  trail(id: string): readonly Mark[] {
    void this.trailVersion;
    return [...(this.#trails.get(id) ?? [])];
  }

  /** Connects, and connects again for as long as the page lives. Returns what ends it. */
  start(): () => void {
    const tick = setInterval(() => this.#tick(), 1000);
    void this.#run();
    return () => {
      clearInterval(tick);
      this.#stop.abort();
    };
  }

  #tick() {
    this.now = performance.now();
    this.trailVersion += 1;
  }

  async #run() {
    let pause = RETRY_FIRST_MS;
    while (!this.#stop.signal.aborted) {
      const before = this.#arrived;
      await this.#listen().catch(() => undefined);
      this.#open = false;
      this.now = performance.now();
      pause = this.#arrived === before ? Math.min(pause * 2, RETRY_LONGEST_MS) : RETRY_FIRST_MS;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  /** Reads one stream to its end, or until it has been silent for too long. */
  async #listen() {
    const quit = new AbortController();
    const silent = () => quit.abort();
    let timer = setTimeout(silent, SILENCE_MS);
    const signal = AbortSignal.any([quit.signal, this.#stop.signal]);
    try {
      const answer = await fetch('/api/v1/stream', {
        headers: { Accept: 'text/event-stream' },
        cache: 'no-store',
        signal,
      });
      if (!answer.ok || !answer.body) throw new Error(`stream: ${answer.status}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new SseParser();
      this.#open = true;
      this.#linked = true;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(silent, SILENCE_MS);
        this.#heard = performance.now();
        for (const { event, data } of parser.push(value)) {
          if (event === 'snapshot') this.receive(JSON.parse(data) as Snapshot);
          if (event === 'core') this.#linked = (JSON.parse(data) as { linked?: unknown }).linked === true;
          if (event === 'records') this.#note(JSON.parse(data) as Entry[]);
        }
      }
    } finally {
      clearTimeout(timer);
      quit.abort();
    }
  }

  /** Takes a snapshot over. */
  receive(sent: Snapshot) {
    const snapshot = { ...NEWER, ...sent };
    const first = this.snapshot === null;
    // A page that has just been opened announces nothing: the alarms are on the screen already.
    const raised = first ? [] : newAlarms(this.snapshot?.alarms ?? [], snapshot.alarms);
    if (raised.length > 0) this.raised = raised;
    for (const point of snapshot.points) {
      let trail = this.#trails.get(point.id);
      if (!trail) this.#trails.set(point.id, (trail = []));
      append(trail, point, snapshot.wall_ms);
    }
    this.snapshot = snapshot;
    this.now = performance.now();
    this.#arrived = this.now;
    if (first) {
      this.trailVersion += 1;
      void this.#recall(snapshot);
    }
  }

  #note(entries: Entry[]) {
    if (!Array.isArray(entries)) return;
    this.entries = [...entries.toReversed(), ...this.entries].slice(0, MAX_ENTRIES);
  }

  /** Fetches the minutes before the page was opened, one point after the other. */
  async #recall(snapshot: Snapshot) {
    const points = snapshot.points.filter((p) => p.state === null && p.no_data !== 'not_supported');
    for (const point of points.slice(0, MAX_HISTORY_POINTS)) {
      const past = await history(point.id, snapshot.wall_ms - TRAIL_MS, snapshot.wall_ms, HISTORY_BUCKETS);
      if (!past || this.#stop.signal.aborted) return;
      const trail = this.#trails.get(point.id);
      if (trail) prepend(trail, past);
    }
    this.trailVersion += 1;
  }
}
