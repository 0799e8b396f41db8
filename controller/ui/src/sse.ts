// Server-sent events as text in, events out. We read the stream ourselves instead of by EventSource
// because a page must see the keep-alive comments: a cable pulled out closes nothing, only the silence
// tells, and EventSource hides the comments that would break it.

export interface SseEvent {
  event: string;
  data: string;
}

/** Longest unfinished event in characters; beyond it the stream is broken. Ten thousand alarms are 15 million. */
export const MAX_EVENT = 32 << 20;

const LINE_END = /\r\n|\n|\r/g;

export class SseParser {
  /** Pieces of the unfinished line. They are put together once: a long line costs no more than its length. */
  #pieces: string[] = [];
  #length = 0;
  /** The last chunk ended in \r, which may be half of \r\n. */
  #half = false;
  #event = '';
  #data: string[] = [];

  /** Feeds a chunk and returns the events that it completed. @throws RangeError beyond MAX_EVENT */
  push(chunk: string): SseEvent[] {
    const done: SseEvent[] = [];
    let from = this.#half && chunk.startsWith('\n') ? 1 : 0;
    if (chunk !== '') this.#half = chunk.endsWith('\r');
    LINE_END.lastIndex = from;
    for (let end = LINE_END.exec(chunk); end; end = LINE_END.exec(chunk)) {
      const line = this.#pieces.join('') + chunk.slice(from, end.index);
      this.#pieces = [];
      this.#length = 0;
      from = LINE_END.lastIndex;
      const event = this.#line(line);
      if (event) done.push(event);
    }
    this.#pieces.push(chunk.slice(from));
    this.#length += chunk.length - from;
    if (this.#length > MAX_EVENT) throw new RangeError('event of the stream is too long');
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
