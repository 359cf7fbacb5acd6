// Load on an echo server, its opening handshakes, and an echo server: the floor of what a server can cost.
//
//   wsbench load PORT raw|ws|deflate FRAMEFILE INFLIGHT CONNECTIONS WARM SECONDS PIDS
//   wsbench handshakes PORT PARALLEL SECONDS PIDS [cookies]    opens and closes connections, so many at a time
//   wsbench serve PORT raw|ws                  echoes octets, or messages
//
// FRAMEFILE holds one complete masked frame. `load` keeps INFLIGHT of them under way on each connection and counts the
// messages that come back; `raw` sends the same octets without a handshake and expects them back unchanged; `deflate`
// offers permessage-deflate. `cookies`: each visitor has one of its own, so that no two requests are alike. PIDS are the processes whose CPU time is reported. Prints one JSON line.
#include "serving.h"

static const char *OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

typedef struct {
    int fd;
    uint64_t unsent;   // octets that may go out now
    size_t offset;     // where in the frame the next octet is
    int waiting;       // asked to be told when writable
    uint64_t received; // raw: octets that came back
    uint64_t skip;     // ws: payload octets until the end of the current frame
    uint8_t head[10];
    int head_len;
} Conn;

static int is_message_end(const uint8_t *head) { return (head[0] & 0x80) && (head[0] & 15) < 8; }

// Messages that end within these octets of unmasked frames.
static int count_frames(Conn *c, const uint8_t *b, size_t n) {
    int count = 0;
    for (size_t i = 0; i < n;) {
        if (c->skip) {
            size_t k = c->skip < n - i ? c->skip : n - i;
            i += k;
            c->skip -= k;
            if (!c->skip) count += is_message_end(c->head);
            continue;
        }
        c->head[c->head_len++] = b[i++];
        if (c->head_len < 2) continue;
        uint64_t len = c->head[1] & 127;
        int need = len == 126 ? 4 : len == 127 ? 10 : 2;
        if (c->head_len < need) continue;
        if (need > 2) len = 0;
        for (int k = 2; k < need; k++) len = len << 8 | c->head[k];
        if ((c->head[0] & 15) == 8) DIE("the server closed the connection");
        c->head_len = 0;
        c->skip = len;
        if (!len) count += is_message_end(c->head);
    }
    return count;
}

static void push(int ep, Conn *c, const uint8_t *frames, size_t frame, size_t copies) {
    while (c->unsent) {
        size_t most = frame * copies - c->offset, n = c->unsent < most ? c->unsent : most;
        ssize_t w = send(c->fd, frames + c->offset, n, MSG_NOSIGNAL);
        if (w < 0) {
            if (errno == EAGAIN) break;
            DIE("send");
        }
        c->unsent -= w;
        c->offset = (c->offset + w) % frame;
    }
    int want = c->unsent > 0;
    if (want != c->waiting) watch(ep, EPOLL_CTL_MOD, c->fd, c, c->waiting = want);
}

static int load(char **argv) {
    int port = atoi(argv[0]), ws = strcmp(argv[1], "raw"), inflight = atoi(argv[3]), connections = atoi(argv[4]);
    const char *extra = strcmp(argv[1], "deflate") ? "" : OFFER, *pids = argv[7];
    double warm = atof(argv[5]), duration = atof(argv[6]);

    FILE *f = fopen(argv[2], "rb");
    if (!f) DIE("open %s", argv[2]);
    fseek(f, 0, SEEK_END);
    size_t frame = ftell(f), copies = 262144 / frame + 1;
    rewind(f);
    if (copies > (size_t)inflight) copies = inflight;
    uint8_t *frames = malloc(frame * copies);
    if (fread(frames, 1, frame, f) != frame) DIE("read %s", argv[2]);
    for (size_t i = 1; i < copies; i++) memcpy(frames + i * frame, frames, frame);

    int ep = epoll_create1(0);
    size_t room = 1 << 20;
    uint8_t *in = malloc(room);
    Conn *conns = calloc(connections, sizeof *conns);
    for (Conn *c = conns; c < conns + connections; c++) {
        c->fd = connect_loopback(port);
        if (ws) ws_upgrade(c->fd, port, "/", extra, extra[0] ? "permessage-deflate" : NULL);
        set_nonblocking(c->fd);
        watch(ep, EPOLL_CTL_ADD, c->fd, c, 0);
        c->unsent = (uint64_t)inflight * frame;
    }
    for (Conn *c = conns; c < conns + connections; c++) push(ep, c, frames, frame, copies);

    uint64_t done = 0, base = 0;
    double start = now(), begin = 0, load0 = 0, server0 = 0;
    struct epoll_event events[256];
    for (;;) {
        int n = epoll_wait(ep, events, 256, 5000);
        if (n == 0) DIE("no answer for 5 s after %llu messages", (unsigned long long)done);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            if (events[i].events & (EPOLLIN | EPOLLHUP)) {
                ssize_t r = recv(c->fd, in, room, 0);
                if (r == 0) DIE("end of file after %llu messages", (unsigned long long)done);
                if (r > 0) {
                    uint64_t before = c->received / frame;
                    c->received += r;
                    uint64_t k = ws ? (uint64_t)count_frames(c, in, r) : c->received / frame - before;
                    done += k;
                    c->unsent += k * frame;
                }
            }
            push(ep, c, frames, frame, copies);
        }
        double t = now();
        if (!begin && t - start >= warm) {
            begin = t;
            base = done;
            load0 = own_cpu();
            server0 = cpu_of(pids);
        }
        if (begin && t - begin >= duration) {
            report(done - base, done, t - begin, own_cpu() - load0, cpu_of(pids) - server0);
            return 0;
        }
    }
}

typedef struct {
    int fd, upgraded;
    size_t got;
    char in[2048];
} Visitor;

// 16 octets in base64, each time others.
static void new_key(char *key) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 21; i++) key[i] = letters[rand() & 63];
    memcpy(key + 21, "Q==", 4);
}

static void knock(int ep, Visitor *v, int port, int cookies) {
    static int count;
    char request[512], key[25], cookie[32] = "";
    new_key(key);
    if (cookies) snprintf(cookie, sizeof cookie, "Cookie: visitor=%d\r\n", ++count);
    v->fd = connect_loopback(port);
    v->got = v->upgraded = 0;
    set_nonblocking(v->fd);
    watch(ep, EPOLL_CTL_ADD, v->fd, v, 0);
    int n = snprintf(request, sizeof request,
                     "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "%sSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
                     port, cookie, key);
    if (send(v->fd, request, n, MSG_NOSIGNAL) != n) DIE("send of the handshake");
}

// So many connections at a time: TCP, upgrade, close frame, the server's close frame, its end of the connection.
static int handshakes(int port, int parallel, double duration, const char *pids, int cookies) {
    static const uint8_t close_frame[8] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};
    int ep = epoll_create1(0);
    Visitor *visitors = calloc(parallel, sizeof *visitors);
    struct epoll_event events[64];
    uint64_t done = 0;
    for (Visitor *v = visitors; v < visitors + parallel; v++) knock(ep, v, port, cookies);
    double begin = now(), load0 = own_cpu(), server0 = cpu_of(pids);
    while (now() - begin < duration) {
        int n = epoll_wait(ep, events, 64, 5000);
        if (n == 0) DIE("no answer for 5 s after %llu handshakes", (unsigned long long)done);
        for (int i = 0; i < n; i++) {
            Visitor *v = events[i].data.ptr;
            ssize_t r = recv(v->fd, v->in + v->got, sizeof v->in - 1 - v->got, 0);
            if (r < 0 && errno == EAGAIN) continue;
            if (r <= 0) {
                if (!v->upgraded) DIE("closed during the handshake");
                close(v->fd);
                done++;
                knock(ep, v, port, cookies);
                continue;
            }
            v->got += r;
            v->in[v->got] = 0;
            if (v->upgraded || !strstr(v->in, "\r\n\r\n")) continue;
            if (strncmp(v->in, "HTTP/1.1 101", 12)) DIE("handshake refused: %s", v->in);
            if (send(v->fd, close_frame, sizeof close_frame, MSG_NOSIGNAL) < 0) DIE("send");
            v->upgraded = 1;
        }
    }
    report(done, done, now() - begin, own_cpu() - load0, cpu_of(pids) - server0);
    return 0;
}

// ---- the echo server ----

typedef struct {
    int fd, upgraded, waiting;
    uint8_t *in, *out;
    size_t in_len, in_room, out_pos, out_len, out_room;
} Peer;

static void put(Peer *c, const void *p, size_t n) {
    if (c->out_pos == c->out_len) c->out_pos = c->out_len = 0;
    if (c->out_len + n > c->out_room) c->out = realloc(c->out, c->out_room = (c->out_len + n) * 2);
    memcpy(c->out + c->out_len, p, n);
    c->out_len += n;
}

// Answers every complete frame in the buffer; 0 after a close frame.
static int answer(Peer *c) {
    size_t pos = 0;
    int open = 1;
    if (!c->upgraded) {
        char response[256];
        c->in[c->in_len] = 0;
        pos = answer_upgrade((char *)c->in, "", response, sizeof response);
        if (!pos) return 1;
        put(c, response, strlen(response));
        c->upgraded = 1;
    }
    while (open && c->in_len - pos >= 2) {
        uint8_t *b = c->in + pos;
        size_t have = c->in_len - pos, head = 2;
        uint64_t len = b[1] & 127;
        int extra = len == 126 ? 2 : len == 127 ? 8 : 0;
        if (have < head + extra) break;
        if (extra) len = 0;
        for (int i = 0; i < extra; i++) len = len << 8 | b[2 + i];
        head += extra + (b[1] >> 7 ? 4 : 0);
        if (have < head + len) {
            if (c->in_room < head + len + 65536) c->in = realloc(c->in, (c->in_room = (head + len) + 262144) + 1);
            break;
        }
        if (b[1] >> 7) xor_mask(b + head, len, b + head - 4);
        uint8_t first = (b[0] & 15) == 9 ? 0x8a : b[0], out_head[10] = {first, b[1] & 127};
        memcpy(out_head + 2, c->in + pos + 2, extra);
        put(c, out_head, 2 + extra);
        put(c, c->in + pos + head, len);
        open = (b[0] & 15) != 8;
        pos += head + len;
    }
    if (pos) memmove(c->in, c->in + pos, c->in_len - pos);
    c->in_len -= pos;
    return open;
}

// Reads once and answers; 0 at the end of the connection.
static int serve_one(Peer *c, int ws) {
    ssize_t r = recv(c->fd, c->in + c->in_len, c->in_room - c->in_len, 0);
    if (r <= 0) return r < 0 && errno == EAGAIN;
    c->in_len += r;
    if (ws) return answer(c);
    put(c, c->in, c->in_len);
    c->in_len = 0;
    return 1;
}

static int serve(int port, int ws) {
    int listener = listen_loopback(port), ep = epoll_create1(0);
    watch(ep, EPOLL_CTL_ADD, listener, NULL, 0);
    struct epoll_event events[256];
    for (;;) {
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            Peer *c = events[i].data.ptr;
            if (!c) {
                c = calloc(1, sizeof *c);
                c->fd = accept_one(listener);
                c->in = malloc((c->in_room = 262144) + 1);
                watch(ep, EPOLL_CTL_ADD, c->fd, c, 0);
                continue;
            }
            int alive = 1;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) alive = serve_one(c, ws);
            while (c->out_len > c->out_pos) {
                ssize_t w = send(c->fd, c->out + c->out_pos, c->out_len - c->out_pos, MSG_NOSIGNAL);
                if (w < 0) {
                    if (errno != EAGAIN) alive = 0;
                    break;
                }
                c->out_pos += w;
            }
            int want = c->out_len > c->out_pos;
            if (alive && want != c->waiting) watch(ep, EPOLL_CTL_MOD, c->fd, c, c->waiting = want);
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
    pin();
    if (argc == 10 && !strcmp(argv[1], "load")) return load(argv + 2);
    if ((argc == 6 || argc == 7) && !strcmp(argv[1], "handshakes"))
        return handshakes(atoi(argv[2]), atoi(argv[3]), atof(argv[4]), argv[5], argc == 7);
    if (argc == 4 && !strcmp(argv[1], "serve")) return serve(atoi(argv[2]), !strcmp(argv[3], "ws"));
    DIE("usage: see the top of wsbench.c");
}
