"""PageRank of a generated graph with 100,000 edges.

The graph is made when the module is imported, that is once per cluster: every further instance is a fork of the process
that has it.
"""
import numpy

NODES = 10_000
EDGES = 100_000


def _graph():
    """Edges from everywhere to popular nodes (a power law), the same at each run; sorted by target."""
    random = numpy.random.RandomState(2026)
    source = random.randint(0, NODES, EDGES)
    target = (NODES * random.random_sample(EDGES) ** 3).astype(numpy.int64)
    order = numpy.argsort(target, kind="stable")
    return source[order], target[order]


_source, _target = _graph()
_degree = numpy.bincount(_source, minlength=NODES)
_share = numpy.where(_degree > 0, 1.0 / numpy.maximum(_degree, 1), 0.0)


def rank(event, context):
    """event: {"damping": 0.85, "iterations": 50, "top": 5}, all optional.

    The best nodes, the sum of all scores, which must be 1, and a checksum that every score has a part in.
    """
    event = event or {}
    damping = float(event.get("damping", 0.85))
    iterations = int(event.get("iterations", 50))
    top = int(event.get("top", 5))
    score = numpy.full(NODES, 1.0 / NODES)
    for _ in range(iterations):
        flow = numpy.bincount(_target, weights=(score * _share)[_source], minlength=NODES)
        lost = score[_degree == 0].sum()  # nodes without edges give to all
        score = (1.0 - damping) / NODES + damping * (flow + lost / NODES)
    print(f"{iterations} iterations, damping {damping}")  # for `ramet logs`
    best = numpy.argsort(-score, kind="stable")[:top]
    return {
        "top": [{"node": int(n), "score": round(float(score[n]), 9)} for n in best],
        "sum": round(float(score.sum()), 9),
        "checksum": round(float(numpy.arange(1, NODES + 1) @ score), 6),
    }
