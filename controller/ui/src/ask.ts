// What a card may ask of the person in front of the screen, and how a failure is put in words.
import { CommandError, type Alarm } from './api';
import { named, t } from './text';

export interface Asker {
  /** The operator's name; asked for once. `null` when the person turned away. */
  name(): Promise<string | null>;
  /** Opens the dialog that shelves an alarm. */
  shelve(alarm: Alarm): void;
}

/** A failed command in words. */
export function failure(error: unknown): string {
  if (error instanceof CommandError) {
    if (error.label) return named(error.label);
    if (error.status !== null) return t('error.status', { status: error.status });
  }
  return t('error.network');
}
