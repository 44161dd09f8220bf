"""The first function of the chain: the primes below a bound, by a sieve that is set up at import."""

LIMIT = 1_000_000


def sieve(limit):
    is_prime = bytearray([1]) * limit
    is_prime[:2] = b"\0\0"
    for n in range(2, int(limit**0.5) + 1):
        if is_prime[n]:
            is_prime[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return is_prime


IS_PRIME = sieve(LIMIT)  # runs once in the cluster; every other instance is forked with it


def handler(event, context):
    below = int(event["below"])
    if not 2 <= below <= LIMIT:
        raise ValueError(f"below must be 2 to {LIMIT}, not {below}")
    return [n for n in range(below) if IS_PRIME[n]]
