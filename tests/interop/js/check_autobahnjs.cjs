// AutobahnJS against a WAMP router: node check_autobahnjs.cjs URL SERIALIZER
const autobahn = require('autobahn');
const { BYTES, VALUES, Checks, later, plain } = require('./checks.cjs');

const [url, serializer] = process.argv.slice(2);
const SERIALIZERS = {
  json: autobahn.serializer.JSONSerializer,
  msgpack: autobahn.serializer.MsgpackSerializer,
  cbor: autobahn.serializer.CBORSerializer,
};
const PREFIX = 'com.example.js';
const checks = new Checks(`AutobahnJS ${autobahn.version}`);

function join(realm, options = {}) {
  const joined = later();
  const connection = new autobahn.Connection({
    url, realm, serializers: [new SERIALIZERS[serializer]()], max_retries: 0, retry_if_unreachable: false, ...options,
  });
  connection.onopen = (session, details) => joined.resolve({ connection, session, details });
  connection.onclose = (reason, details) => {
    joined.reject(new Error(`${reason} ${JSON.stringify(details)}`));
    return true;
  };
  connection.open();
  return joined.done;
}

async function calls(caller, callee) {
  await callee.register(`${PREFIX}.echo`, (args) => args[0]);
  for (const [name, value] of Object.entries(VALUES)) {
    await checks.equal(`call: ${name}`, value, async () => plain(await caller.call(`${PREFIX}.echo`, [value])));
  }
  if (serializer !== 'json') { // this client's JSON has no binary
    await checks.equal('call: bytes', Array.from(BYTES), async () =>
      plain(await caller.call(`${PREFIX}.echo`, [serializer === 'cbor' ? Buffer.from(BYTES) : Buffer.from(BYTES)])));
  }
  await callee.register(`${PREFIX}.both`, (args, kwargs) => new autobahn.Result(args, kwargs));
  await checks.equal('call: args and kwargs', [[1, 'a'], { k: [2] }], async () => {
    const result = await caller.call(`${PREFIX}.both`, [1, 'a'], { k: [2] });
    return [plain(result.args), plain(result.kwargs)];
  });
  await callee.register(`${PREFIX}.fails`, () => {
    throw new autobahn.Error('com.example.error.custom', ['why', 7], { code: 9 });
  });
  await checks.equal('call: error', ['com.example.error.custom', ['why', 7], { code: 9 }], async () => {
    try {
      return await caller.call(`${PREFIX}.fails`);
    } catch (error) {
      return [error.error, plain(error.args), plain(error.kwargs)];
    }
  });
  await checks.equal('call: nobody there', 'wamp.error.no_such_procedure', async () => {
    try {
      return await caller.call(`${PREFIX}.nobody`);
    } catch (error) {
      return error.error;
    }
  });
  await checks.equal('call: undefined options are ignored', 1, () =>
    caller.call(`${PREFIX}.echo`, [1], undefined, { timeout: undefined, disclose_me: undefined }));
  await checks.equal('call: 500 at once, each its own answer', Array.from({ length: 500 }, (_, i) => i), () =>
    Promise.all(Array.from({ length: 500 }, (_, i) => caller.call(`${PREFIX}.echo`, [i]))));
  await callee.register(`${PREFIX}.hangs`, () => new Promise(() => {}));
  await checks.equal('call: timeout', 'wamp.error.timeout', async () => {
    try {
      return await caller.call(`${PREFIX}.hangs`, [], {}, { timeout: 50 });
    } catch (error) {
      return error.error;
    }
  });
}

async function advancedCalls(caller, callee) {
  await callee.register(`${PREFIX}.counts`, (args, kwargs, details) => {
    for (let i = 0; i < args[0]; i += 1) details.progress([i]);
    return 'end';
  });
  await checks.equal('progressive results', [[0, 1, 2, 3, 4], 'end'], async () => {
    const got = [];
    const end = await new Promise((resolve, reject) => {
      caller.call(`${PREFIX}.counts`, [5], {}, { receive_progress: true })
        .then(resolve, reject, (chunk) => got.push(plain(chunk)));
    });
    return [got, end];
  });
  await checks.equal('progressive results of a Python callee', [[0, 1, 2], 3], async () => {
    const got = [];
    const end = await new Promise((resolve, reject) => {
      caller.call('com.example.python.counts', [3], {}, { receive_progress: true })
        .then(resolve, reject, (chunk) => got.push(plain(chunk)));
    });
    return [got, end];
  });
  await callee.register(`${PREFIX}.who`, (args, kwargs, details) => [details.caller, details.caller_authrole]);
  await checks.equal('caller identification', [caller.id, 'anonymous'], async () =>
    plain(await caller.call(`${PREFIX}.who`, [], {}, { disclose_me: true })));
  await callee.register(`${PREFIX}.prefix`, (args, kwargs, details) => details.procedure, { match: 'prefix' });
  await checks.equal('prefix registration', `${PREFIX}.prefix.a.b`, () => caller.call(`${PREFIX}.prefix.a.b`));
  await callee.register(`${PREFIX}..wild`, (args, kwargs, details) => details.procedure, { match: 'wildcard' });
  await checks.equal('wildcard registration', `${PREFIX}.any.wild`, () => caller.call(`${PREFIX}.any.wild`));
  await callee.register(`${PREFIX}.shared`, () => 'callee', { invoke: 'roundrobin' });
  const other = await caller.register(`${PREFIX}.shared`, () => 'caller', { invoke: 'roundrobin' });
  await checks.equal('shared registration, roundrobin', ['callee', 'callee', 'caller', 'caller'], async () => {
    const got = [];
    for (let i = 0; i < 4; i += 1) got.push(await caller.call(`${PREFIX}.shared`));
    return got.sort();
  });
  await checks.equal('unregister', ['callee', 'callee'], async () => {
    await other.unregister();
    return [await caller.call(`${PREFIX}.shared`), await caller.call(`${PREFIX}.shared`)];
  });
  await checks.equal('procedure already exists', 'wamp.error.procedure_already_exists', async () => {
    try {
      return await caller.register(`${PREFIX}.echo`, () => 0);
    } catch (error) {
      return error.error;
    }
  });
}

async function events(publisher, subscriber) {
  const topic = `${PREFIX}.topic`;
  let got = later();
  await subscriber.subscribe(topic, (args, kwargs, details) => got.resolve([plain(args), plain(kwargs), details]));
  for (const [name, value] of Object.entries(VALUES)) {
    await checks.equal(`event: ${name}`, [value], async () => {
      got = later();
      await publisher.publish(topic, [value], {}, { acknowledge: true });
      return (await got.done)[0];
    });
  }
  await checks.equal('event: kwargs', { a: 1 }, async () => {
    got = later();
    publisher.publish(topic, [], { a: 1 });
    return (await got.done)[1];
  });
  await checks.equal('event: publisher identification', publisher.id, async () => {
    got = later();
    publisher.publish(topic, [1], {}, { disclose_me: true });
    return (await got.done)[2].publisher;
  });
  await checks.equal('event: exclude, eligible, exclude_me', ['to all', 'not excluded', 'to me, too'], async () => {
    const seen = [];
    const end = later();
    const subscription = await publisher.subscribe(`${PREFIX}.lists`, (args) => {
      seen.push(args[0]);
      if (args[0] === 'to me, too') end.resolve(seen);
    });
    await subscriber.publish(`${PREFIX}.lists`, ['to all'], {}, { acknowledge: true });
    await subscriber.publish(`${PREFIX}.lists`, ['excluded'], {}, { acknowledge: true, exclude: [publisher.id] });
    await subscriber.publish(`${PREFIX}.lists`, ['not eligible'], {}, { acknowledge: true, eligible: [subscriber.id] });
    await subscriber.publish(`${PREFIX}.lists`, ['no such role'], {}, { acknowledge: true, eligible_authrole: ['x'] });
    await subscriber.publish(`${PREFIX}.lists`, ['not excluded'], {}, { acknowledge: true, exclude: [subscriber.id] });
    await publisher.publish(`${PREFIX}.lists`, ['not to me'], {}, { acknowledge: true });
    await publisher.publish(`${PREFIX}.lists`, ['to me, too'], {}, { acknowledge: true, exclude_me: false });
    await end.done;
    await subscription.unsubscribe();
    return seen;
  });
  for (const [match, pattern] of [['prefix', `${PREFIX}.pat`], ['wildcard', `${PREFIX}..end`]]) {
    await checks.equal(`event: ${match}`, `${PREFIX}.pattern.end`, async () => {
      const found = later();
      const options = { match };
      const subscription = await subscriber.subscribe(pattern, (a, k, details) => found.resolve(details.topic), options);
      publisher.publish(`${PREFIX}.pattern.end`, []);
      const name = await found.done;
      await subscription.unsubscribe();
      return name;
    });
  }
  await checks.equal('event: retained', 'kept', async () => {
    await publisher.publish(`${PREFIX}.kept`, ['kept'], {}, { acknowledge: true, retain: true });
    const found = later();
    await subscriber.subscribe(`${PREFIX}.kept`, (args) => found.resolve(args[0]), { get_retained: true });
    return found.done;
  });
  await checks.equal('event: 1000 in order', true, async () => {
    const seen = [];
    const end = later();
    await subscriber.subscribe(`${PREFIX}.many`, (args) => seen.push(args[0]) === 1000 && end.resolve());
    for (let i = 0; i < 1000; i += 1) publisher.publish(`${PREFIX}.many`, [i]);
    await end.done;
    return seen.every((value, i) => value === i);
  });
}

async function python(session) {
  for (const [name, value] of Object.entries(VALUES)) {
    await checks.equal(`Python callee: ${name}`, value, async () =>
      plain(await session.call('com.example.python.echo', [value])));
  }
  await checks.equal('Python callee: error', ['com.example.python.error', ['bad', 1]], async () => {
    try {
      return await session.call('com.example.python.fails');
    } catch (error) {
      return [error.error, plain(error.args)];
    }
  });
}

async function authentication() {
  const key = autobahn.nacl.sign.keyPair.fromSeed(Uint8Array.from({ length: 32 }, (_, i) => i));
  const cra = (session, method, extra) => autobahn.auth_cra.sign(
    extra.salt ? autobahn.auth_cra.derive_key('secret', extra.salt, extra.iterations, extra.keylen) : 'secret',
    extra.challenge,
  );
  const methods = {
    ticket: { authid: 'ticket-user', onchallenge: () => 'secret' },
    wampcra: { authid: 'cra-user', onchallenge: cra },
    'wampcra, salted': { authid: 'salted-user', onchallenge: cra },
    cryptosign: {
      authid: 'key-user',
      authextra: { pubkey: Buffer.from(key.publicKey).toString('hex') },
      onchallenge: (session, method, extra) => autobahn.auth_cryptosign.sign_challenge(key, extra),
    },
  };
  for (const [name, options] of Object.entries(methods)) {
    const method = name.split(',')[0];
    await checks.equal(`authentication: ${name}`, [options.authid, 'user', method], async () => {
      const { connection, details } = await join('secure', { authmethods: [method], ...options });
      connection.close();
      return [details.authid, details.authrole, details.authmethod];
    });
  }
  await checks.equal('authentication: wrong ticket', true, async () => {
    try {
      await join('secure', { authmethods: ['ticket'], authid: 'ticket-user', onchallenge: () => 'wrong' });
      return false;
    } catch (error) {
      return String(error).includes('wamp.error');
    }
  });
}

async function main() {
  const first = await join('realm1');
  const second = await join('realm1');
  await calls(first.session, second.session);
  await advancedCalls(first.session, second.session);
  await events(first.session, second.session);
  await python(first.session);
  await authentication();
  first.connection.close();
  second.connection.close();
  checks.print();
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
