"""How many words a text has."""


def count(event, context):
    return len(event.split())
