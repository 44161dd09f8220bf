"""The second function of the chain: what is to be said about a list of numbers."""


def handler(event, context):
    gaps = [b - a for a, b in zip(event, event[1:])]
    return {"count": len(event), "sum": sum(event), "largest": max(event), "widest_gap": max(gaps, default=0)}
