"""What a base loads and forgets again (layers.py), as small as apps can be."""
import json
import sys

VALUES = [json.dumps(number) for number in range(8)]


def handler(event, context):
    return {"values": VALUES, "event": event, "byteorder": sys.byteorder}
