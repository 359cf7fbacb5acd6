// Load on a WAMP router over WebSocket, and the counterpart: a router that answers at once, as load on a client.
//
//   wampbench rpc PORT TEMPLATES INFLIGHT WARM SECONDS PIDS    a callee and a caller; counts the results
//   wampbench serve PORT TEMPLATES                             answers every CALL with a RESULT
//
// TEMPLATES is made by harness.py: first line the serializer, then lines `KEY HEX HEX`, the message's octets before and
// after the id which is filled in (HEX is - when empty; a message without an id has no second part). Prints one JSON line.
#include "common.h"

enum { HELLO, WELCOME, ABORT, GOODBYE, ERROR, CALL, RESULT, REGISTER, REGISTERED, INVOCATION, YIELD, KEYS };
static const char *NAMES[KEYS] = {"HELLO", "WELCOME", "ABORT", "GOODBYE", "ERROR", "CALL",
                                  "RESULT", "REGISTER", "REGISTERED", "INVOCATION", "YIELD"};
static const int CODES[KEYS] = {1, 2, 3, 6, 8, 48, 50, 64, 65, 68, 70};
enum { JSON, MSGPACK, CBOR };

typedef struct {
    uint8_t *before, *after;
    size_t before_len, after_len;
    int has_id;
} Template;

static Template templates[KEYS];
static int serializer;
static char subprotocol[64];

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
    snprintf(subprotocol, sizeof subprotocol, "wamp.2.%s", name);
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
    int fd, client, upgraded, waiting;
    uint8_t *in, *out;
    size_t in_len, in_room, out_pos, out_len, out_room;
} Conn;

static void put(Conn *c, const void *p, size_t n) {
    if (!n) return;
    if (c->out_pos == c->out_len) c->out_pos = c->out_len = 0;
    if (c->out_len + n > c->out_room) c->out = realloc(c->out, c->out_room = (c->out_len + n) * 2);
    memcpy(c->out + c->out_len, p, n);
    c->out_len += n;
}

static void xor_mask(uint8_t *p, uint64_t n, const uint8_t mask[4]) {
    uint32_t m;
    memcpy(&m, mask, 4);
    uint64_t wide = (uint64_t)m << 32 | m, i = 0, v;
    for (; i + 8 <= n; i += 8) {
        memcpy(&v, p + i, 8);
        v ^= wide;
        memcpy(p + i, &v, 8);
    }
    for (; i < n; i++) p[i] ^= mask[i & 3];
}

static void put_message(Conn *c, int key, uint64_t id) {
    static const uint8_t mask[4] = {0x5a, 0x13, 0xc7, 0x2e};
    const Template *t = &templates[key];
    uint8_t id_octets[24], head[14], masked = c->client ? 0x80 : 0;
    if (!t->before) DIE("no template for %s", NAMES[key]);
    int id_len = t->has_id ? encode_id(id, id_octets) : 0, head_len = 2;
    uint64_t len = t->before_len + id_len + t->after_len;
    head[0] = 0x80 | (serializer == JSON ? 1 : 2);
    if (len < 126) {
        head[1] = masked | len;
    } else if (len < 65536) {
        head_len = 1 + big_endian(head + 1, masked | 126, len, 2);
    } else {
        head_len = 1 + big_endian(head + 1, masked | 127, len, 8);
    }
    if (masked) {
        memcpy(head + head_len, mask, 4);
        head_len += 4;
    }
    put(c, head, head_len);
    put(c, t->before, t->before_len);
    put(c, id_octets, id_len);
    put(c, t->after, t->after_len);
    if (masked) xor_mask(c->out + c->out_len - len, len, mask);
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
    if (c->in_room - c->in_len < 65536) {
        c->in_room = c->in_room ? c->in_room * 2 : 262144;
        c->in = realloc(c->in, c->in_room + 16);
    }
    ssize_t r = recv(c->fd, c->in + c->in_len, c->in_room - c->in_len, 0);
    if (r < 0) return errno == EAGAIN;
    c->in_len += r;
    memset(c->in + c->in_len, 0, 16); // numbers are read without a bound check
    return r > 0;
}

// The next data frame's payload from *pos on: 1 found, 0 more octets needed, -1 closed.
static int next_message(Conn *c, size_t *pos, uint8_t **payload) {
    for (;;) {
        uint8_t *b = c->in + *pos;
        size_t have = c->in_len - *pos, head = 2;
        if (have < 2) return 0;
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
    memmove(c->in, c->in + pos, c->in_len - pos);
    c->in_len -= pos;
}

static Conn *join(int port, int ep) {
    Conn *c = calloc(1, sizeof *c);
    c->client = c->upgraded = 1;
    c->fd = connect_loopback(port);
    ws_upgrade(c->fd, port, "/ws", subprotocol);
    set_nonblocking(c->fd);
    watch(ep, EPOLL_CTL_ADD, c->fd, c, 0);
    put_message(c, HELLO, 0);
    push(ep, c);
    return c;
}

static void await_message(int ep, Conn *c, int key) {
    for (double start = now(); now() - start < 10; usleep(200)) {
        uint8_t *m;
        uint64_t id;
        size_t pos = 0;
        int state;
        if (!pull(c)) DIE("closed while waiting for %s", NAMES[key]);
        while ((state = next_message(c, &pos, &m)) == 1) {
            int code = message_head(m, &id);
            if (code == CODES[ERROR] || code == CODES[ABORT]) DIE("got %d, expected %s", code, NAMES[key]);
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

static int rpc(int port, int inflight, double warm, double duration, const char *pids) {
    int ep = epoll_create1(0);
    Conn *callee = join(port, ep);
    await_message(ep, callee, WELCOME);
    put_message(callee, REGISTER, 1);
    push(ep, callee);
    await_message(ep, callee, REGISTERED);
    Conn *caller = join(port, ep);
    await_message(ep, caller, WELCOME);
    uint64_t request = 1, done = 0, base = 0;
    for (int i = 0; i < inflight; i++) put_message(caller, CALL, request++);
    push(ep, caller);

    double start = now(), begin = 0, load0 = 0, server0 = 0;
    struct epoll_event events[16];
    for (;;) {
        int n = epoll_wait(ep, events, 16, 5000);
        if (n == 0) DIE("no answer for 5 s after %llu calls", (unsigned long long)done);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            uint8_t *m;
            uint64_t id;
            size_t pos = 0;
            int state = 0;
            if ((events[i].events & (EPOLLIN | EPOLLHUP)) && !pull(c))
                DIE("end of file after %llu calls", (unsigned long long)done);
            while ((state = next_message(c, &pos, &m)) == 1) {
                int code = message_head(m, &id);
                if (code == CODES[INVOCATION]) {
                    put_message(c, YIELD, id);
                } else if (code == CODES[RESULT]) {
                    done++;
                    put_message(caller, CALL, request++);
                } else {
                    DIE("unexpected message %d", code);
                }
            }
            if (state < 0) DIE("closed by the router");
            consumed(c, pos);
            push(ep, c);
        }
        double t = now();
        if (!begin && t - start >= warm) {
            begin = t;
            base = done;
            load0 = own_cpu();
            server0 = cpu_of(pids);
        }
        if (begin && t - begin >= duration) {
            report(done - base, t - begin, own_cpu() - load0, cpu_of(pids) - server0);
            return 0;
        }
    }
}

static uint32_t rol(uint32_t v, int n) { return v << n | v >> (32 - n); }

// SHA-1 of fewer than 119 octets (RFC 3174).
static void sha1(const uint8_t *data, size_t n, uint8_t out[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint8_t block[128] = {0};
    memcpy(block, data, n);
    block[n] = 0x80;
    size_t total = n + 9 <= 64 ? 64 : 128;
    for (int i = 0; i < 8; i++) block[total - 1 - i] = (uint64_t)n * 8 >> (8 * i);
    for (size_t o = 0; o < total; o += 64) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 16; i++) {
            const uint8_t *p = block + o + 4 * i;
            w[i] = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++) w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t f, k;
            if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
            else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
            else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
            else f = b ^ c ^ d, k = 0xCA62C1D6;
            uint32_t next = rol(a, 5) + f + e + k + w[i];
            e = d, d = c, c = rol(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) out[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

static void base64(const uint8_t *data, int n, char *out) {
    static const char *digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < n; i += 3) {
        uint32_t v = data[i] << 16 | (i + 1 < n ? data[i + 1] << 8 : 0) | (i + 2 < n ? data[i + 2] : 0);
        *out++ = digits[v >> 18 & 63];
        *out++ = digits[v >> 12 & 63];
        *out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
        *out++ = i + 2 < n ? digits[v & 63] : '=';
    }
    *out = 0;
}

// Answers the opening handshake once its head is complete; returns the octets of the head.
static size_t accept_upgrade(Conn *c) {
    c->in[c->in_len] = 0;
    char *end = strstr((char *)c->in, "\r\n\r\n"), *key = strcasestr((char *)c->in, "sec-websocket-key:");
    if (!end || !key) return 0;
    char text[128], digest64[40], response[256];
    uint8_t digest[20];
    if (sscanf(key + 18, " %60[^\r]", text) != 1) DIE("bad key");
    strcat(text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1((uint8_t *)text, strlen(text), digest);
    base64(digest, 20, digest64);
    int n = snprintf(response, sizeof response,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
                     digest64, subprotocol);
    put(c, response, n);
    c->upgraded = 1;
    return end + 4 - (char *)c->in;
}

static int answer(Conn *c) {
    uint8_t *m;
    uint64_t id;
    size_t pos = c->upgraded ? 0 : accept_upgrade(c);
    int state = 0;
    while (c->upgraded && (state = next_message(c, &pos, &m)) == 1) {
        int code = message_head(m, &id);
        if (code == CODES[HELLO]) put_message(c, WELCOME, 0);
        if (code == CODES[CALL]) put_message(c, RESULT, id);
        if (code == CODES[GOODBYE]) put_message(c, GOODBYE, 0);
    }
    consumed(c, pos);
    return state >= 0;
}

static int serve(int port) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), ep = epoll_create1(0);
    struct sockaddr_in a = loopback(port);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 64)) DIE("listen on port %d", port);
    watch(ep, EPOLL_CTL_ADD, listener, NULL, 0);
    struct epoll_event events[64];
    for (;;) {
        int n = epoll_wait(ep, events, 64, -1);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            if (!c) {
                c = calloc(1, sizeof *c);
                c->fd = accept(listener, NULL, NULL);
                setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                set_nonblocking(c->fd);
                watch(ep, EPOLL_CTL_ADD, c->fd, c, 0);
                continue;
            }
            int alive = 1;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) alive = pull(c) && answer(c);
            push(ep, c);
            if (alive) continue;
            close(c->fd);
            free(c->in);
            free(c->out);
            free(c);
        }
    }
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (argc == 4 && !strcmp(argv[1], "serve")) {
        load_templates(argv[3]);
        return serve(atoi(argv[2]));
    }
    if (argc == 8 && !strcmp(argv[1], "rpc")) {
        load_templates(argv[3]);
        return rpc(atoi(argv[2]), atoi(argv[4]), atof(argv[5]), atof(argv[6]), argv[7]);
    }
    DIE("usage: wampbench rpc PORT TEMPLATES INFLIGHT WARM SECONDS PIDS | serve PORT TEMPLATES");
}
