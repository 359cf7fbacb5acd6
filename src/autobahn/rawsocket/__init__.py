"""WAMP over RawSocket, without I/O: `handshake`, `frames`, `connection`; and `util` for URLs."""
