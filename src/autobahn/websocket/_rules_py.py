"""What a frame must hold by itself (RFC 6455 section 5) and what takes its pieces, for the Python twin."""

from codecs import utf_8_decode
from typing import NoReturn, Protocol

from autobahn.websocket.errors import FrameError


class Stream(Protocol):
    """Takes the pieces of messages as they arrive, in place of `on_message`."""

    def message_begin(self, is_binary: bool, /) -> object: ...
    def frame_begin(self, length: int, /) -> object: ...
    def frame_data(self, data: bytes, /) -> object: ...
    def frame_end(self) -> object: ...
    def message_end(self) -> object: ...


def fail(reason: str) -> NoReturn:
    raise FrameError(1002, reason)


def parse_close(payload: bytes) -> tuple[int | None, str]:
    """Code and reason of a close frame (RFC 6455 5.5.1, 7.4)."""
    if not payload:
        return None, ""
    code = int.from_bytes(payload[:2], "big")
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        fail(f"expected a close code that may be sent, got {code}")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(1007, "expected UTF-8 in the close reason, got invalid octets") from None


def judge_control(b0: int, b1: int) -> None:
    """Raise unless a control frame is whole and short (RFC 6455 5.5)."""
    if b0 & 0x70:
        fail("expected RSV1 unset on a control frame, got it set")
    if not b0 & 0x80:
        fail("expected a whole control frame, got a fragment")
    if b1 & 0x7F > 125:
        fail("expected at most 125 octets in a control frame, got more")
    if b0 & 0x0F == 8 and b1 & 0x7F == 1:
        fail("expected no payload or at least 2 octets in a close frame, got 1")


def judge_first(b0: int, b1: int, *, in_message: bool, may_compress: bool) -> None:
    """Raise unless the first two octets are legal here, masking left aside (RFC 6455 5.2)."""
    opcode = b0 & 0x0F
    rsv = b0 >> 4 & 7
    if 3 <= opcode <= 7 or opcode > 10:
        fail(f"expected a defined opcode, got reserved opcode {opcode}")
    if rsv & 3:
        fail(f"expected RSV2 and RSV3 unset, got RSV bits {rsv:03b}")
    if opcode >= 8:
        judge_control(b0, b1)
    elif rsv and not opcode:  # RFC 7692 6.1: only the first frame of a message carries RSV1
        fail("expected RSV1 unset on a continuation frame, got it set")
    elif rsv and not may_compress:
        fail("expected RSV1 unset without negotiated compression, got it set")
    elif not opcode and not in_message:
        fail("expected a text or binary frame, got a continuation frame without a message to continue")
    elif opcode and in_message:
        fail(f"expected a continuation frame, got opcode {opcode} inside a fragmented message")


def judge_length(size: int, octets: int) -> None:
    """Raise unless an extended length is in its shortest form (RFC 6455 5.2)."""
    if size >> 63:
        fail("expected a length of at most 63 bits, got the top bit set")
    if size < (126 if octets == 2 else 65536):
        fail(f"expected the shortest length encoding, got {size} in {octets * 8} bits")


def continue_utf8(tail: bytes, chunk: bytes) -> tuple[bytes, int]:
    """The unfinished sequence at the end of `chunk`, which follows the unfinished `tail`, and -1.

    If an octet cannot continue valid UTF-8: how many octets of `chunk` come before it, in place of -1.
    """
    joined = tail + chunk
    try:
        _, used = utf_8_decode(joined, "strict", False)
        rest = joined[used:]
        if len(rest) != 2 or rest[0] != 0xED or rest[1] < 0xA0:
            return rest, -1
        bad = used + 1  # half a surrogate, which the codec takes for unfinished
    except UnicodeDecodeError as exc:
        bad = exc.start if exc.reason == "invalid start byte" else exc.end
    return b"", bad - len(tail)
