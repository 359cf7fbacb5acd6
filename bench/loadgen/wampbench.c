// Load on a WAMP router, and the counterpart: a router that answers at once, as load on a client.
//
//   wampbench rpc PORT ws|rs TEMPLATES INFLIGHT CALLERS WARM SECONDS PIDS        a callee and callers; counts the results
//   wampbench events PORT ws|rs TEMPLATES INFLIGHT SUBSCRIBERS WARM SECONDS PIDS  a publisher; counts the events received
//   wampbench joins PORT ws|rs TEMPLATES PARALLEL WARM SECONDS PIDS   connect, join, leave, close; counts the WELCOMEs
//   wampbench serve PORT TEMPLATES     both transports: a RESULT for every CALL, 64 EVENTs for a SUBSCRIBE or a PUBLISH
//
// TEMPLATES is made by harness.py: first line the serializer, then lines `KEY HEX HEX`, the message's octets before and
// after the id which is filled in (HEX is - when empty; a message without an id has no second part). Prints one JSON line.
#include "serving.h"

enum {
    HELLO, WELCOME, ABORT, GOODBYE, ERROR, PUBLISH, SUBSCRIBE, SUBSCRIBED, EVENT, CALL, RESULT, REGISTER, REGISTERED,
    INVOCATION, YIELD, KEYS
};
static const char *NAMES[KEYS] = {"HELLO", "WELCOME", "ABORT", "GOODBYE", "ERROR", "PUBLISH", "SUBSCRIBE", "SUBSCRIBED",
                                  "EVENT", "CALL", "RESULT", "REGISTER", "REGISTERED", "INVOCATION", "YIELD"};
static const int CODES[KEYS] = {1, 2, 3, 6, 8, 16, 32, 33, 36, 48, 50, 64, 65, 68, 70};
enum { JSON, MSGPACK, CBOR };

typedef struct {
    uint8_t *before, *after;
    size_t before_len, after_len;
    int has_id;
} Template;

static Template templates[KEYS];
static int serializer;
static char subprotocol[96];

static uint8_t *unhex(const char *text, size_t *len) {
    *len = text[0] == '-' ? 0 : strlen(text) / 2;
    uint8_t *out = malloc(*len + 1);
    for (size_t i = 0; i < *len; i++) {
        unsigned v;
        if (sscanf(text + 2 * i, "%2x", &v) != 1) DIE("bad template");
        out[i] = v;
    }
    return out;
}

static void load_templates(const char *path) {
    FILE *f = fopen(path, "r");
    if (!f) DIE("open %s", path);
    size_t room = 1 << 20;
    char *a = malloc(room), *b = malloc(room), *line = malloc(2 * room), key[32], name[32];
    if (fscanf(f, "%31s\n", name) != 1) DIE("empty template file");
    serializer = !strcmp(name, "json") ? JSON : !strcmp(name, "msgpack") ? MSGPACK : CBOR;
    snprintf(subprotocol, sizeof subprotocol, "Sec-WebSocket-Protocol: wamp.2.%s\r\n", name);
    while (fgets(line, 2 * room, f)) {
        int parts = sscanf(line, "%31s %1048575s %1048575s", key, a, b);
        for (int k = 0; parts >= 2 && k < KEYS; k++) {
            Template *t = &templates[k];
            if (strcmp(NAMES[k], key)) continue;
            t->before = unhex(a, &t->before_len);
            t->has_id = parts == 3;
            if (t->has_id) t->after = unhex(b, &t->after_len);
        }
    }
    fclose(f);
    free(a);
    free(b);
    free(line);
}

static int big_endian(uint8_t *out, uint8_t marker, uint64_t v, int n) {
    out[0] = marker;
    for (int i = 0; i < n; i++) out[1 + i] = v >> (8 * (n - 1 - i));
    return n + 1;
}

static int encode_id(uint64_t v, uint8_t *out) {
    if (serializer == JSON) return sprintf((char *)out, "%llu", (unsigned long long)v);
    int msgpack = serializer == MSGPACK;
    if (v < (msgpack ? 128u : 24u)) {
        out[0] = v;
        return 1;
    }
    if (v < 1u << 8) return big_endian(out, msgpack ? 0xcc : 0x18, v, 1);
    if (v < 1u << 16) return big_endian(out, msgpack ? 0xcd : 0x19, v, 2);
    if (v <= 0xffffffffu) return big_endian(out, msgpack ? 0xce : 0x1a, v, 4);
    return big_endian(out, msgpack ? 0xcf : 0x1b, v, 8);
}

// The unsigned integer at p, or 0 when something else stands there; moves p behind it.
static uint64_t read_uint(const uint8_t **p) {
    uint64_t v = 0;
    if (serializer == JSON) {
        while (**p == '[' || **p == ',' || **p == ' ') ++*p;
        while (**p >= '0' && **p <= '9') v = v * 10 + *(*p)++ - '0';
        return v;
    }
    uint8_t b = *(*p)++;
    int msgpack = serializer == MSGPACK, n;
    if (b < (msgpack ? 0x80 : 0x18)) return b;
    n = b - (msgpack ? 0xcc : 0x18);
    if (n < 0 || n > 3) return 0;
    for (int i = 0; i < 1 << n; i++) v = v << 8 | *(*p)++;
    return v;
}

// The message's code, and its first id if it has one in second place.
static int message_head(const uint8_t *p, uint64_t *id) {
    if (serializer == MSGPACK) p += *p == 0xdc ? 3 : 1;
    if (serializer == CBOR) p += *p == 0x98 ? 2 : 1;
    int code = read_uint(&p);
    *id = read_uint(&p);
    return code;
}

typedef struct {
    int fd, client, rawsocket, upgraded, waiting;
    uint8_t *in, *out;
    size_t in_len, in_room, out_pos, out_len, out_room;
    uint64_t request;
} Conn;

static void put(Conn *c, const void *p, size_t n) {
    if (!n) return;
    if (c->out_pos == c->out_len) c->out_pos = c->out_len = 0;
    if (c->out_len + n > c->out_room) c->out = realloc(c->out, c->out_room = (c->out_len + n) * 2);
    memcpy(c->out + c->out_len, p, n);
    c->out_len += n;
}

static void put_head(Conn *c, uint64_t len) {
    static const uint8_t mask[4] = {0x5a, 0x13, 0xc7, 0x2e};
    uint8_t head[14], masked = c->client ? 0x80 : 0;
    int head_len = 2;
    if (c->rawsocket) {
        put(c, head, big_endian(head, 0, len, 3));
        return;
    }
    head[0] = 0x80 | (serializer == JSON ? 1 : 2);
    if (len < 126) {
        head[1] = masked | len;
    } else if (len < 65536) {
        head_len = 1 + big_endian(head + 1, masked | 126, len, 2);
    } else {
        head_len = 1 + big_endian(head + 1, masked | 127, len, 8);
    }
    put(c, head, head_len);
    if (masked) put(c, mask, 4);
}

static void put_message(Conn *c, int key, uint64_t id) {
    const Template *t = &templates[key];
    uint8_t id_octets[24];
    if (!t->before) DIE("no template for %s", NAMES[key]);
    int id_len = t->has_id ? encode_id(id, id_octets) : 0;
    uint64_t len = t->before_len + id_len + t->after_len;
    put_head(c, len);
    put(c, t->before, t->before_len);
    put(c, id_octets, id_len);
    put(c, t->after, t->after_len);
    if (c->client && !c->rawsocket) xor_mask(c->out + c->out_len - len, len, c->out + c->out_len - len - 4);
}

static void push(int ep, Conn *c) {
    while (c->out_len > c->out_pos) {
        ssize_t w = send(c->fd, c->out + c->out_pos, c->out_len - c->out_pos, MSG_NOSIGNAL);
        if (w < 0) {
            if (errno != EAGAIN) c->out_len = c->out_pos = 0; // the reader will see the end
            break;
        }
        c->out_pos += w;
    }
    int want = c->out_len > c->out_pos;
    if (want != c->waiting) watch(ep, EPOLL_CTL_MOD, c->fd, c, c->waiting = want);
}

// Reads what is there; 0 at the end of the connection.
static int pull(Conn *c) {
    if (c->in_room - c->in_len < 16384) {
        c->in_room = c->in_room ? c->in_room * 2 : 65536;
        c->in = realloc(c->in, c->in_room + 16);
    }
    ssize_t r = recv(c->fd, c->in + c->in_len, c->in_room - c->in_len, 0);
    if (r < 0) return errno == EAGAIN;
    c->in_len += r;
    memset(c->in + c->in_len, 0, 16); // numbers are read without a bound check
    return r > 0;
}

// The next message's payload from *pos on: 1 found, 0 more octets needed, -1 closed.
static int next_message(Conn *c, size_t *pos, uint8_t **payload) {
    for (;;) {
        uint8_t *b = c->in + *pos;
        size_t have = c->in_len - *pos, head = c->rawsocket ? 4 : 2;
        if (have < head) return 0;
        if (c->rawsocket) {
            size_t len = b[1] << 16 | b[2] << 8 | b[3];
            if (have < head + len) return 0;
            *pos += head + len;
            if (b[0] & 7) continue;
            *payload = b + head;
            return 1;
        }
        uint64_t len = b[1] & 127;
        int extra = len == 126 ? 2 : len == 127 ? 8 : 0, masked = b[1] >> 7, opcode = b[0] & 15;
        if (have < head + extra) return 0;
        if (extra) len = 0;
        for (int i = 0; i < extra; i++) len = len << 8 | b[2 + i];
        head += extra + (masked ? 4 : 0);
        if (have < head + len) return 0;
        if (masked) xor_mask(b + head, len, b + head - 4);
        *pos += head + len;
        if (opcode == 8) return -1;
        if (opcode == 9) {
            uint8_t pong[6] = {0x8a, c->client ? 0x80 : 0, 0, 0, 0, 0};
            put(c, pong, c->client ? 6 : 2);
        }
        if (opcode > 2) continue;
        *payload = b + head;
        return 1;
    }
}

static void consumed(Conn *c, size_t pos) {
    if (!pos) return;
    memmove(c->in, c->in + pos, c->in_len - pos + 16);
    c->in_len -= pos;
}

static void forget(Conn *c) {
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

// ---- load ----

typedef struct {
    int port, rawsocket, inflight, number, ep;
    double warm, duration;
    const char *pids;
} Load;

static Conn *join(const Load *l) {
    Conn *c = calloc(1, sizeof *c);
    c->client = c->upgraded = 1;
    c->fd = connect_loopback(l->port);
    if ((c->rawsocket = l->rawsocket)) {
        uint8_t hello[4] = {0x7f, 0xf0 | (serializer + 1), 0, 0}, got[4];
        if (send(c->fd, hello, 4, MSG_NOSIGNAL) != 4 || recv(c->fd, got, 4, MSG_WAITALL) != 4) DIE("RawSocket handshake");
        if (got[0] != 0x7f || (got[1] & 15) != serializer + 1) DIE("RawSocket refused: %02x%02x", got[0], got[1]);
    } else {
        ws_upgrade(c->fd, l->port, "/ws", subprotocol, NULL);
    }
    set_nonblocking(c->fd);
    watch(l->ep, EPOLL_CTL_ADD, c->fd, c, 0);
    put_message(c, HELLO, 0);
    push(l->ep, c);
    return c;
}

static void await_message(int ep, Conn *c, int key) {
    for (double start = now(); now() - start < 10; usleep(100)) {
        uint8_t *m;
        uint64_t id;
        size_t pos = 0;
        int state;
        if (!pull(c)) DIE("closed while waiting for %s", NAMES[key]);
        while ((state = next_message(c, &pos, &m)) == 1) {
            int code = message_head(m, &id);
            if (code == CODES[ERROR] || code == CODES[ABORT]) DIE("got %d, expected %s: %.200s", code, NAMES[key], m);
            if (code != CODES[key]) continue;
            consumed(c, pos);
            return;
        }
        if (state < 0) DIE("close frame while waiting for %s", NAMES[key]);
        consumed(c, pos);
        push(ep, c);
    }
    DIE("no %s within 10 s", NAMES[key]);
}

// One that has joined and sent `key`, if any, and has the answer.
static Conn *joined(const Load *l, int key, int answer) {
    Conn *c = join(l);
    await_message(l->ep, c, WELCOME);
    if (key == KEYS) return c;
    put_message(c, key, 1);
    push(l->ep, c);
    await_message(l->ep, c, answer);
    return c;
}

typedef struct {
    double start, begin, load0, server0;
    uint64_t base;
} Clock;

// 1 when the time is over, and the report is out.
static int over(Clock *k, const Load *l, uint64_t done) {
    double t = now();
    if (!k->start) k->start = t;
    if (!k->begin && t - k->start >= l->warm) {
        k->begin = t;
        k->base = done;
        k->load0 = own_cpu();
        k->server0 = cpu_of(l->pids);
    }
    if (!k->begin || t - k->begin < l->duration) return 0;
    report(done - k->base, done, t - k->begin, own_cpu() - k->load0, cpu_of(l->pids) - k->server0);
    return 1;
}

// Calls or publications are kept under way; what comes back is counted.
static int traffic(const Load *l, int publish) {
    uint64_t done = 0, sent = 0;
    Conn *publisher = NULL;
    if (!publish) joined(l, REGISTER, REGISTERED);
    for (int i = 0; i < l->number; i++) {
        Conn *c = joined(l, publish ? SUBSCRIBE : KEYS, SUBSCRIBED);
        for (int k = 0; k < l->inflight && !publish; k++) put_message(c, CALL, ++c->request);
        push(l->ep, c);
    }
    if (publish) {
        publisher = joined(l, KEYS, 0);
        for (; sent < (uint64_t)l->inflight; sent++) put_message(publisher, PUBLISH, ++publisher->request);
        push(l->ep, publisher);
    }
    Clock clock = {0};
    struct epoll_event events[128];
    while (!over(&clock, l, done)) {
        int n = epoll_wait(l->ep, events, 128, 5000);
        if (n == 0) DIE("no answer for 5 s after %llu messages", (unsigned long long)done);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            uint8_t *m;
            uint64_t id;
            size_t pos = 0;
            int state = 0;
            if ((events[i].events & (EPOLLIN | EPOLLHUP)) && !pull(c))
                DIE("end of file after %llu messages", (unsigned long long)done);
            while ((state = next_message(c, &pos, &m)) == 1) {
                int code = message_head(m, &id);
                if (code == CODES[INVOCATION]) {
                    put_message(c, YIELD, id);
                } else if (code == CODES[RESULT]) {
                    done++;
                    put_message(c, CALL, ++c->request);
                } else if (code == CODES[EVENT]) {
                    done++;
                } else {
                    DIE("unexpected message %d: %.200s", code, m);
                }
            }
            if (state < 0) DIE("closed by the router");
            consumed(c, pos);
            push(l->ep, c);
        }
        if (!publish) continue;
        for (; sent < l->inflight + done / l->number; sent++) put_message(publisher, PUBLISH, ++publisher->request);
        push(l->ep, publisher);
    }
    return 0;
}

static Conn *newcomer(const Load *l) {
    Conn *c = calloc(1, sizeof *c);
    char request[512];
    uint8_t hello[4] = {0x7f, 0xf0 | (serializer + 1), 0, 0};
    c->client = 1;
    c->rawsocket = l->rawsocket;
    c->fd = connect_loopback(l->port);
    set_nonblocking(c->fd);
    watch(l->ep, EPOLL_CTL_ADD, c->fd, c, 0);
    int n = snprintf(request, sizeof request,
                     "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                     l->port, subprotocol);
    put(c, c->rawsocket ? (void *)hello : request, c->rawsocket ? 4 : n);
    push(l->ep, c);
    return c;
}

// Goes on with one that joins and leaves: 1 it was welcomed just now, -1 it has left.
static int advance(Conn *c) {
    size_t pos = 0;
    uint8_t *m;
    uint64_t id;
    int welcomed = 0;
    if (!c->upgraded) {
        char *end = c->rawsocket ? NULL : strstr((char *)c->in, "\r\n\r\n");
        if (c->rawsocket ? c->in_len < 4 : !end) return 0;
        if (!c->rawsocket && strncmp((char *)c->in, "HTTP/1.1 101", 12)) DIE("refused: %s", c->in);
        pos = c->rawsocket ? 4 : end + 4 - (char *)c->in;
        c->upgraded = 1;
        put_message(c, HELLO, 0);
    }
    while (next_message(c, &pos, &m) == 1) {
        int code = message_head(m, &id);
        if (code == CODES[GOODBYE]) return -1;
        if (code != CODES[WELCOME]) DIE("expected WELCOME, got %d: %.200s", code, m);
        put_message(c, GOODBYE, 0);
        welcomed = 1;
    }
    consumed(c, pos);
    return welcomed;
}

static int joins(const Load *l) {
    uint64_t done = 0;
    Clock clock = {0};
    struct epoll_event events[128];
    for (int i = 0; i < l->inflight; i++) newcomer(l);
    while (!over(&clock, l, done)) {
        int n = epoll_wait(l->ep, events, 128, 5000);
        if (n == 0) DIE("no answer for 5 s after %llu joins", (unsigned long long)done);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            int state = pull(c) ? advance(c) : -1;
            done += state == 1;
            if (state >= 0) {
                push(l->ep, c);
            } else {
                forget(c);
                newcomer(l);
            }
        }
    }
    return 0;
}

// ---- the program that answers ----

static int answer(Conn *c) {
    uint8_t *m;
    uint64_t id;
    size_t pos = 0;
    int state = 0;
    if (!c->upgraded && c->in_len >= 4 && c->in[0] == 0x7f) {
        uint8_t hello[4] = {0x7f, 0xf0 | (serializer + 1), 0, 0};
        put(c, hello, 4);
        c->rawsocket = c->upgraded = 1;
        pos = 4;
    } else if (!c->upgraded) {
        char response[512];
        pos = answer_upgrade((char *)c->in, subprotocol, response, sizeof response);
        if (pos) put(c, response, strlen(response));
        c->upgraded = pos > 0;
    }
    while (c->upgraded && (state = next_message(c, &pos, &m)) == 1) {
        int code = message_head(m, &id);
        if (code == CODES[HELLO]) put_message(c, WELCOME, 0);
        if (code == CODES[CALL]) put_message(c, RESULT, id);
        if (code == CODES[SUBSCRIBE]) put_message(c, SUBSCRIBED, id);
        for (int i = 0; i < 64 && (code == CODES[SUBSCRIBE] || code == CODES[PUBLISH]); i++) put_message(c, EVENT, 0);
        if (code == CODES[GOODBYE]) put_message(c, GOODBYE, 0);
    }
    consumed(c, pos);
    return state >= 0;
}

static int serve(int port) {
    int listener = listen_loopback(port), ep = epoll_create1(0);
    watch(ep, EPOLL_CTL_ADD, listener, NULL, 0);
    struct epoll_event events[64];
    for (;;) {
        int n = epoll_wait(ep, events, 64, -1);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            if (!c) {
                c = calloc(1, sizeof *c);
                c->fd = accept_one(listener);
                watch(ep, EPOLL_CTL_ADD, c->fd, c, 0);
                continue;
            }
            int alive = 1;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) alive = pull(c) && answer(c);
            push(ep, c);
            if (!alive) forget(c);
        }
    }
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    pin();
    if (argc == 4 && !strcmp(argv[1], "serve")) {
        load_templates(argv[3]);
        return serve(atoi(argv[2]));
    }
    if (argc == 9 && !strcmp(argv[1], "joins")) {
        load_templates(argv[4]);
        Load l = {.port = atoi(argv[2]), .rawsocket = !strcmp(argv[3], "rs"), .inflight = atoi(argv[5]), .number = 1,
                  .ep = epoll_create1(0), .warm = atof(argv[6]), .duration = atof(argv[7]), .pids = argv[8]};
        return joins(&l);
    }
    if (argc == 10 && (!strcmp(argv[1], "rpc") || !strcmp(argv[1], "events"))) {
        load_templates(argv[4]);
        Load l = {.port = atoi(argv[2]), .rawsocket = !strcmp(argv[3], "rs"), .inflight = atoi(argv[5]),
                  .number = atoi(argv[6]), .ep = epoll_create1(0), .warm = atof(argv[7]), .duration = atof(argv[8]),
                  .pids = argv[9]};
        return traffic(&l, !strcmp(argv[1], "events"));
    }
    DIE("usage: see the top of wampbench.c");
}
