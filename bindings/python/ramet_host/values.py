"""JSON as RFC 8259 says it is, to values and back: NaN and infinities are errors in both directions.

The interpreter's own, called where its C code begins: what lies before that costs a clone, which copies each page that it
writes to, as much as all the rest of a small call.
"""
import json
import json.encoder


def _no_number(text):
    raise ValueError("%s is no JSON number" % text)


_decoder = json.JSONDecoder(parse_constant=_no_number)
_scan = _decoder.scan_once
_plain = json.JSONEncoder(allow_nan=False)
_marks = {}  # what is being encoded: finds circles
_parts = json.encoder.c_make_encoder and json.encoder.c_make_encoder(
    _marks, _plain.default, json.encoder.encode_basestring_ascii, None, _plain.key_separator, _plain.item_separator,
    False, False, False)


def decode(text):
    """ValueError, RecursionError: it is none."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:  # it begins with white space, or with nothing that is JSON
        return _decoder.decode(text)
    if end != len(text) and text[end:].strip(" \t\n\r"):
        return _decoder.decode(text)  # tells where
    return value


def encode_apart(value):
    """Text; for any thread, while another one encodes."""
    return _plain.encode(value)


def encode(value):
    """Text; one thread at a time. ValueError, TypeError, RecursionError: it cannot be said."""
    if not _parts:
        return _plain.encode(value)
    try:
        return "".join(_parts(value, 0))
    except BaseException:
        _marks.clear()
        raise
