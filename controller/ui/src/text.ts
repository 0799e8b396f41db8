// Short forms for the components: texts in the language that is switched on.
import type { Label } from './api';
import { operator } from './operator.svelte';
import { say, sayLabel, sayReason, saySign, sayWord, type Key } from './words';

export const t = (key: Key, values?: Record<string, string | number>) => say(operator.lang, key, values);
export const word = (prefix: string, reserved: string) => sayWord(operator.lang, prefix, reserved);
export const sign = (text: string) => saySign(operator.lang, text);
export const reason = (label: Label) => sayReason(operator.lang, label);
export const named = (label: Label) => sayLabel(operator.lang, label);
