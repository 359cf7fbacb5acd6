// Load on an echo server: keeps N frames in flight on each of K connections and counts the messages that come back.
//
//   wsbench PORT raw|ws FRAMEFILE INFLIGHT CONNECTIONS WARM SECONDS PIDS
//
// FRAMEFILE holds one complete masked frame. `raw` sends the same bytes without a handshake and expects them back
// unchanged. PIDS are the processes whose CPU time is reported. Prints one JSON line.
#include "common.h"

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

int main(int argc, char **argv) {
    if (argc != 9) DIE("usage: wsbench PORT raw|ws FRAMEFILE INFLIGHT CONNECTIONS WARM SECONDS PIDS");
    int port = atoi(argv[1]), ws = !strcmp(argv[2], "ws"), inflight = atoi(argv[4]), connections = atoi(argv[5]);
    double warm = atof(argv[6]), duration = atof(argv[7]);
    const char *pids = argv[8];

    FILE *f = fopen(argv[3], "rb");
    if (!f) DIE("open %s", argv[3]);
    fseek(f, 0, SEEK_END);
    size_t frame = ftell(f), copies = 262144 / frame + 1;
    rewind(f);
    if (copies > (size_t)inflight) copies = inflight;
    uint8_t *frames = malloc(frame * copies);
    if (fread(frames, 1, frame, f) != frame) DIE("read %s", argv[3]);
    for (size_t i = 1; i < copies; i++) memcpy(frames + i * frame, frames, frame);

    int ep = epoll_create1(0);
    size_t room = 1 << 20;
    uint8_t *in = malloc(room);
    Conn *conns = calloc(connections, sizeof *conns);
    for (Conn *c = conns; c < conns + connections; c++) {
        c->fd = connect_loopback(port);
        if (ws) ws_upgrade(c->fd, port, "/", NULL);
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
            report(done - base, t - begin, own_cpu() - load0, cpu_of(pids) - server0);
            return 0;
        }
    }
}
