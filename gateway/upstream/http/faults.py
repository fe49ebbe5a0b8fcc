"""Find why a connection could not be opened, as far as the system reports it. Pure."""

import errno
import socket
import ssl

from gateway.errors import ConnectFault

_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
_RESOURCES = frozenset({errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})
"""connect(2) fails with EADDRNOTAVAIL if all ports for outgoing connections are in use."""
LOCAL = _DESCRIPTORS | _RESOURCES
"""Errors that mean a lack of resources on this machine, whatever the other side."""


def connect_fault(error: BaseException | None) -> tuple[ConnectFault, str]:
    """Return the kind of a failure, and the system's further description, which may be empty."""
    match error:
        case ssl.SSLCertVerificationError():
            return ConnectFault.CERTIFICATE, error.verify_message
        case ssl.SSLError():
            return ConnectFault.TLS, getattr(error, "reason", None) or error.strerror or ""
        case socket.gaierror():
            return ConnectFault.DNS, _name_of_lookup(error.errno)
        case TimeoutError():
            return ConnectFault.TIMEOUT, ""
        case ConnectionRefusedError():
            return ConnectFault.REFUSED, ""
        case UnicodeError():
            return ConnectFault.DNS, "invalid host name"
        case OSError(errno=code) if code is not None:
            name = errno.errorcode.get(code, str(code))
            if code in _DESCRIPTORS:
                return ConnectFault.NO_DESCRIPTORS, name
            return ConnectFault.NO_RESOURCES if code in _RESOURCES else ConnectFault.OTHER, name
        case _:
            return ConnectFault.OTHER, ""


def _name_of_lookup(code: int | None) -> str:
    """Return the name of a code of getaddrinfo(3), such as EAI_AGAIN."""
    return next((name for name, value in vars(socket).items() if name.startswith("EAI_") and value == code), str(code))
