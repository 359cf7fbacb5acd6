// wampy.js against a WAMP router: node check_wampy.mjs URL SERIALIZER
import { createRequire } from 'module';
import { Wampy } from 'wampy';
import { CborSerializer } from 'wampy/CborSerializer.js';
import * as cryptosign from 'wampy/cryptosign.js';
import { JsonSerializer } from 'wampy/JsonSerializer.js';
import { MsgpackSerializer } from 'wampy/MsgpackSerializer.js';
import * as cra from 'wampy/wampcra.js';
import WebSocket from 'ws';

const require = createRequire(import.meta.url);
const { BYTES, VALUES, Checks, later, plain } = require('./checks.cjs');

const [url, serializer] = process.argv.slice(2);
const SERIALIZERS = { json: JsonSerializer, msgpack: MsgpackSerializer, cbor: CborSerializer };
const PREFIX = 'com.example.wampy';
const checks = new Checks('wampy 8.0.2');

async function join(realm, options = {}) {
  const payloadSerializers = { [serializer]: new SERIALIZERS[serializer]() };
  const session = new Wampy(url, {
    payloadSerializers, realm, ws: WebSocket, serializer: new SERIALIZERS[serializer](), autoReconnect: false, maxRetries: 1, ...options,
  });
  const welcome = await session.connect();
  return { session, welcome };
}

async function calls(caller, callee) {
  await callee.register(`${PREFIX}.echo`, ({ argsList }) => ({ argsList }));
  for (const [name, value] of Object.entries(VALUES)) {
    await checks.equal(`call: ${name}`, value, async () =>
      plain((await caller.call(`${PREFIX}.echo`, { argsList: [value] })).argsList[0]));
  }
  if (serializer !== 'json') {
    await checks.equal('call: bytes', Array.from(BYTES), async () =>
      plain((await caller.call(`${PREFIX}.echo`, { argsList: [BYTES] })).argsList[0]));
  }
  await callee.register(`${PREFIX}.both`, ({ argsList, argsDict }) => ({ argsList, argsDict }));
  await checks.equal('call: args and kwargs', [[1, 'a'], { k: [2] }], async () => {
    const result = await caller.call(`${PREFIX}.both`, { argsList: [1, 'a'], argsDict: { k: [2] } });
    return [plain(result.argsList), plain(result.argsDict)];
  });
  await callee.register(`${PREFIX}.fails`, () => {
    // eslint-disable-next-line no-throw-literal
    throw { error: 'com.example.error.custom', details: {}, argsList: ['why', 7], argsDict: { code: 9 } };
  });
  await checks.equal('call: error', ['com.example.error.custom', ['why', 7], { code: 9 }], async () => {
    try {
      return await caller.call(`${PREFIX}.fails`);
    } catch (error) {
      return [error.errorUri, plain(error.argsList), plain(error.argsDict)];
    }
  });
  await checks.equal('call: nobody there', 'wamp.error.no_such_procedure', async () => {
    try {
      return await caller.call(`${PREFIX}.nobody`);
    } catch (error) {
      return error.errorUri;
    }
  });
  await callee.register(`${PREFIX}.hangs`, () => new Promise(() => {}));
  await checks.equal('call: timeout', 'wamp.error.timeout', async () => {
    try {
      return await caller.call(`${PREFIX}.hangs`, null, { timeout: 50 });
    } catch (error) {
      return error.errorUri;
    }
  });
  for (const mode of ['skip', 'killnowait']) { // this client's callees do not answer an INTERRUPT, so not 'kill'
    await checks.equal(`cancel: ${mode}`, 'wamp.error.canceled', async () => {
      const answer = caller.call(`${PREFIX}.hangs`);
      caller.cancel(caller.getOpStatus().reqId, { mode });
      try {
        return await answer;
      } catch (error) {
        return error.errorUri;
      }
    });
  }
}

async function advancedCalls(caller, callee) {
  // As a callee, and with progressive invocations, this client does what it has not announced: a router refuses that.
  await checks.equal('progressive results of a Python callee', [[[0], [1], [2]], [3]], async () => {
    const got = [];
    const options = { progress_callback: (chunk) => got.push(plain(chunk.argsList)) };
    const end = await caller.call('com.example.python.counts', { argsList: [3] }, options);
    return [got.slice(0, 3), plain(end.argsList)];
  });
  await callee.register(`${PREFIX}.who`, ({ details }) => ({ argsList: [details.caller] }));
  await checks.equal('caller identification', caller.getSessionId(), async () =>
    plain((await caller.call(`${PREFIX}.who`, null, { disclose_me: true })).argsList[0]));
  await callee.register(`${PREFIX}.prefix`, ({ details }) => ({ argsList: [details.procedure] }), { match: 'prefix' });
  await checks.equal('prefix registration', `${PREFIX}.prefix.a.b`, async () =>
    (await caller.call(`${PREFIX}.prefix.a.b`)).argsList[0]);
  await callee.register(`${PREFIX}..wild`, ({ details }) => ({ argsList: [details.procedure] }), { match: 'wildcard' });
  await checks.equal('wildcard registration', `${PREFIX}.any.wild`, async () =>
    (await caller.call(`${PREFIX}.any.wild`)).argsList[0]);
  await callee.register(`${PREFIX}.shared`, () => ({ argsList: ['callee'] }), { invoke: 'roundrobin' });
  await caller.register(`${PREFIX}.shared`, () => ({ argsList: ['caller'] }), { invoke: 'roundrobin' });
  await checks.equal('shared registration, roundrobin', ['callee', 'callee', 'caller', 'caller'], async () => {
    const got = [];
    for (let i = 0; i < 4; i += 1) got.push((await caller.call(`${PREFIX}.shared`)).argsList[0]);
    return got.sort();
  });
  await checks.equal('unregister', ['callee', 'callee'], async () => {
    await caller.unregister(`${PREFIX}.shared`);
    return [(await caller.call(`${PREFIX}.shared`)).argsList[0], (await caller.call(`${PREFIX}.shared`)).argsList[0]];
  });
}

async function events(publisher, subscriber) {
  const topic = `${PREFIX}.topic`;
  let got = later();
  await subscriber.subscribe(topic, (event) => got.resolve(event));
  for (const [name, value] of Object.entries(VALUES)) {
    await checks.equal(`event: ${name}`, [value], async () => {
      got = later();
      await publisher.publish(topic, { argsList: [value] });
      return plain((await got.done).argsList);
    });
  }
  await checks.equal('event: kwargs', { a: 1 }, async () => {
    got = later();
    await publisher.publish(topic, { argsDict: { a: 1 } });
    return plain((await got.done).argsDict);
  });
  await checks.equal('event: publisher identification', publisher.getSessionId(), async () => {
    got = later();
    await publisher.publish(topic, { argsList: [1] }, { disclose_me: true });
    return plain((await got.done).details.publisher);
  });
  await checks.equal('event: exclude and eligible', ['to all', 'not excluded', 'end'], async () => {
    const seen = [];
    const end = later();
    const name = `${PREFIX}.lists`;
    await publisher.subscribe(name, ({ argsList }) => seen.push(argsList[0]) && argsList[0] === 'end' && end.resolve());
    const publish = (session, text, options) => session.publish(name, { argsList: [text] }, options);
    await publish(subscriber, 'to all');
    await publish(subscriber, 'excluded', { exclude: [publisher.getSessionId()] });
    await publish(subscriber, 'not eligible', { eligible: [subscriber.getSessionId()] });
    await publish(subscriber, 'no such role', { eligible_authrole: 'x' });
    await publish(subscriber, 'excluded role', { exclude_authrole: ['anonymous'] });
    await publish(subscriber, 'not excluded', { exclude: [subscriber.getSessionId()] });
    await publish(publisher, 'not to me');
    await publish(subscriber, 'end');
    await end.done;
    return seen;
  });
  for (const [match, pattern] of [['prefix', `${PREFIX}.pat`], ['wildcard', `${PREFIX}..end`]]) {
    await checks.equal(`event: ${match}`, `${PREFIX}.pattern.end`, async () => {
      const found = later(); // never unsubscribed: this client cannot unsubscribe a pattern
      await subscriber.subscribe(pattern, ({ details }) => found.resolve(details.topic), { match });
      await publisher.publish(`${PREFIX}.pattern.end`, { argsList: [1] });
      return found.done;
    });
  }
  await checks.equal('event: retained, published by Python', 'kept', async () => { // this client cannot ask to retain
    const found = later();
    await subscriber.subscribe('com.example.python.kept', ({ argsList }) => found.resolve(argsList[0]), { get_retained: true });
    return found.done;
  });
}

async function passthru(caller, callee) {
  const ppt = { ppt_scheme: 'x_custom', ppt_serializer: serializer };
  await callee.register(`${PREFIX}.passthru`, ({ argsList }) => ({ argsList, options: ppt }));
  await checks.equal('payload passthru: call', [1, 'two'], async () =>
    plain((await caller.call(`${PREFIX}.passthru`, { argsList: [1, 'two'] }, ppt)).argsList));
  await checks.equal('payload passthru: event', [[3], { k: 1 }], async () => {
    const got = later();
    await callee.subscribe(`${PREFIX}.passthru`, (event) => got.resolve(event));
    await caller.publish(`${PREFIX}.passthru`, { argsList: [3], argsDict: { k: 1 } }, ppt);
    const event = await got.done;
    return [plain(event.argsList), plain(event.argsDict)];
  });
}

async function authentication() {
  const seed = Buffer.from(Uint8Array.from({ length: 32 }, (_, i) => i)).toString('hex');
  const pubkey = '03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8';
  const methods = {
    ticket: { authid: 'ticket-user', authPlugins: { ticket: () => 'secret' } },
    wampcra: { authid: 'cra-user', authPlugins: { wampcra: cra.sign('secret') } },
    'wampcra, salted': { authid: 'salted-user', authPlugins: { wampcra: cra.sign('secret') } },
    cryptosign: { authid: 'key-user', authextra: { pubkey }, authPlugins: { cryptosign: cryptosign.sign(seed) } },
  };
  for (const [name, options] of Object.entries(methods)) {
    const method = name.split(',')[0];
    await checks.equal(`authentication: ${name}`, [options.authid, 'user', method], async () => {
      const { session, welcome } = await join('secure', { authmethods: [method], authMode: 'auto', ...options });
      await session.disconnect();
      return [welcome.authid, welcome.authrole, welcome.authmethod];
    });
  }
}

const first = await join('realm1');
const second = await join('realm1');
await calls(first.session, second.session);
await advancedCalls(first.session, second.session);
await events(first.session, second.session);
await passthru(first.session, second.session);
await authentication();
await first.session.disconnect();
await second.session.disconnect();
checks.print();
process.exit(0);
