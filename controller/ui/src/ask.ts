// What a part of the page may ask of the person in front of the screen, and how a failure is put in words.
import { CommandError } from './api';
import { named, t } from './text';

/** One line of a question. Values are texts; a number or a moment is read by whoever asked. */
export interface Field {
  key: string;
  kind: 'text' | 'long' | 'number' | 'moment' | 'choice' | 'select' | 'check';
  label: string;
  /** What it is before the person touches it. */
  value?: string;
  /** For `choice` and `select`. */
  options?: readonly { value: string; text: string }[];
  /** Longest text in characters. */
  max?: number;
  /** What is said when it is empty; a field without it may stay empty. */
  missing?: string;
  hint?: string;
}

export interface Question {
  /** Stands in `data-question`, for tests. */
  kind: string;
  title: string;
  text?: string;
  /** What it is about, in bold. */
  about?: string;
  fields?: readonly Field[];
  /** The word on the button. */
  do: string;
  /** Carries it out; an error stays in the dialog, with everything that was typed. */
  run?: (by: string, values: Readonly<Record<string, string>>) => Promise<void>;
}

export interface Asker {
  /** The operator's name; asked for once. `null` when the person turned away. */
  name(): Promise<string | null>;
  /** Asks, and says whether it was done. */
  put(question: Question): Promise<boolean>;
}

/** A failed command in words. */
export function failure(error: unknown): string {
  if (error instanceof CommandError) {
    if (error.label) return named(error.label);
    if (error.status !== null) return t('error.status', { status: error.status });
  }
  return t('error.network');
}
