"""A connection that was not made, or broke: what to tell, and whether to hope."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

from cotkit.backends._hosted.policy import Fault
from cotkit.backends._hosted.reading import sentence
from cotkit.errors import TransientError

_BROKEN = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)  # as without TLS


def lost(fault: BaseException, base_url: str, where: str) -> Fault:
    """The meaning of a lost connection; ``where`` names the argument that holds the address."""
    while fault.__cause__ is not None:  # the SDK and its transport wrap what the system said
        fault = fault.__cause__
    host, hint, is_hopeless = urlsplit(base_url).netloc, f"see {where}", True
    match fault:
        case socket.gaierror():
            why = f"no address is known of {host} ({fault.strerror})"
        case ssl.SSLCertVerificationError():
            why = f"the certificate of {host} is refused ({fault.verify_message})"
            hint += "; SSL_CERT_FILE names the certificates that are trusted"
        case ssl.SSLError() if not isinstance(fault, _BROKEN):
            why = f"{host} does not speak TLS ({fault.reason})"
            hint += ": http:// where there is no TLS"
        case _:
            is_refused = isinstance(fault, ConnectionRefusedError)
            why = "connection refused" if is_refused else sentence(str(fault)) or "it was lost"
            is_hopeless = False
    error = TransientError(f"no connection to {base_url}: {why}", hint=hint)
    return Fault(status="reset", error=error, is_hopeless=is_hopeless)
