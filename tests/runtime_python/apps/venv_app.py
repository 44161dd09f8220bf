"""Runs in a virtual environment only: tiny is in its site-packages."""
import sys

import tiny


def from_venv(event, context):
    return [tiny.VALUE, sys.prefix != sys.base_prefix]
