"""Ranks of MPI as clients."""
from __future__ import annotations

import os
import socket
from typing import Any, Callable, List, Optional, Tuple, TypeVar

from ramet import errors

C = TypeVar("C")
Failure = Optional[Tuple[int, str]]  # code, message


def _wish(address: Optional[str]) -> str:
    """Where this rank would look for its daemon; "": nobody has told it."""
    directory = os.environ.get("RAMET_DIR")
    return address or os.environ.get("RAMET_SOCKET") or (
        os.path.join(directory, "node1", "client.sock") if directory else "")


def _open(make: Callable[[Optional[str]], C], wish: str) -> Tuple[Optional[C], Failure]:
    try:
        return make(wish or None), None
    except errors.Error as exc:
        return None, (exc.code, "%s: %s" % (socket.gethostname(), exc))


def _open_on_machine(machine: Any, wish: str, make: Callable[[Optional[str]], C]) -> Tuple[Optional[C], Failure]:
    """machine: a communicator of the ranks there. Of those that look in the same place one looks, the others follow it;
    who was not told any place takes the first that another was told."""
    wishes: List[str] = machine.allgather(wish)
    told = next(filter(None, wishes), "")
    wishes = [wish or told for wish in wishes]
    rank = machine.Get_rank()
    first = wishes.index(wishes[rank])
    client, failure = _open(make, wishes[rank]) if rank == first else (None, None)
    failure = machine.allgather(failure)[first]
    if rank == first or failure:
        return client, failure
    return _open(make, wishes[rank])


def open_all(comm: Any, address: Optional[str], make: Callable[[Optional[str]], C]) -> C:
    """Collective over comm, an intracommunicator of mpi4py: a client for each rank by make(address), or the same error
    in all of them."""
    from mpi4py import MPI

    machine = comm.Split_type(MPI.COMM_TYPE_SHARED)
    try:
        client, failure = _open_on_machine(machine, _wish(address), make)
    finally:
        machine.Free()
    failure = next(filter(None, comm.allgather(failure)), None)
    if failure:
        raise errors.error(*failure)
    assert client is not None
    return client
