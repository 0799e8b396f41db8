// Server-sent events as text in, events out. We read the stream ourselves instead of by EventSource
// because a page must see the keep-alive comments: a cable pulled out closes nothing, only the silence
// tells, and EventSource hides the comments that would break it.

export interface SseEvent {
  event: string;
  data: string;
}

/** Longest unfinished event in characters; beyond it the stream is broken. A snapshot of 2,000 points is 1 MB. */
export const MAX_EVENT = 8 << 20;

export class SseParser {
  #rest = '';
  #event = '';
  #data: string[] = [];

  /** Feeds a chunk and returns the events that it completed. @throws RangeError beyond MAX_EVENT */
  push(chunk: string): SseEvent[] {
    this.#rest += chunk;
    const done: SseEvent[] = [];
    for (;;) {
      const end = this.#rest.search(/\r\n|\n|\r/);
      // A lone \r at the very end may be half of \r\n: wait for the next chunk.
      if (end < 0 || (this.#rest[end] === '\r' && end === this.#rest.length - 1)) break;
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + (this.#rest.startsWith('\r\n', end) ? 2 : 1));
      const event = this.#line(line);
      if (event) done.push(event);
    }
    if (this.#rest.length > MAX_EVENT) throw new RangeError('event of the stream is too long');
    return done;
  }

  #line(line: string): SseEvent | null {
    if (line === '') {
      const event =
        this.#data.length > 0 ? { event: this.#event || 'message', data: this.#data.join('\n') } : null;
      this.#event = '';
      this.#data = [];
      return event;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#event = value;
    if (field === 'data') this.#data.push(value);
    return null;
  }
}
