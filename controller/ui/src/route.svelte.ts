// Which view is shown. Views are hash routes: the page is one file that any server can hand out, a view has
// an address that can be sent by mail or kept as a bookmark, and "back" does what people expect.

export const VIEWS = [
  'room',
  'alarms',
  'power',
  'limits',
  'contacts',
  'incidents',
  'coverage',
  'equipment',
] as const;
export type View = (typeof VIEWS)[number];

export interface Place {
  view: View;
  /** What stands behind the view in the address, e.g. the tab of the alarms or the id of an incident. */
  rest: readonly string[];
}

const HOME: Place = { view: 'room', rest: [] };

const isView = (word: string): word is View => (VIEWS as readonly string[]).includes(word);

/** A damaged escape in an address that somebody typed is shown as it came. */
function plain(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The place that an address names; `null` when it is a jump within the page, home when it is unknown. */
export function placeOf(hash: string): Place | null {
  if (hash === '' || hash === '#') return HOME;
  if (!hash.startsWith('#/')) return null;
  const [view = '', ...rest] = hash.slice(2).split('/').map(plain);
  return isView(view) ? { view, rest: rest.filter((part) => part !== '') } : HOME;
}

export const hrefOf = (view: View, ...rest: string[]) =>
  `#/${[view, ...rest.map(encodeURIComponent)].join('/')}`;

class Route {
  #place = $state.raw<Place>(HOME);
  /** What was open in each view when it was left. */
  #open = $state.raw<Partial<Record<View, readonly string[]>>>({});
  /** Where each view was left, pixels from the top. */
  #left = new Map<View, number>();
  /** Counts up with every change of the view that a person made: the page then moves the focus. */
  moves = $state(0);

  get view(): View {
    return this.#place.view;
  }
  get rest(): readonly string[] {
    return this.#place.rest;
  }
  /** Where the view that is shown now was left. */
  get left(): number {
    return this.#left.get(this.view) ?? 0;
  }

  /** The address of a view as it was left; of the one that is shown, its beginning. */
  back(view: View): string {
    // The alarms begin anew: what is most urgent now, and not what was looked at an hour ago.
    const again = view !== this.view && view !== 'alarms';
    return hrefOf(view, ...((again && this.#open[view]) || []));
  }

  /** Takes an address over. */
  take(hash: string) {
    const place = placeOf(hash);
    if (!place) return;
    const same = place.view === this.view;
    if (!same) this.#open = { ...this.#open, [this.view]: this.rest };
    this.#place = place;
    if (!same) this.moves += 1;
  }

  /** Shows a place without a new entry in the list of places visited. */
  replace(view: View, ...rest: string[]) {
    this.#place = { view, rest };
    if (typeof history !== 'undefined') history.replaceState(null, '', hrefOf(view, ...rest));
  }

  /** Follows the address bar. Returns what ends it. */
  start(): () => void {
    history.scrollRestoration = 'manual';
    const initial = placeOf(location.hash);
    if (initial) this.#place = initial;
    const follow = () => {
      this.#left.set(this.view, scrollY);
      this.take(location.hash);
    };
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }
}

export const route = new Route();
