"""lease_client.py FUNCTION CALLS: calls it through a lease, with what RAMET_SOCKET names; prints how many were."""
import sys

from ramet import _ramet

handle = _ramet.Handle(None)
name, wanted = sys.argv[1], int(sys.argv[2])
leased = 0
for number in range(100 * wanted):
    result = handle.send(name, b"%d" % number, 0, 0, 0.0).wait(60000)
    if result.code:
        sys.exit(result.message)
    leased += "." in result.info()["call"]
    if leased == wanted:
        break
print(leased)
handle.close()
