// The first example of AutobahnJS' documentation: one session subscribes, publishes, registers and calls.
const autobahn = require('autobahn');

const connection = new autobahn.Connection({ url: process.argv[2], realm: 'realm1' });

connection.onopen = function (session) {
  function onevent(args) {
    console.log('Event:', args[0]);
  }
  session.subscribe('com.myapp.hello', onevent);
  session.publish('com.myapp.hello', ['Hello, world!']);

  function add2(args) {
    return args[0] + args[1];
  }
  session.register('com.myapp.add2', add2).then(() => session.call('com.myapp.add2', [2, 3])).then((res) => {
    console.log('Result:', res);
    connection.close();
  });
};

connection.open();
