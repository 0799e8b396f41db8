// An alarm for tests.
import type { Alarm } from '../api';

export const alarm = (id: string, more: Partial<Alarm> = {}): Alarm => ({
  id,
  state: 'unacknowledged',
  priority: 'warning',
  what: { ja: id, en: id },
  place: { ja: '', en: '' },
  action: { ja: '', en: '' },
  because: { ja: '', en: '' },
  since_ms: 0,
  age_ms: 0,
  owner: null,
  count: 1,
  shelved_until_ms: null,
  cause: null,
  kind: 'limit_high',
  class: 'environment',
  usual_cause: { ja: '', en: '' },
  consequence: { ja: '', en: '' },
  respond_within_s: 3600,
  responder: 'facilities',
  procedure: null,
  folded: 0,
  shelved_by: null,
  shelved_because: null,
  ...more,
});
