"""Configure TLS for outgoing connections: one context, HTTP/1.1 by ALPN, and session resumption."""

import ssl


class ClientTls:
    """Hold a context and the last TLS session of every host, so that the next handshake needs no certificate."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Take over the context, which must verify certificates and host names, as the default one does."""
        states: dict[str | None, ssl.SSLSession] = {}

        class Resuming(ssl.SSLObject):
            def do_handshake(self) -> None:
                known = states.get(self.server_hostname)
                if known is not None and self.session is None:
                    self.session = known
                super().do_handshake()

        # asyncio and uvloop offer no other way to pass a session to the handshake.
        context.sslobject_class = Resuming
        context.set_alpn_protocols(["http/1.1"])
        self.context = context
        self._states = states

    def remember(self, connected: ssl.SSLObject) -> None:
        """Keep the session of a connection.

        With TLS 1.3 the session is available once the server has sent other data.
        """
        if connected.session is not None:
            self._states[connected.server_hostname] = connected.session


def has_said_goodbye(connected: ssl.SSLObject) -> bool:
    """Return True if the other side ended the TLS connection itself.

    asyncio reports a connection that was cut off in the same way.
    """
    try:
        return not connected.read(1)
    except ssl.SSLError:
        return False
