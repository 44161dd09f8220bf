"""Failures as the C module takes them: tuples (code, kind, type, message, traceback). code names a RAMET_E... error, kind
is "user", "limit", "system" or "refused"."""
import importlib
import os
import traceback

from ramet_host.context import OutputLimit

TRACEBACK_MAX = 30000  # the host cuts at HOST_ERROR_MAX bytes, and the end is what tells most

_directory = os.path.dirname(os.path.abspath(__file__))
_importing = {importlib.__file__, "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>"}


def refusal(code, message):
    """What the user got wrong, without an exception."""
    return code, "user", "", message, ""


def _text_of(exc):
    try:
        return str(exc)
    except BaseException:  # an exception class of the application
        return "(its str() failed)"


def _is_ours(frame):
    name = frame.f_code.co_filename
    return name in _importing or os.path.dirname(name) == _directory


def _trace_of(exc):
    """The traceback as Python prints it, from the application's first frame on."""
    trace = exc.__traceback__
    while trace is not None and _is_ours(trace.tb_frame):
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(exc), exc, trace))
    except BaseException:  # whatever it finds in the application's frames and objects
        return ""
    if len(text) > TRACEBACK_MAX:
        half = TRACEBACK_MAX // 2
        text = text[:half] + "\n  [...]\n" + text[-half:]
    return text


def raised(exc):
    """An exception that the application let through."""
    code, kind = ("ELIMIT", "limit") if isinstance(exc, OutputLimit) else ("EUSER", "user")
    return code, kind, type(exc).__name__, _text_of(exc), _trace_of(exc)
