import { describe, expect, it } from 'vitest';
import { hrefOf, placeOf, route, VIEWS } from '../route.svelte';

describe('an address', () => {
  it('names a view, and what stands behind it', () => {
    for (const view of VIEWS) expect(placeOf(hrefOf(view))).toEqual({ view, rest: [] });
    expect(placeOf(hrefOf('equipment', 'outage/2026 #4'))).toEqual({
      view: 'equipment',
      rest: ['outage/2026 #4'],
    });
    expect(placeOf('')).toEqual({ view: 'room', rest: [] });
  });

  it('that nobody knows leads home, and a jump within the page leads nowhere', () => {
    expect(placeOf('#/cellar')).toEqual({ view: 'room', rest: [] });
    expect(placeOf('#/equipment/%E0%A4')).toEqual({ view: 'equipment', rest: ['%E0%A4'] });
    expect(placeOf('#main')).toBeNull();
  });

  it('moves the focus only when the view changes', () => {
    route.take('#/alarms');
    const moves = route.moves;
    route.take('#/alarms/owned');
    expect([route.view, route.rest, route.moves]).toEqual(['alarms', ['owned'], moves]);
    route.take('#main');
    expect(route.view).toBe('alarms');
    route.take('#/room');
    expect(route.moves).toBe(moves + 1);
  });

  it('leads back to what was open in a view, and once more to its beginning', () => {
    route.take('#/limits/room.temperature.high');
    route.take('#/room');
    expect(route.back('limits')).toBe('#/limits/room.temperature.high');
    route.take(route.back('limits'));
    expect(route.back('limits')).toBe('#/limits');
    route.take('#/alarms/owned');
    route.take('#/room');
    expect(route.back('alarms')).toBe('#/alarms');
  });
});
