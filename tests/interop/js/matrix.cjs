// What every client in JavaScript is checked with. A client gives sessions of this shape, and says what it lacks:
//   id, authid
//   call(uri, args, kwargs, options, onProgress) -> [args, kwargs]; fails with {uri, args, kwargs}
//   start(uri, options) -> {answer, cancel(mode)}
//   register(uri, (args, kwargs, details, progress) => [args, kwargs], options) -> {id, drop()}; throws failure(...)
//   subscribe(topic, (args, kwargs, details) => ..., options) -> {id, drop()}
//   publish(topic, args, kwargs, options) -> id of an acknowledged publication
//   leave()
const { BYTES, VALUES, later } = require('./checks.cjs');
const events = require('./matrix_events.cjs');
const meta = require('./matrix_meta.cjs');

const PYTHON = 'com.example.python';
const attempt = async (promise) => {
  try {
    return await promise;
  } catch (error) {
    if (error && error.uri) return error.uri;
    throw error;
  }
};

async function values({ one, two, equal, uri, lacks, failure }) {
  const [echo, fails, counts, topic] = ['echo', 'fails', 'counts', 'topic'].map(uri);
  await two.register(echo, (args, kwargs) => [args, kwargs]);
  await two.register(fails, (args, kwargs) => { throw failure('com.example.error.value', args, kwargs); });
  await two.register(counts, (args, kwargs, details, progress) => {
    if (progress) progress(args, kwargs);
    return [args, kwargs];
  });
  let got = later();
  await two.subscribe(topic, (args, kwargs) => got.resolve([args, kwargs]));
  const binary = {
    bytes: BYTES, 'empty bytes': BYTES.slice(0, 0), 'nested bytes': [{ bytes: BYTES }], 'long bytes': new Uint8Array(70000),
  };
  const octets = (value) => JSON.parse(JSON.stringify(value, (k, v) => (ArrayBuffer.isView(v) ? Array.from(v) : v)));
  const all = { ...VALUES, ...(lacks.has('binary') ? {} : binary) };
  for (const [name, value] of Object.entries(all)) {
    const expected = octets(value);
    await equal(`positional: ${name}`, [[1, expected], {}], () => one.call(echo, [1, value]));
    await equal(`keyword: ${name}`, [[], { k: expected }], () => one.call(echo, [], { k: value }));
    await equal(`Python callee: ${name}`, [[expected], { k: expected }], () =>
      one.call(`${PYTHON}.both`, [value], { k: value }));
    await equal(`error: ${name}`, ['com.example.error.value', [expected], { k: expected }], () =>
      one.call(fails, [value], { k: value }).then(() => null, (e) => [e.uri, e.args, e.kwargs]));
    await equal(`event: ${name}`, [[expected], { k: expected }], async () => {
      got = later();
      await one.publish(topic, [value], { k: value }, { acknowledge: true });
      return got.done;
    });
    if (!lacks.has('progressive results of a callee')) {
      await equal(`progress: ${name}`, [[[expected, 2], {}], [[expected, 2], {}]], async () => {
        const seen = [];
        const end = await one.call(counts, [value, 2], {}, {}, (args, kwargs) => seen.push([args, kwargs]));
        return [...seen, end];
      });
    }
  }
}

async function calls({ one, two, equal, uri, lacks, join, failure }) {
  const echo = uri('echo');
  const registration = await two.register(echo, (args, kwargs) => [args, kwargs]);
  await equal('call: several results', [[1, 'a', null], {}], () => one.call(echo, [1, 'a', null]));
  await equal('call: both results', [[1, 'a'], { k: [2] }], () => one.call(echo, [1, 'a'], { k: [2] }));
  await equal('call: no result', true, async () => {
    const [args, kwargs] = await one.call(echo);
    return args.every((value) => value === null) && Object.keys(kwargs).length === 0;
  });
  await equal('call: own procedure', [[1, 2], {}], () => two.call(echo, [1, 2]));
  await equal('call: a mebibyte', 2 ** 20, async () => (await one.call(echo, ['x'.repeat(2 ** 20)]))[0][0].length);
  await equal('call: 500 at once, each its own answer', Array.from({ length: 500 }, (_, i) => i), async () =>
    (await Promise.all(Array.from({ length: 500 }, (_, i) => one.call(echo, [i])))).map(([args]) => args[0]));
  const waits = uri('waits');
  const gates = [];
  await two.register(waits, async (args) => { await new Promise((open) => { gates[args[0]] = open; }); return [args, {}]; });
  await equal('call: answers overtake each other', [2, 1, 0], async () => {
    const order = [];
    const all = [0, 1, 2].map((i) => one.call(waits, [i]).then(([args]) => order.push(args[0])));
    while (gates.filter(Boolean).length < 3) await one.call(echo, [0]);
    for (const i of [2, 1, 0]) { gates[i](); await all[i]; }
    return order;
  });
  await equal('call: a callee calls', [['deep'], {}], async () => {
    await two.register(uri('calls'), async () => two.call(echo, ['deep']));
    return one.call(uri('calls'));
  });
  await equal('register: small id', true, async () => registration.id === undefined || (registration.id > 0 && registration.id < 2 ** 31));
  await equal('register: id of the session', true, async () => (Number.isInteger(one.id) || typeof one.id === 'bigint') && one.id > 0 && one.id <= 2 ** 53);
  await equal('register: already there', 'wamp.error.procedure_already_exists', () => attempt(one.register(echo, () => [[], {}])));
  await equal('register: gone', 'wamp.error.no_such_procedure', async () => {
    await registration.drop();
    return attempt(one.call(echo));
  });
  await equal('register: again', [['again'], {}], async () => {
    await two.register(echo, () => [['again'], {}]);
    return one.call(echo);
  });
  await equal('register: gone with its session', 'wamp.error.no_such_procedure', async () => {
    const third = await join();
    await third.register(uri('third'), () => [[], {}]);
    await third.leave();
    return attempt(one.call(uri('third')));
  });
  for (const [name, thrown, expected] of [
    ['arguments', ['why', 7], [['why', 7], {}]], ['none', [], [[], {}]],
  ]) {
    await equal(`call fails: ${name}`, ['com.example.error.custom', ...expected], async () => {
      await two.register(uri(`fails_${name}`), () => { throw failure('com.example.error.custom', thrown, {}); });
      return one.call(uri(`fails_${name}`)).catch((e) => [e.uri, e.args, e.kwargs]);
    });
  }
  await equal('call fails: keywords', ['com.example.error.custom', [1], { code: 9 }], async () => {
    await two.register(uri('fails_keywords'), () => { throw failure('com.example.error.custom', [1], { code: 9 }); });
    return one.call(uri('fails_keywords')).catch((e) => [e.uri, e.args, e.kwargs]);
  });
  await equal('call fails: an exception of the language', true, async () => {
    await two.register(uri('fails_plainly'), () => { throw new Error('broken'); });
    return (await attempt(one.call(uri('fails_plainly')))).startsWith('wamp.error');
  });
  await equal('call fails: nobody there', 'wamp.error.no_such_procedure', () => attempt(one.call(uri('nobody'))));
  await equal('call fails: in Python', [`${PYTHON}.error`, ['bad', 1]], () =>
    one.call(`${PYTHON}.fails`).catch((e) => [e.uri, e.args]));
  for (const option of ['timeout', 'disclose_me', 'receive_progress', 'runmode', 'rkey', 'forward_for', 'x_own']) {
    await equal(`undefined: ${option} of a call`, [[1], {}], () =>
      one.call(`${PYTHON}.both`, [1], {}, { [option]: undefined }));
  }
  for (const option of ['match', 'invoke', 'concurrency', 'force_reregister', 'x_own']) {
    await equal(`undefined: ${option} of a registration`, [[1], {}], async () => {
      await two.register(uri(`undefined_${option}`), (args) => [args, {}], { [option]: undefined });
      return one.call(uri(`undefined_${option}`), [1]);
    });
  }
  if (!lacks.has('undefined values')) {
    await equal('undefined: an argument', true, async () => {
      const [args] = await one.call(`${PYTHON}.both`, [1, undefined, 3]);
      return args.length === 3 && args[0] === 1 && args[2] === 3 && (args[1] === null || args[1] === undefined);
    });
  }
}

async function progress({ one, two, equal, uri, lacks, failure }) {
  const ask = async (procedure, args) => {
    const seen = [];
    const end = await one.call(procedure, args, {}, {}, (chunk) => seen.push(chunk[0]));
    return [seen, end[0][0]];
  };
  const upTo = (n) => Array.from({ length: n }, (_, i) => i);
  const callees = { Python: `${PYTHON}.counts` };
  if (!lacks.has('progressive results of a callee')) {
    callees.JavaScript = uri('counts');
    await two.register(uri('counts'), (args, kwargs, details, more) => {
      if (more) for (let i = 0; i < args[0]; i += 1) more([i], {});
      return [[args[0]], {}];
    });
    await two.register(uri('counts_fails'), (args, kwargs, details, more) => {
      for (let i = 0; i < args[0]; i += 1) more([i], {});
      throw failure('com.example.error.late', [], {});
    });
    await equal('progress: then an error', [[0, 1, 2], 'com.example.error.late'], async () => {
      const seen = [];
      const end = await attempt(one.call(uri('counts_fails'), [3], {}, {}, (chunk) => seen.push(chunk[0])));
      return [seen, end];
    });
  }
  for (const [name, callee] of Object.entries(callees)) {
    for (const n of [0, 1, 2, 10, 300]) {
      await equal(`progress: ${n} chunks of ${name}`, [upTo(n), n], () => ask(callee, [n]));
    }
    await equal(`progress: not asked for, ${name}`, 5, async () => (await one.call(callee, [5]))[0][0]);
    await equal(`progress: three calls at once, ${name}`, [3, 4, 5].map((n) => [upTo(n), n]), () =>
      Promise.all([3, 4, 5].map((n) => ask(callee, [n]))));
  }
}

async function endings({ one, two, equal, uri, lacks, join }) {
  const hangs = uri('hangs');
  await two.register(hangs, () => new Promise(() => {}));
  const callees = { JavaScript: hangs, Python: `${PYTHON}.hangs` };
  for (const [name, callee] of Object.entries(callees)) {
    for (const mode of ['skip', 'kill', 'killnowait', undefined]) {
      if ((mode === 'kill' && name === 'JavaScript' && lacks.has('INTERRUPT')) || lacks.has(`cancel ${mode}`)) continue;
      await equal(`cancel: ${mode || 'no mode'}, ${name}`, ['wamp.error.canceled', [[7], {}]], async () => {
        const caller = await join();
        const call = caller.start(callee, {});
        call.cancel(mode);
        const end = await attempt(call.answer);
        const then = await caller.call(`${PYTHON}.both`, [7]);
        await caller.leave();
        return [end, then];
      });
    }
    for (const ms of [1, 50, 300]) {
      await equal(`timeout: ${ms} ms, ${name}`, ['wamp.error.timeout', true], async () => {
        const begin = Date.now();
        const end = await attempt(one.call(callee, [], {}, { timeout: ms }));
        const took = Date.now() - begin;
        return [end, took >= ms - 2 && took < ms + 5000];
      });
    }
    await equal(`timeout: the session lives on, ${name}`, [[7], {}], () => one.call(`${PYTHON}.both`, [7]));
    await equal(`timeout: progress does not put it off, ${name}`, 'wamp.error.timeout', () =>
      attempt(one.call(callee, [], {}, { timeout: 50 }, () => {})));
  }
  for (const timeout of [0, 20000]) {
    await equal(`timeout: ${timeout} lets the answer come`, [[7], {}], () => one.call(`${PYTHON}.both`, [7], {}, { timeout }));
  }
}

module.exports = async function matrix({ checks, join, lacks, failure, prefix }) {
  const one = await join();
  const two = await join();
  const equal = checks.equal.bind(checks);
  for (const group of [values, calls, progress, endings, ...events, ...meta]) {
    const uri = (name) => `${prefix}.${group.name}.${name.replace(/ /g, '_')}`;
    try {
      await group({ one, two, equal, uri, lacks: new Set(lacks), join, failure, later, attempt });
    } catch (error) {
      checks.outcomes[`${group.name}: whole`] = `stopped by ${(error && (error.uri || error.stack)) || error}`.slice(0, 400);
    }
  }
  await one.leave();
  await two.leave();
};
