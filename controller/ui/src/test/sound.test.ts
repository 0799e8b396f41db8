import { describe, expect, it } from 'vitest';
import { Sound, STOPPED_MS } from '../sound.svelte';

describe('the sound of alarms', () => {
  it('is off until a person allows it', () => {
    const sound = new Sound();
    expect(sound.allowed).toBe(false);
    expect(sound.tick('critical', 1_000)).toBe(false);
  });

  it('comes again until it is stopped, and stopping it ends by itself', () => {
    const sound = new Sound();
    sound.allow(true);
    expect(sound.tick('critical', 100_000)).toBe(true);
    expect(sound.tick('critical', 101_000)).toBe(false);
    expect(sound.tick('critical', 105_000)).toBe(true);
    sound.stop(106_000);
    expect(sound.tick('critical', 120_000)).toBe(false);
    expect(sound.tick('critical', 106_000 + STOPPED_MS)).toBe(true);
  });

  it('calls at once when something worse comes, and after a new alarm ended the silence', () => {
    const sound = new Sound();
    sound.allow(true);
    expect(sound.tick('warning', 100_000)).toBe(true);
    expect(sound.tick('critical', 101_000)).toBe(true);
    sound.stop(102_000);
    sound.go();
    expect(sound.tick('critical', 110_000)).toBe(true);
    expect(sound.tick(null, 200_000)).toBe(false);
  });
});
