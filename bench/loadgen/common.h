// Shared by the load generators: clocks, sockets on loopback, the client side of the WebSocket handshake.
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DIE(...)                                          \
    do {                                                  \
        fprintf(stderr, __VA_ARGS__);                     \
        fprintf(stderr, " (%s)\n", strerror(errno));      \
        exit(1);                                          \
    } while (0)

static double seconds_of(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) return 0;
    return t.tv_sec + t.tv_nsec * 1e-9;
}

// This process stays on the core that BENCH_CORE names: cheaper for its parent than to do it between fork and exec.
static void pin(void) {
    const char *core = getenv("BENCH_CORE");
    cpu_set_t set;
    if (!core) return;
    CPU_ZERO(&set);
    CPU_SET(atoi(core), &set);
    sched_setaffinity(0, sizeof set, &set);
}

static double now(void) { return seconds_of(CLOCK_MONOTONIC); }

static double own_cpu(void) { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

// CPU seconds of other processes, given as "pid,pid,...": the kernel's process clock, in nanoseconds.
static double cpu_of(const char *pids) {
    double sum = 0;
    for (const char *p = pids; *p;) {
        char *end;
        long pid = strtol(p, &end, 10);
        if (end == p) DIE("bad pid list %s", pids);
        sum += seconds_of((clockid_t)((~(uint32_t)pid << 3) | 2));
        p = *end == ',' ? end + 1 : end;
    }
    return sum;
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

// From an address of its own for each process, so that ports in TIME_WAIT are never in the way.
static int connect_loopback(int port) {
    int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = loopback(port), source = loopback(0);
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)getpid() % 60000);
    setsockopt(s, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(s, (struct sockaddr *)&source, sizeof source)) DIE("bind");
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(s, (struct sockaddr *)&a, sizeof a)) DIE("connect to port %d", port);
    return s;
}

static void set_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static void watch(int ep, int op, int fd, void *data, int writable) {
    struct epoll_event ev = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = data};
    if (epoll_ctl(ep, op, fd, &ev)) DIE("epoll_ctl");
}

// Upgrades a blocking socket; the octet after the response's head is the first one left to read. `extra`: more header
// lines; `expected`: what the response's head must contain.
static void ws_upgrade(int fd, int port, const char *path, const char *extra, const char *expected) {
    char buf[4096];
    int n = snprintf(buf, sizeof buf,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                     path, port, extra);
    if (send(fd, buf, n, MSG_NOSIGNAL) != n) DIE("send of the handshake");
    for (size_t got = 0, head = 0; !head;) {
        ssize_t r = recv(fd, buf + got, sizeof buf - 1 - got, MSG_PEEK);
        if (r <= 0) DIE("closed during the handshake");
        buf[got + r] = 0;
        char *end = strstr(buf, "\r\n\r\n");
        head = end ? end + 4 - buf : 0;
        size_t take = head ? head - got : (size_t)r;
        if (recv(fd, buf + got, take, 0) != (ssize_t)take) DIE("recv of the handshake");
        got += take;
        buf[got] = 0;
        if (got > 4000) DIE("response head too long");
    }
    if (strncmp(buf, "HTTP/1.1 101", 12)) DIE("handshake refused: %s", buf);
    if (expected && !strcasestr(buf, expected)) DIE("expected %s, got: %s", expected, buf);
}

// `total`: with those of the time of warming up.
static void report(uint64_t messages, uint64_t total, double elapsed, double load_cpu, double server_cpu) {
    printf("{\"messages\":%llu,\"total\":%llu,\"elapsed\":%.6f,\"load_cpu\":%.6f,\"server_cpu\":%.6f}\n",
           (unsigned long long)messages, (unsigned long long)total, elapsed, load_cpu, server_cpu);
}
#endif
