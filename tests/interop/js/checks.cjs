// Collects outcomes by name and prints them as one line of JSON.
const { isDeepStrictEqual } = require('util');

const LIMIT = 10000; // ms for one check

exports.VALUES = {
  null: null,
  true: true,
  false: false,
  zero: 0,
  negative: -1,
  'int 2**31': 2 ** 31,
  'int 2**53-1': Number.MAX_SAFE_INTEGER,
  float: 3.141592653589793,
  'float big': 1.7976931348623157e308,
  'empty text': '',
  text: 'plain',
  unicode: 'Grüße, 世界, 🚗, \u0001"\\/',
  'empty list': [],
  list: [1, 'two', null, [3.5, [false]]],
  'empty dict': {},
  'nested dict': { a: { b: { c: [1, { d: 'e' }] } }, ключ: null },
  'long text': 'x'.repeat(100000),
};
exports.BYTES = Uint8Array.from({ length: 256 }, (_, i) => i);

exports.Checks = class {
  constructor(client) {
    this.client = client;
    this.outcomes = {};
  }

  // The outcome of an async function that returns what it got, against what was expected.
  async equal(name, expected, fn) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${LIMIT} ms`)), LIMIT);
    });
    try {
      const got = await Promise.race([fn(), late]);
      this.outcomes[name] = isDeepStrictEqual(got, expected)
        ? 'ok'
        : `expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`.slice(0, 300);
    } catch (error) {
      this.outcomes[name] = `expected ${JSON.stringify(expected)}, got the error ${describe(error)}`.slice(0, 400);
    } finally {
      clearTimeout(timer);
    }
  }

  print() {
    const bad = Object.fromEntries(Object.entries(this.outcomes).filter(([, outcome]) => outcome !== 'ok'));
    const checks = Object.keys(this.outcomes).length;
    console.log(JSON.stringify({ client: this.client, checks, bad, passed: checks > 0 && !Object.keys(bad).length }));
  }
};

function describe(error) {
  if (error && error.error) return `${error.error} ${JSON.stringify(error.args)}`;
  return String((error && error.stack) || error);
}

// A promise to be kept later, with what it was kept with.
exports.later = function () {
  const promised = {};
  promised.done = new Promise((resolve, reject) => Object.assign(promised, { resolve, reject }));
  return promised;
};

// Plain values: what a codec gives as Buffer, typed array or object without prototype, as the literals above have it.
exports.plain = function plain(value) {
  if (value instanceof Uint8Array) return Array.from(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  }
  return value;
};
