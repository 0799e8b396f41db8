// What a node's event says, in words. An event of a later release is shown by its name.
import { say, sayWord, type Lang } from './words';

type Fields = Record<string, unknown>;

/** An enum of the controller: a bare word, or one word with its fields. */
function variant(value: unknown): [string, unknown] {
  if (typeof value === 'string') return [value, null];
  if (typeof value === 'object' && value !== null) return Object.entries(value)[0] ?? ['', null];
  return ['', null];
}

/** The inner word of an event that has one, in words. */
function detail(lang: Lang, name: string, event: Fields): string | null {
  switch (name) {
    case 'credential':
      return sayWord(lang, 'decision', String(event['decision']));
    case 'door': {
      const [what, by] = variant(event['door']);
      const more = by === false ? 'End' : what === 'Opened' ? variant(by)[0] : '';
      return sayWord(lang, 'door_event', `${what}${more}`);
    }
    case 'reader':
      return sayWord(lang, 'reader_event', variant(event['state'])[0]);
    case 'line_fault':
      return sayWord(lang, 'line_fault', variant(event['fault'])[0]);
    case 'contact':
    case 'rested':
      return sayWord(lang, 'contact_event', event['open'] === true ? 'open' : 'closed');
    case 'sensor_lost':
      return sayWord(lang, 'no_data', String(event['reason']));
    case 'safe_mode':
      return sayWord(lang, 'safe_mode', event['on'] === true ? 'on' : 'off');
    case 'list':
      return sayWord(lang, 'list_event', variant(event['list'])[0]);
    case 'key':
      return sayWord(lang, 'key_event', variant(event['key'])[0]);
    case 'update':
      return `${String(event['version'])} ${sayWord(lang, 'update_event', variant(event['outcome'])[0])}`;
    case 'hello':
      return String(event['firmware']);
    case 'lost':
      return String(event['count']);
    case 'shock':
      return `${(Number(event['peak']) / 1000).toFixed(2)} m/s²`;
    case 'chattering':
      return say(lang, 'event.edges', { count: Number(event['edges']) });
    default:
      return null;
  }
}

/** The text of a record's `event`. */
export function nodeEvent(lang: Lang, event: unknown): string {
  if (typeof event !== 'object' || event === null) return '';
  const fields = event as Fields;
  const name = String(fields['event']);
  const text = sayWord(lang, 'event', name);
  const more = detail(lang, name, fields);
  return more === null ? text : `${text}: ${more}`;
}
