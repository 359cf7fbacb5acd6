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
const { Checks, later, plain } = require('./checks.cjs');
const matrix = require('./matrix.cjs');

const [url, serializer] = process.argv.slice(2);
const SERIALIZERS = { json: JsonSerializer, msgpack: MsgpackSerializer, cbor: CborSerializer };
const PREFIX = 'com.example.wampy';
const checks = new Checks(`wampy.js ${require('./node_modules/wampy/package.json').version}`);
const LACKS = [
  'progressive results of a callee', // it sends them, but has not announced them: a router refuses that
  'INTERRUPT', // its callees do not answer it
  'retain', 'exclude_me: false', 'empty list', 'concurrency', // not sent
  ...(serializer === 'json' ? ['binary'] : []),
];
const failure = (error, argsList, argsDict) => ({ error, details: {}, argsList, argsDict });

// A session as matrix.cjs wants it.
function adapt({ session, welcome }) {
  const payload = (args, kwargs) => ({ argsList: args, argsDict: kwargs });
  const both = ({ argsList, argsDict }) => [argsList || [], argsDict || {}];
  const failed = (error) => {
    throw error && error.errorUri ? { uri: error.errorUri, args: error.argsList || [], kwargs: error.argsDict || {} } : error;
  };
  return {
    id: session.getSessionId(),
    authid: welcome.authid,
    call: (uri, args = [], kwargs = {}, options = {}, onProgress = null) => {
      const asked = onProgress ? { ...options, progress_callback: (chunk) => onProgress(...both(chunk)) } : options;
      return session.call(uri, payload(args, kwargs), asked).then(both, failed);
    },
    start(uri, options) {
      const answer = session.call(uri, null, options).then(both, failed);
      const { reqId } = session.getOpStatus();
      return { answer, cancel: (mode) => session.cancel(reqId, mode ? { mode } : undefined) };
    },
    register: (uri, endpoint, options = {}) => session.register(uri, async ({ argsList, argsDict, details }) =>
      payload(...await endpoint(argsList || [], argsDict || {}, details)), options)
      .then(({ registrationId }) => ({ id: registrationId, drop: async () => uri.includes('..') || session.unregister(uri) }), failed),
    // It cannot unsubscribe what was subscribed with options, nor unregister a wildcard.
    subscribe: (topic, handler, options) => session.subscribe(topic, (event) =>
      handler(...both(event), event.details), options)
      .then(({ subscriptionId: id }) => ({ id, drop: async () => options || session.unsubscribe(id) }), failed),
    publish: (topic, args = [], kwargs = {}, options = {}) => session.publish(topic, payload(args, kwargs), options)
      .then(({ publicationId }) => publicationId, failed),
    leave: () => session.disconnect(),
  };
}

async function join(realm, options = {}) {
  const payloadSerializers = { [serializer]: new SERIALIZERS[serializer]() };
  const session = new Wampy(url, {
    payloadSerializers, realm, ws: WebSocket, serializer: new SERIALIZERS[serializer](), autoReconnect: false, maxRetries: 1, ...options,
  });
  const welcome = await session.connect();
  return { session, welcome };
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
  const denied = async (name, options, realm = 'secure') => checks.equal(`authentication: ${name}`, true, () =>
    join(realm, { authMode: 'auto', ...options }).then(() => false, () => true));
  const wrong = {
    ticket: () => 'wrong', wampcra: cra.sign('wrong'), 'wampcra, salted': cra.sign('wrong'),
    cryptosign: cryptosign.sign('11'.repeat(32)),
  };
  for (const [name, options] of Object.entries(methods)) {
    const method = name.split(',')[0];
    await denied(`${name}, wrong`, { authmethods: [method], ...options, authPlugins: { [method]: wrong[name] } });
    await denied(`${name}, unknown name`, { authmethods: [method], ...options, authid: 'nobody' });
  }
  await denied('nobody is anonymous there', {});
  await denied('unknown realm', {}, 'nowhere');
}

const first = await join('realm1');
const second = await join('realm1');
await passthru(first.session, second.session);
await first.session.disconnect();
await second.session.disconnect();
await matrix({ checks, join: async () => adapt(await join('realm1')), lacks: LACKS, failure, prefix: `${PREFIX}.${serializer}` });
await authentication();
checks.print();
process.exit(0);
