"""What of this machine's software a function may need after it was forked to a node that has none of it.

Nothing is imported for that: it would become part of every seed.
"""
import os
import sys

# Where OpenSSL as built by the common distributions looks for certificates, and zoneinfo for its data.
_CERTIFICATES = ("/etc/ssl", "/usr/lib/ssl", "/usr/local/ssl", "/etc/pki/tls", "/etc/pki/ca-trust/extracted",
                 "/etc/ca-certificates/extracted", "/var/lib/ca-certificates", "/usr/share/ca-certificates")
_ZONES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo")
_OTHERS = ("/etc/ld.so.cache", "/etc/mime.types", "/etc/ssl/openssl.cnf")


def _certificates():
    module = sys.modules.get("ssl")
    if module:
        try:
            yield from (path for path in module.get_default_verify_paths() if path and os.path.isabs(path))
        except Exception:  # not the module it seems to be
            pass
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        yield os.environ.get(name, "")
    # not /etc/ssl itself, where the machine's own private keys are
    for directory in _CERTIFICATES:
        yield from (os.path.join(directory, name) for name in ("certs", "cert.pem", "openssl.cnf"))
    yield from _CERTIFICATES[4:]


def _zones():
    path = os.environ.get("PYTHONTZPATH")
    return path.split(os.pathsep) if path else _ZONES


def roots(app):
    """Absolute paths, those of the interpreter first; they need not exist."""
    if sys.executable:
        yield sys.executable
        yield os.path.join(os.path.dirname(os.path.dirname(sys.executable)), "pyvenv.cfg")
    yield from (path for path in sys.path if os.path.isabs(path) and path != app)
    yield os.path.dirname(os.__file__)
    yield from filter(os.path.isabs, _zones())
    yield from filter(os.path.isabs, _certificates())
    yield from _OTHERS
