"""What a connection costs before anything is sent: CPU per opening handshake, memory per idle connection.

`python bench/idle.py [N]`: opens N connections (default 1000) with raw sockets to the echo server of each competitor
that is installed, and reads the server's CPU time and resident memory from /proc. The client's CPU does not count.
"""

import os
import pathlib
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PEERS = HERE.parent / ".peers" / "bench" / "bin" / "python"
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu(pid):
    """Seconds of CPU time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss(pid):
    """Octets of resident memory of a process."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def opened(port):
    """A socket with a WebSocket on it."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(REQUEST % port)
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = sock.recv(4096)
        if not data:
            raise ConnectionError(f"expected 101, got {answer[:60]!r} and the end")
        answer += data
    return sock


def started(python, script):
    """A server process and its port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    process = subprocess.Popen([str(python), str(HERE / "servers" / script), str(port)], stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            opened(port).close()
            return process, port
        except OSError:
            time.sleep(0.05)
    process.kill()
    raise RuntimeError(f"expected {script} to listen, got silence")


def measure(python, script, count):
    """Microseconds of CPU per handshake, octets per idle connection."""
    process, port = started(python, script)
    try:
        for _ in range(200):  # warm
            opened(port).close()
        time.sleep(0.3)
        memory, start = rss(process.pid), cpu(process.pid)
        sockets = [opened(port) for _ in range(count)]
        spent = cpu(process.pid) - start
        time.sleep(0.5)
        grown = rss(process.pid) - memory
        for sock in sockets:
            sock.close()
        return spent / count * 1e6, grown / count
    finally:
        process.kill()
        process.wait()


def main():
    """One line for each competitor."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    competitors = [("ours", sys.executable, "echo_autobahn.py")]
    if PEERS.exists():
        competitors += [(name, PEERS, f"echo_{name}.py") for name in ("picows", "aiohttp", "websockets")]
    print(f"{count} connections on CPython {sys.version.split()[0]}")
    for name, python, script in competitors:
        try:
            micros, octets = measure(python, script, count)
        except (RuntimeError, OSError) as exc:
            print(f"{name:12} {exc}")
            continue
        print(f"{name:12} {micros:7.0f} us CPU per handshake {octets / 1024:7.1f} KiB per idle connection")


if __name__ == "__main__":
    main()
