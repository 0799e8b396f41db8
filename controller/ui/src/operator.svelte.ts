// Language and name of the person at this screen, remembered on the device. A browser that refuses
// storage (private window) only forgets them.
import type { Lang } from './words';

const LANG = 'yagura.lang';
const NAME = 'yagura.name';
/** Longest name in characters. */
export const NAME_MAX = 60;

function recall(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key: string, value: string) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Not remembered; the page still works.
  }
}

class Operator {
  #lang = $state<Lang>(recall(LANG) === 'en' ? 'en' : 'ja');
  #name = $state(recall(NAME)?.slice(0, NAME_MAX) ?? '');

  get lang(): Lang {
    return this.#lang;
  }
  set lang(lang: Lang) {
    this.#lang = lang;
    remember(LANG, lang);
  }

  get name(): string {
    return this.#name;
  }
  set name(name: string) {
    this.#name = name.trim().slice(0, NAME_MAX);
    remember(NAME, this.#name);
  }
}

export const operator = new Operator();
