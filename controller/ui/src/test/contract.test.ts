// The controller's API document must be one from which types can be made.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const text = readFileSync(new URL('../../openapi.json', import.meta.url), 'utf8');

describe('the API document', () => {
  it('has a name of its own for every call', () => {
    const names = [...text.matchAll(/"operationId": "(\w+)"/g)].map((m) => m[1]);
    expect(names.length).toBeGreaterThan(10);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });

  it('refers to nothing that it does not have', () => {
    const { schemas } = (JSON.parse(text) as { components: { schemas: object } }).components;
    const asked = [...text.matchAll(/"\$ref": "#\/components\/schemas\/(\w+)"/g)].map((m) => m[1]!);
    expect(asked.filter((name) => !Object.hasOwn(schemas, name))).toEqual([]);
  });
});
