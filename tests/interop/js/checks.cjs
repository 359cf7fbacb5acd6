// Collects outcomes by name and prints each as a line of JSON; runs under Node.js and in a browser.
const LIMIT = 10000; // ms for one check

const nested = (depth) => (depth ? { list: [nested(depth - 1)] } : 'bottom');

exports.VALUES = {
  null: null,
  true: true,
  false: false,
  zero: 0,
  negative: -1,
  'int 255': 255,
  'int 2**16': 2 ** 16,
  'int 2**31': 2 ** 31,
  'int -2**31-1': -(2 ** 31) - 1,
  'int 2**32': 2 ** 32,
  'int 2**53-1': Number.MAX_SAFE_INTEGER,
  'int -(2**53-1)': -Number.MAX_SAFE_INTEGER,
  float: 3.141592653589793,
  'float tiny': 5e-324,
  'float big': 1.7976931348623157e308,
  'empty text': '',
  text: 'plain',
  unicode: 'Grüße, 世界, 🚗, \u0001"\\/',
  'text with NUL': 'a\u0000b',
  'empty list': [],
  list: [1, 'two', null, [3.5, [false]]],
  'long list': Array.from({ length: 1000 }, (_, i) => i),
  'empty dict': {},
  'nested dict': { a: { b: { c: [1, { d: 'e' }] } }, ключ: null, '': 'no name' },
  'wide dict': Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`key${i}`, i])),
  deep: nested(20),
  'long text': 'x'.repeat(100000),
  'long unicode': 'ä€😀'.repeat(10000),
};
exports.BYTES = Uint8Array.from({ length: 256 }, (_, i) => i);

// Plain values: what a codec gives as Buffer, typed array or object without prototype, as the literals above have it.
function plain(value) {
  if (value instanceof Uint8Array) return Array.from(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  }
  return value;
}
exports.plain = plain;

function same(a, b) {
  if (!a || !b || typeof a !== 'object' || typeof b !== 'object') return Object.is(a, b);
  const keys = Object.keys(a);
  return Array.isArray(a) === Array.isArray(b) && keys.length === Object.keys(b).length
    && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}

exports.Checks = class {
  constructor(client) {
    this.client = client;
    this.outcomes = {};
  }

  // The outcome of an async function that returns what it got, against what was expected.
  async equal(name, expected, fn) {
    if (name in this.outcomes) throw new Error(`two checks have the name ${name}`);
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${LIMIT} ms`)), LIMIT);
    });
    try {
      const got = plain(await Promise.race([fn(), late]));
      this.outcomes[name] = same(got, expected)
        ? 'ok'
        : `expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`.slice(0, 300);
    } catch (error) {
      this.outcomes[name] = `expected ${JSON.stringify(expected)}, got the error ${describe(error)}`.slice(0, 400);
    } finally {
      clearTimeout(timer);
    }
  }

  print() {
    for (const [check, outcome] of Object.entries(this.outcomes)) console.log(JSON.stringify({ check, outcome }));
    console.log(JSON.stringify({ client: this.client, checks: Object.keys(this.outcomes).length }));
  }
};

function describe(error) {
  if (error && error.error) return `${error.error} ${JSON.stringify(error.args)}`;
  if (error && error.uri) return `${error.uri} ${JSON.stringify(error.args)}`;
  return String((error && error.stack) || error);
}

// A promise to be kept later, with what it was kept with.
exports.later = function () {
  const promised = {};
  promised.done = new Promise((resolve, reject) => Object.assign(promised, { resolve, reject }));
  return promised;
};
