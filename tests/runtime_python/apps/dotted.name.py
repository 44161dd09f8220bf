import dataclasses


@dataclasses.dataclass
class Point:
    x: int


def dotted(event, context):
    return dataclasses.asdict(Point(event))
