// The sound of alarms that nobody has taken. It is off until a person allows it on this device, comes again
// until somebody takes the alarm, and can be stopped for a while; stopping it never acknowledges anything.
// Forecasts and advisories make no sound. The tones are made by the browser: there is no file to load.

const ALLOWED = 'yagura.sound';
const VOLUME = 'yagura.volume';
/** Pause between two calls of the same alarm, milliseconds. */
const EVERY_MS = { critical: 5_000, warning: 20_000 } as const;
/** How long the sound stays stopped after a person stopped it, milliseconds. A new alarm sounds at once. */
export const STOPPED_MS = 10 * 60_000;
/** Tones of a call: frequency in hertz, start and length in seconds. Far from each other, for old ears too. */
const CALLS: Record<Urgent, readonly (readonly [number, number, number])[]> = {
  critical: [
    [880, 0, 0.22],
    [660, 0.28, 0.22],
    [880, 0.56, 0.22],
    [660, 0.84, 0.22],
  ],
  warning: [
    [660, 0, 0.3],
    [520, 0.38, 0.4],
  ],
};
/** Rise and fall of a tone in seconds, against clicks. */
const EDGE_S = 0.02;
/** Longest wait for the browser's leave to play, milliseconds. */
const WAKE_WITHIN_MS = 300;

export type Urgent = 'critical' | 'warning';

function recall(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key: string, value: string) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Not remembered; the page still works.
  }
}

const volumeOf = (text: string | null) => {
  const value = Number(text ?? '0.6');
  return Number.isFinite(value) ? Math.min(1, Math.max(0.1, value)) : 0.6;
};

export class Sound {
  #allowed = $state(recall(ALLOWED) === 'on');
  #volume = $state(volumeOf(recall(VOLUME)));
  /** `performance.now()` until which a person stopped it. */
  #stoppedUntil = $state(0);
  /** Browsers play nothing before the page was touched. */
  blocked = $state(false);
  #context: AudioContext | null = null;
  #last = { what: null as Urgent | null, at: 0 };

  get allowed(): boolean {
    return this.#allowed;
  }
  get volume(): number {
    return this.#volume;
  }
  set volume(value: number) {
    this.#volume = volumeOf(String(value));
    remember(VOLUME, String(this.#volume));
  }

  stopped(now: number): boolean {
    return now < this.#stoppedUntil;
  }

  /** A person switches it on or off; by that touch the browser lets it play. */
  allow(on: boolean) {
    this.#allowed = on;
    remember(ALLOWED, on ? 'on' : 'off');
    this.#stoppedUntil = 0;
    if (on) {
      this.#last = { what: null, at: 0 };
      void this.#wake().then((awake) => awake && this.call('warning'));
    }
  }

  /** Quiet for a while, on this device alone. */
  stop(now: number) {
    this.#stoppedUntil = now + STOPPED_MS;
  }

  /** Sound again, because somebody wants it or because something new was raised. */
  go() {
    this.#stoppedUntil = 0;
  }

  /** Once a second: calls when it is time. Returns whether it called. */
  tick(what: Urgent | null, now: number): boolean {
    if (!this.#allowed || what === null || this.stopped(now)) return false;
    if (this.#last.what === what && now - this.#last.at < EVERY_MS[what]) return false;
    this.#last = { what, at: now };
    void this.#wake().then((awake) => awake && this.call(what));
    return true;
  }

  /** Lets the browser play. False when it refuses because nobody has touched the page yet. */
  async #wake(): Promise<boolean> {
    if (typeof AudioContext === 'undefined') return false;
    this.#context ??= new AudioContext();
    // Without a touch of the page the promise of `resume` may never settle.
    await Promise.race([
      this.#context.resume(),
      new Promise((resolve) => setTimeout(resolve, WAKE_WITHIN_MS)),
    ]).catch(() => undefined);
    this.blocked = this.#context.state !== 'running';
    return !this.blocked;
  }

  /** Plays a call once. */
  call(what: Urgent) {
    const context = this.#context;
    if (!context) return;
    for (const [frequency, start, length] of CALLS[what]) {
      const at = context.currentTime + start;
      const tone = context.createOscillator();
      const gain = context.createGain();
      tone.type = 'triangle';
      tone.frequency.value = frequency;
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(this.#volume, at + EDGE_S);
      gain.gain.setValueAtTime(this.#volume, at + length - EDGE_S);
      gain.gain.linearRampToValueAtTime(0, at + length);
      tone.connect(gain).connect(context.destination);
      tone.start(at);
      tone.stop(at + length);
    }
  }

  /** After a reload the browser waits for a touch of the page; any will do. */
  touched() {
    if (this.#allowed && this.blocked) void this.#wake();
  }
}

export const sound = new Sound();
