"""Echo server on `picows`: payload as bytes or checked text, as others give it. Arguments: PORT [uvloop]."""

import asyncio
import sys

from picows import WSListener, WSMsgType, ws_create_server


class Echo(WSListener):
    """Sends back what it gets."""

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, frame.get_payload_as_utf8_text().encode())
        else:
            transport.send(frame.msg_type, frame.get_payload_as_bytes())


async def main():
    """Serves until it is interrupted."""
    server = await ws_create_server(lambda request: Echo(), "127.0.0.1", int(sys.argv[1]), max_frame_size=1 << 26)
    await server.serve_forever()


if __name__ == "__main__":
    if "uvloop" in sys.argv[2:]:
        import uvloop

        uvloop.install()
    asyncio.run(main())
