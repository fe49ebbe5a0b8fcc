"""TLS for connections that we open: one context, HTTP/1.1 by ALPN, and shorter handshakes with hosts we know."""

import ssl


class ClientTls:
    """A context, and the last TLS state of every host, so that the next handshake needs no certificate."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Takes the context over: it must check certificates and host names, as the default one does."""
        states: dict[str | None, ssl.SSLSession] = {}

        class Resuming(ssl.SSLObject):
            def do_handshake(self) -> None:
                known = states.get(self.server_hostname)
                if known is not None and self.session is None:
                    self.session = known
                super().do_handshake()

        # asyncio and uvloop leave no other way to hand a TLS state to the handshake.
        context.sslobject_class = Resuming
        context.set_alpn_protocols(["http/1.1"])
        self.context = context
        self._states = states

    def remember(self, connected: ssl.SSLObject) -> None:
        """Keep what a connection's server gave; with TLS 1.3 it is there once something else came from the server."""
        if connected.session is not None:
            self._states[connected.server_hostname] = connected.session


def has_said_goodbye(connected: ssl.SSLObject) -> bool:
    """Whether the other side ended the connection itself; asyncio says the same when somebody cut it."""
    try:
        return not connected.read(1)
    except ssl.SSLError:
        return False
