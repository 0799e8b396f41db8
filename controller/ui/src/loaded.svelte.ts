// Something that a view asks the controller for: what came last, and why the newest question failed. What
// came last stays on the screen while it is asked again.
import { failure } from './ask';

export class Loaded<T> {
  value = $state.raw<T | null>(null);
  problem = $state<string | null>(null);
  #ask: () => Promise<T>;
  #asked = 0;

  constructor(ask: () => Promise<T>) {
    this.#ask = ask;
  }

  /** Asks again. Of several questions only the answer to the last one counts. */
  async load(): Promise<void> {
    const mine = ++this.#asked;
    try {
      const value = await this.#ask();
      if (mine !== this.#asked) return;
      this.value = value;
      this.problem = null;
    } catch (error) {
      if (mine === this.#asked) this.problem = failure(error);
    }
  }

  /** Forgets it, before something else is asked for. */
  clear() {
    this.#asked += 1;
    this.value = null;
    this.problem = null;
  }
}
