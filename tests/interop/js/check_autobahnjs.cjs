// AutobahnJS against a WAMP router: node check_autobahnjs.cjs URL SERIALIZER
const autobahn = require('autobahn');
const { Checks, later } = require('./checks.cjs');
const matrix = require('./matrix.cjs');

const [url, serializer] = process.argv.slice(2);
const SERIALIZERS = {
  json: autobahn.serializer.JSONSerializer,
  msgpack: autobahn.serializer.MsgpackSerializer,
  cbor: autobahn.serializer.CBORSerializer,
};
const PREFIX = 'com.example.js';
const hex = (octets) => Array.from(octets, (octet) => octet.toString(16).padStart(2, '0')).join('');
const checks = new Checks(`AutobahnJS ${autobahn.version}`);
const LACKS = [
  // A call that is canceled without waiting is forgotten at once: its ERROR, which the specification asks for, is a
  // protocol violation to this client.
  'cancel skip', 'cancel killnowait', 'cancel undefined', 'INTERRUPT',
  ...(serializer === 'json' ? ['binary'] : []),
  ...(serializer === 'msgpack' ? ['undefined values'] : []), // its encoder refuses them
];

function join(realm, options = {}) {
  const joined = later();
  const connection = new autobahn.Connection({
    url, realm, serializers: [new SERIALIZERS[serializer]()], max_retries: 0, retry_if_unreachable: false, ...options,
  });
  connection.onopen = (session, details) => joined.resolve({ connection, session, details });
  connection.onclose = (reason, details) => {
    if (connection.left) connection.left();
    joined.reject(new Error(`${reason} ${JSON.stringify(details)}`));
    return true;
  };
  connection.open();
  return joined.done;
}

const failure = (uri, args, kwargs) => new autobahn.Error(uri, args, kwargs);

// A session as matrix.cjs wants it. This client gives a single result as it is, and none as null.
function adapt({ connection, session, details }) {
  const both = (got) => (got instanceof autobahn.Result ? [got.args, got.kwargs] : [got === null ? [] : [got], {}]);
  const failed = (error) => {
    throw error instanceof autobahn.Error ? { uri: error.error, args: error.args, kwargs: error.kwargs } : error;
  };
  const result = ([args, kwargs]) => new autobahn.Result(args, kwargs);
  const later = (fn) => new Promise((resolve, reject) => { fn().then(resolve, reject); });
  return {
    id: session.id,
    authid: details.authid,
    call: (uri, args = [], kwargs = {}, options = {}, onProgress = null) => new Promise((resolve, reject) => {
      const asked = onProgress ? { ...options, receive_progress: true } : options;
      session.call(uri, args, kwargs, asked).then(resolve, reject, onProgress && ((chunk) => onProgress(...both(chunk))));
    }).then(both, failed),
    start(uri, options) {
      const call = session.call(uri, [], {}, options);
      return { answer: later(() => call).then(both, failed), cancel: (mode) => call.cancel(mode ? { mode } : {}) };
    },
    register: (uri, endpoint, options = {}) => later(() => session.register(uri, (args, kwargs, { progress, ...rest }) => {
      const got = endpoint(args, kwargs, rest, progress);
      return got instanceof Promise ? got.then(result) : result(got);
    }, options)).then((made) => ({ id: made.id, drop: () => later(() => made.unregister()) }), failed),
    subscribe: (topic, handler, options = {}) => later(() => session.subscribe(topic, handler, options))
      .then((made) => ({ id: made.id, drop: () => later(() => made.unsubscribe()) }), failed),
    publish: (topic, args = [], kwargs = {}, options = {}) => {
      const published = session.publish(topic, args, kwargs, options);
      return published ? later(() => published).then(({ id }) => id, failed) : undefined;
    },
    leave: () => new Promise((resolve) => { connection.left = resolve; connection.close(); }),
  };
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
      authextra: { pubkey: hex(key.publicKey) },
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
  const denied = async (name, options, realm = 'secure') => checks.equal(`authentication: ${name}`, true, () =>
    join(realm, options).then(() => false, (error) => /wamp\.error\.\w+/.test(error)));
  for (const [name, options] of Object.entries(methods)) {
    const { onchallenge, authid, authextra } = options;
    const authmethods = [name.split(',')[0]];
    const wrong = name === 'ticket' ? () => 'wrong' : (...all) => onchallenge(...all).replace(/^../, (two) => (two === '00' ? '11' : '00'));
    await denied(`${name}, wrong`, { authmethods, authid, authextra, onchallenge: wrong });
    await denied(`${name}, unknown name`, { authmethods, authid: 'nobody', authextra, onchallenge });
  }
  await denied('nobody is anonymous there', {});
  await denied('unknown method', { authmethods: ['x_own'], authid: 'ticket-user', onchallenge: () => '' });
  await denied('unknown realm', {}, 'nowhere');
}

matrix({ checks, join: async () => adapt(await join('realm1')), lacks: LACKS, failure, prefix: `${PREFIX}.${serializer}` })
  .then(authentication)
  .then(() => checks.print())
  .then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
  });
