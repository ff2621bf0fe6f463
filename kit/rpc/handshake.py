"""What gRPC says about a connection that never came to be, in words that say what to do."""

_NEVER_CONNECTED = ("failed to connect to all addresses", "connections to all backends failing")
_SENTENCES = (
    (
        "CERTIFICATE_VERIFY_FAILED: certificate has expired",
        "its certificate has ended; it needs a new one in GRPC_TLS_CERT_FILE",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED: certificate is not yet valid",
        "its certificate is not valid yet: one of the two clocks is wrong",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "its certificate is of an authority that is not in our GRPC_TLS_CA_FILE; give both sides the same authority",
    ),
    (
        "Hostname Verification Check failed",
        "its certificate does not bear the name it is called by; make one that does, or set GRPC_TLS_SERVER_NAME to a "
        "name that it bears",
    ),
    (
        "WRONG_VERSION_NUMBER",
        "it does not speak TLS and we do; set GRPC_TLS_CERT_FILE there, or unset GRPC_TLS_CERT_FILE and "
        "GRPC_TLS_CA_FILE here",
    ),
    (
        "Secure read failed (Socket closed)",
        "it does not accept our certificate, or wants one and we have none; set GRPC_TLS_CERT_FILE to a valid one of "
        "its authority",
    ),
    (
        "Socket closed",
        "it closes the connection at once, as a server does that wants TLS; set GRPC_TLS_CA_FILE if it does",
    ),
)


def handshake_problem(details: str) -> str:
    """Return what is wrong between the two ends, about the other one as "it"; empty if the cause is another.

    Args:
        details: of a call that ended with UNAVAILABLE.
    """
    if not any(sign in details for sign in _NEVER_CONNECTED):
        return ""
    return next((sentence for sign, sentence in _SENTENCES if sign in details), "")
