// What a router tells of itself, and what it does when a session ends: a part of matrix.cjs.
const ACK = { acknowledge: true };

async function meta({ one, two, equal, uri, join, attempt, later }) {
  const ask = async (name, ...args) => (await one.call(`wamp.${name}`, args))[0][0] ?? null;
  await equal('meta: session count', true, async () => (await ask('session.count')) >= 2);
  await equal('meta: session count of a role', true, async () => (await ask('session.count', ['anonymous'])) >= 2);
  await equal('meta: session count of no role', 0, () => ask('session.count', ['nobody']));
  await equal('meta: session list', true, async () => (await ask('session.list')).includes(two.id));
  await equal('meta: session list of a role', true, async () => (await ask('session.list', ['anonymous'])).includes(two.id));
  await equal('meta: session get', [two.id, 'anonymous', two.authid], async () => {
    const got = await ask('session.get', two.id);
    return [got.session, got.authrole, got.authid];
  });
  for (const [name, error] of [
    ['session.get', 'wamp.error.no_such_session'], ['registration.get', 'wamp.error.no_such_registration'],
    ['subscription.get', 'wamp.error.no_such_subscription'],
    ['registration.list_callees', 'wamp.error.no_such_registration'],
    ['registration.count_callees', 'wamp.error.no_such_registration'],
    ['subscription.list_subscribers', 'wamp.error.no_such_subscription'],
    ['subscription.count_subscribers', 'wamp.error.no_such_subscription'],
    ['session.kill', 'wamp.error.no_such_session'],
  ]) await equal(`meta: ${name} of an unknown id`, error, () => attempt(ask(name, 4711)));
  const seen = {};
  const waiting = {};
  const next = (name) => { const got = later(); waiting[name] = got; return got.done; };
  for (const name of [
    'session.on_join', 'session.on_leave', 'registration.on_create', 'registration.on_register',
    'registration.on_unregister', 'registration.on_delete', 'subscription.on_create', 'subscription.on_subscribe',
    'subscription.on_unsubscribe', 'subscription.on_delete',
  ]) {
    await one.subscribe(`wamp.${name}`, (args) => { seen[name] = args; if (waiting[name]) waiting[name].resolve(args); });
  }
  const joined = next('session.on_join');
  const left = next('session.on_leave');
  const third = await join();
  await equal('meta: on_join', third.id, async () => (await joined)[0].session);
  await third.leave();
  await equal('meta: on_leave', third.id, async () => (await left)[0]);
  const [made, registered, unregistered, deleted] = ['create', 'register', 'unregister', 'delete'].map((n) => next(`registration.on_${n}`));
  const procedure = uri('procedure');
  const registration = await two.register(procedure, () => [[], {}]);
  await equal('meta: registration on_create', [two.id, procedure], async () => { const got = await made; return [got[0], got[1].uri]; });
  const id = await ask('registration.lookup', procedure);
  await equal('meta: registration lookup', true, async () => id > 0 && (registration.id === undefined || registration.id === id));
  await equal('meta: registration on_register', [two.id, id], () => registered);
  await equal('meta: registration match', id, () => ask('registration.match', procedure));
  await equal('meta: registration lookup of nothing', null, () => ask('registration.lookup', uri('nothing')));
  await equal('meta: registration match of nothing', null, () => ask('registration.match', uri('nothing')));
  await equal('meta: registration get', [id, procedure, 'exact', 'single'], async () => {
    const got = await ask('registration.get', id);
    return [got.id, got.uri, got.match, got.invoke];
  });
  await equal('meta: registration list', true, async () => (await ask('registration.list')).exact.includes(id));
  await equal('meta: registration callees', [two.id], () => ask('registration.list_callees', id));
  await equal('meta: registration callee count', 1, () => ask('registration.count_callees', id));
  await registration.drop();
  await equal('meta: registration on_unregister', [two.id, id], () => unregistered);
  await equal('meta: registration on_delete', [two.id, id], () => deleted);
  const [created, subscribed, unsubscribed, gone] = ['create', 'subscribe', 'unsubscribe', 'delete'].map((n) => next(`subscription.on_${n}`));
  const topic = uri('topic');
  const subscription = await two.subscribe(topic, () => {});
  await equal('meta: subscription on_create', [two.id, topic], async () => { const got = await created; return [got[0], got[1].uri]; });
  await equal('meta: subscription on_subscribe', [two.id, subscription.id], () => subscribed);
  await equal('meta: subscription lookup', subscription.id, () => ask('subscription.lookup', topic));
  await equal('meta: subscription lookup of nothing', null, () => ask('subscription.lookup', uri('nothing')));
  await equal('meta: subscription match', [subscription.id], () => ask('subscription.match', topic));
  await equal('meta: subscription get', [subscription.id, topic, 'exact'], async () => {
    const got = await ask('subscription.get', subscription.id);
    return [got.id, got.uri, got.match];
  });
  await equal('meta: subscription list', true, async () => (await ask('subscription.list')).exact.includes(subscription.id));
  await equal('meta: subscribers', [two.id], () => ask('subscription.list_subscribers', subscription.id));
  await equal('meta: subscriber count', 1, () => ask('subscription.count_subscribers', subscription.id));
  await subscription.drop();
  await equal('meta: subscription on_unsubscribe', [two.id, subscription.id], () => unsubscribed);
  await equal('meta: subscription on_delete', [two.id, subscription.id], () => gone);
}

async function ends({ one, equal, uri, join, later }) {
  const left = async (kill) => {
    const third = await join();
    const got = later();
    const subscription = await one.subscribe('wamp.session.on_leave', (args) => args[0] === third.id && got.resolve(true));
    await kill(third);
    await got.done;
    await subscription.drop();
    const [[ids]] = await one.call('wamp.session.list');
    return ids.includes(third.id);
  };
  await equal('kill: a session', false, () => left((third) => one.call('wamp.session.kill', [third.id])));
  await equal('kill: with a reason', false, () => left((third) =>
    one.call('wamp.session.kill', [third.id], { reason: 'com.example.enough', message: 'enough' })));
  await equal('kill: by authid', false, () => left((third) => one.call('wamp.session.kill_by_authid', [third.authid])));
  for (const scope of ['destroyed', 'detached', undefined]) {
    await equal(`testament: ${scope || 'no scope'}`, ['gone', { k: 1 }], async () => {
      const got = later();
      const topic = uri(`topic_${scope}`);
      await one.subscribe(topic, (args, kwargs) => got.resolve([args[0], kwargs]));
      const third = await join();
      await third.call('wamp.session.add_testament', [topic, ['gone'], { k: 1 }], scope ? { scope } : {});
      await third.leave();
      return got.done;
    });
  }
  await equal('testament: flushed', [], async () => {
    const seen = [];
    const end = later();
    await one.subscribe(uri('flushed'), (args) => (args[0] === 'end' ? end.resolve() : seen.push(args[0])));
    const third = await join();
    await third.call('wamp.session.add_testament', [uri('flushed'), ['gone'], {}]);
    await third.call('wamp.session.flush_testaments');
    await third.leave();
    const fourth = await join();
    await fourth.publish(uri('flushed'), ['end'], {}, ACK);
    await end.done;
    await fourth.leave();
    return seen;
  });
}

module.exports = [meta, ends];
