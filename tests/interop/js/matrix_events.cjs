// Publications and subscriptions: a part of matrix.cjs.
const ACK = { acknowledge: true };

// What a subscription hears until something with the text 'end' comes.
async function hear(session, topic, later, options) {
  const seen = [];
  const end = later();
  const subscription = await session.subscribe(topic, (args, kwargs, details) => {
    if (args[0] === 'end') end.resolve(seen);
    else seen.push([args[0], details]);
  }, options);
  return { seen, end: end.done, ...subscription };
}

async function publications({ one, two, equal, uri, lacks, later, join }) {
  const lists = {
    'nothing said': [{}, true],
    'exclude me': [{ exclude: ['one'] }, true],
    'exclude them': [{ exclude: ['two'] }, false],
    'exclude both': [{ exclude: ['one', 'two'] }, false],
    'eligible me': [{ eligible: ['one'] }, false],
    'eligible them': [{ eligible: ['two'] }, true],
    'eligible both': [{ eligible: ['one', 'two'] }, true],
    'eligible, yet excluded': [{ eligible: ['two'], exclude: ['two'] }, false],
    'exclude their id': [{ exclude_authid: ['id two'] }, false],
    'exclude another id': [{ exclude_authid: ['nobody'] }, true],
    'eligible their id': [{ eligible_authid: ['id two'] }, true],
    'eligible another id': [{ eligible_authid: ['nobody'] }, false],
    'exclude their role': [{ exclude_authrole: ['anonymous'] }, false],
    'exclude another role': [{ exclude_authrole: ['nobody'] }, true],
    'eligible their role': [{ eligible_authrole: ['anonymous'] }, true],
    'eligible another role': [{ eligible_authrole: ['nobody'] }, false],
    'eligible role, excluded session': [{ eligible_authrole: ['anonymous'], exclude: ['two'] }, false],
    'exclude_me': [{ exclude_me: true }, true],
    'disclose_me': [{ disclose_me: true }, true],
    'an option of its own': [{ x_own: 1 }, true],
  };
  if (!lacks.has('empty list')) lists['eligible nobody'] = [{ eligible: [] }, false];
  const named = { one: one.id, two: two.id, 'id two': two.authid };
  for (const [name, [lists_, arrives]] of Object.entries(lists)) {
    await equal(`publish: ${name}`, arrives, async () => {
      const topic = uri(`list_${name}`.replace(/\W/g, '_'));
      const options = Object.fromEntries(Object.entries(lists_).map(([key, value]) =>
        [key, Array.isArray(value) ? value.map((item) => named[item] || item) : value]));
      const heard = await hear(two, topic, later);
      await one.publish(topic, [1], {}, { ...ACK, ...options });
      await one.publish(topic, ['end'], {}, ACK);
      await heard.end;
      await heard.drop();
      return heard.seen.length === 1;
    });
  }
  for (const [name, options, arrives] of [['not to oneself', {}, 0], ['to oneself', { exclude_me: false }, 1]]) {
    if (lacks.has('exclude_me: false')) break;
    await equal(`publish: ${name}`, arrives, async () => {
      const heard = await hear(one, uri(name), later);
      await one.publish(uri(name), [1], {}, { ...ACK, ...options });
      await one.publish(uri(name), ['end'], {}, { ...ACK, exclude_me: false });
      await heard.end;
      return heard.seen.length;
    });
  }
  for (const option of ['acknowledge', 'exclude_me', 'exclude', 'eligible', 'disclose_me', 'retain', 'x_own']) {
    await equal(`undefined: ${option} of a publication`, 1, async () => {
      const topic = uri(`undefined_${option}`);
      const heard = await hear(two, topic, later, { match: undefined, get_retained: undefined });
      one.publish(topic, [1], {}, { [option]: undefined });
      await one.publish(topic, ['end'], {}, ACK);
      await heard.end;
      return heard.seen.length;
    });
  }
  await equal('publish: the id is that of the event', true, async () => {
    const got = later();
    await two.subscribe(uri('id'), (args, kwargs, details) => got.resolve(details.publication));
    const id = await one.publish(uri('id'), [1], {}, ACK);
    const seen = await got.done;
    return id > 0 && id <= 2 ** 53 && (seen === undefined || seen === id);
  });
  await equal('publish: who it was', one.id, async () => {
    const got = later();
    await two.subscribe(uri('who'), (args, kwargs, details) => got.resolve(details.publisher));
    await one.publish(uri('who'), [1], {}, { ...ACK, disclose_me: true });
    return got.done;
  });
  await equal('publish: nobody listens', true, async () => (await one.publish(uri('nobody'), [1], {}, ACK)) > 0);
  await equal('publish: only keywords', [[], { a: 1 }], async () => {
    const got = later();
    await two.subscribe(uri('keywords'), (args, kwargs) => got.resolve([args || [], kwargs]));
    await one.publish(uri('keywords'), [], { a: 1 }, ACK);
    return got.done;
  });
  await equal('publish: 1000 in order', true, async () => {
    const heard = await hear(two, uri('order'), later);
    for (let i = 0; i < 1000; i += 1) one.publish(uri('order'), [i], {}, {});
    one.publish(uri('order'), ['end'], {}, {});
    await heard.end;
    return heard.seen.length === 1000 && heard.seen.every(([value], i) => value === i);
  });
  await equal('publish: a mebibyte', 2 ** 20, async () => {
    const got = later();
    await two.subscribe(uri('large'), (args) => got.resolve(args[0].length));
    await one.publish(uri('large'), ['x'.repeat(2 ** 20)], {}, ACK);
    return got.done;
  });
  await equal('subscribe: not after the end', ['before'], async () => {
    const heard = await hear(two, uri('dropped'), later);
    const other = await hear(one, uri('dropped'), later);
    await one.publish(uri('dropped'), ['before'], {}, ACK);
    while (!heard.seen.length) await two.call('com.example.python.echo', [1]);
    await heard.drop();
    await one.publish(uri('dropped'), ['after'], {}, ACK);
    await two.publish(uri('dropped'), ['end'], {}, ACK);
    await other.end;
    return heard.seen.map(([text]) => text);
  });
  await equal('subscribe: three sessions', [1, 1, 1], async () => {
    const sessions = [two, await join(), await join()];
    const heard = await Promise.all(sessions.map((session) => hear(session, uri('three'), later)));
    await one.publish(uri('three'), [1], {}, ACK);
    await one.publish(uri('three'), ['end'], {}, ACK);
    await Promise.all(heard.map(({ end }) => end));
    await Promise.all(sessions.slice(1).map((session) => session.leave()));
    return heard.map(({ seen }) => seen.length);
  });
  await equal('subscribe: small id', true, async () => {
    const { id } = await two.subscribe(uri('small'), () => {});
    return id > 0 && id < 2 ** 31;
  });
}

async function patterns({ one, two, equal, uri, later, attempt }) {
  let n = 0;
  for (const [match, pattern, topic, arrives] of [
    ['exact', 'a', 'a', true], ['exact', 'a', 'a.b', false],
    ['prefix', 'b', 'b.c', true], ['prefix', 'b', 'b.c.d.e', true], ['prefix', 'b', 'bcd', true], ['prefix', 'b.c', 'b', false],
    ['wildcard', '.c', 'x.c', true], ['wildcard', '.c', 'x.d', false], ['wildcard', '.c', 'x.c.d', false],
    ['wildcard', 'x..y..z', 'x.1.y.2.z', true], ['wildcard', 'x..y..z', 'x.1.y.z', false],
  ]) {
    n += 1;
    const base = uri(`sub_${n}`);
    await equal(`pattern: ${match} ${pattern} for event ${topic}`, arrives ? [`${base}.${topic}`] : [], async () => {
      const heard = await hear(two, `${base}.${pattern}`, later, { match });
      const end = await hear(two, `${base}.end`, later);
      await one.publish(`${base}.${topic}`, [1], {}, ACK);
      await one.publish(`${base}.end`, ['end'], {}, ACK);
      await end.end;
      await heard.drop();
      await end.drop();
      return heard.seen.map(([, details]) => details.topic || `${base}.${pattern}`);
    });
    const other = uri(`reg_${n}`);
    await equal(`pattern: ${match} ${pattern} for call ${topic}`, arrives ? `${other}.${topic}` : 'wamp.error.no_such_procedure', async () => {
      const handler = (args, kwargs, details) => [[details.procedure || `${other}.${pattern}`], {}];
      const registration = await two.register(`${other}.${pattern}`, handler, { match });
      const got = await attempt(one.call(`${other}.${topic}`));
      await registration.drop();
      return Array.isArray(got) ? got[0][0] : got;
    });
  }
  await equal('pattern: an event for three subscriptions', ['exact', 'prefix', 'wildcard'], async () => {
    const seen = [];
    const end = later();
    for (const [match, pattern] of [['exact', 'a.b'], ['prefix', 'a'], ['wildcard', '.b']]) {
      await two.subscribe(`${uri('all')}.${pattern}`, () => {
        if (seen.push(match) === 3) end.resolve();
      }, { match });
    }
    await one.publish(`${uri('all')}.a.b`, [1], {}, ACK);
    await end.done;
    return seen.sort();
  });
  await equal('pattern: precedence of registrations', ['exact', 'longer prefix', 'prefix', 'wildcard'], async () => {
    const base = uri('best');
    for (const [name, match, pattern] of [
      ['exact', 'exact', 'a.b.c'], ['prefix', 'prefix', 'a'], ['longer prefix', 'prefix', 'a.b'], ['wildcard', 'wildcard', 'x..c'],
    ]) await two.register(`${base}.${pattern}`, () => [[name], {}], { match });
    return Promise.all(['a.b.c', 'a.b.d', 'a.x', 'x.b.c'].map(async (name) => (await one.call(`${base}.${name}`))[0][0]));
  });
}

async function shared({ one, two, equal, uri, join, attempt, lacks }) {
  const ask = async (procedure, n) => {
    const got = [];
    for (let i = 0; i < n; i += 1) got.push((await one.call(procedure))[0][0]);
    return got;
  };
  for (const [invoke, expected] of [
    ['roundrobin', [1, 1, 2, 2, 3, 3]], ['first', [1, 1, 1, 1, 1, 1]], ['last', [3, 3, 3, 3, 3, 3]], ['random', null],
  ]) {
    const procedure = uri(invoke);
    const sessions = [two, await join(), await join()];
    const all = [];
    for (const [i, session] of sessions.entries()) all.push(await session.register(procedure, () => [[i + 1], {}], { invoke }));
    await equal(`shared: ${invoke}`, expected || true, async () => {
      const got = (await ask(procedure, 6)).sort();
      return expected ? got : got.every((i) => [1, 2, 3].includes(i));
    });
    await equal(`shared: ${invoke}, one has unregistered`, true, async () => {
      await all[0].drop();
      return (await ask(procedure, 6)).every((i) => i > 1);
    });
    await equal(`shared: ${invoke}, one has left`, [2, 2], async () => {
      await sessions[2].leave();
      return ask(procedure, 2);
    });
    for (const other of ['single', 'roundrobin', 'first', 'last', 'random'].filter((name) => name !== invoke)) {
      await equal(`shared: ${invoke}, then ${other}`, true, async () =>
        ['wamp.error.procedure_already_exists', 'wamp.error.procedure_exists_with_different_invocation_policy']
          .includes(await attempt(one.register(procedure, () => [[], {}], { invoke: other }))));
    }
    await sessions[1].leave();
  }
  await equal('shared: single', 'wamp.error.procedure_already_exists', async () => {
    await two.register(uri('single'), () => [[], {}], { invoke: 'single' });
    return attempt(one.register(uri('single'), () => [[], {}], { invoke: 'single' }));
  });
  if (!lacks.has('concurrency')) {
    await equal('shared: a limit of concurrency', ['answer', true], async () => {
      let open;
      const gate = new Promise((resolve) => { open = resolve; });
      await two.register(uri('limited'), async () => { await gate; return [['answer'], {}]; }, { concurrency: 1 });
      const first = one.call(uri('limited'));
      const second = attempt(one.call(uri('limited')));
      const refused = await Promise.race([second, new Promise((resolve) => { setTimeout(() => resolve('waits'), 300); })]);
      open();
      return [(await first)[0][0], refused === 'waits' || String(refused).includes('max_concurrency_reached')];
    });
  }
}

async function kept({ one, two, equal, uri, lacks, later }) {
  const first = async (topic, options = {}) => {
    const got = later();
    const subscription = await two.subscribe(topic, (args, kwargs, details) => got.resolve([args[0], details.retained]), { get_retained: true, ...options });
    const found = await got.done;
    await subscription.drop();
    return found[0];
  };
  await equal('retained: published by Python', 'kept', () => first('com.example.python.kept'));
  await equal('retained: by a prefix', 'kept', () => first('com.example.python.kep', { match: 'prefix' }));
  await equal('retained: by a wildcard', 'kept', () => first('com.example..kept', { match: 'wildcard' }));
  await equal('retained: not asked for', [], async () => {
    const heard = await hear(two, 'com.example.python.kept', later, { match: 'exact' });
    await one.publish('com.example.python.kept', ['end'], {}, ACK);
    await heard.end;
    await heard.drop();
    return heard.seen;
  });
  if (!lacks.has('retain')) {
    await equal('retained: the newest', 'new', async () => {
      for (const text of ['old', 'new']) await one.publish(uri('newest'), [text], {}, { ...ACK, retain: true });
      return first(uri('newest'));
    });
    await equal('retained: a later one does not matter', 'kept', async () => {
      await one.publish(uri('later'), ['kept'], {}, { ...ACK, retain: true });
      await one.publish(uri('later'), ['not kept'], {}, ACK);
      return first(uri('later'));
    });
    await equal('retained: for those it was meant for', [], async () => {
      await one.publish(uri('meant'), ['kept'], {}, { ...ACK, retain: true, exclude: [two.id] });
      const heard = await hear(two, uri('meant'), later, { get_retained: true });
      await one.publish(uri('meant'), ['end'], {}, ACK);
      await heard.end;
      return heard.seen.map(([text]) => text);
    });
  }
  await equal('history: the newest three', [2, 3, 4], async () => {
    const { id } = await two.subscribe('com.example.history', () => {});
    for (let i = 0; i < 5; i += 1) await one.publish('com.example.history', [i], {}, ACK);
    const [args] = await one.call('wamp.subscription.get_events', [id, 3]);
    const events = args.length === 1 && Array.isArray(args[0]) ? args[0] : args; // one list, or spread over the results
    return events.map((event) => event.args[0]).sort();
  });
}

module.exports = [publications, patterns, shared, kept];
