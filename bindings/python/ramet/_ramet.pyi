from typing import Any, Callable, Dict, List, Optional, Tuple, Union

version: str
BINARY: int
ALONE: int
BEHIND: int
EVENTS: int
MAX_PAYLOAD: int
EINVAL: int
ENOMEM: int
EIO: int
EAGAIN: int
ENOTFOUND: int
EEXIST: int
EPERM: int
EPROTO: int
EVERSION: int
ECHECKSUM: int
EREVOKED: int
EACCESS: int
EPEER: int
ETIMEOUT: int
EDEADLINE: int
ECANCELED: int
ELOST: int
EUSER: int
ELIMIT: int
ECRASH: int
EREFUSED: int
ECLASS: int
ENOCLUSTER: int
ENOTSUP: int
ECONFIG: int
ECLOSED: int
EINTERNAL: int

def set_error(make: Callable[[int, str], BaseException]) -> None: ...
def error_name(code: int) -> str: ...
def is_plain(value: Any, /) -> bool: ...

# Also a buffer, writable, of the output: memoryview(result). Typing has no name for that before 3.12.
class Result(bytes):
    code: int
    binary: int
    run_us: float
    message: str
    def info(self) -> Dict[str, Any]: ...
    def failure(self) -> Optional[Dict[str, Any]]: ...

class Event:
    code: int
    progress: int
    binary: int
    fraction: float
    def chunk(self) -> bytes: ...
    def text(self) -> str: ...

class Call:
    user: Any
    def wait(self, timeout_ms: int = ..., /) -> Optional[Result]: ...
    def cancel(self) -> None: ...
    def drop(self) -> None: ...

class Handle:
    def __new__(cls, address: Optional[str] = ..., /) -> Handle: ...
    # None: only where flags ask for EAGAIN
    def send(
        self,
        function: str,
        data: Any,
        flags: int = ...,
        node: int = ...,
        deadline: float = ...,
        user: Any = ...,
        instances: int = ...,
        /,
    ) -> Call: ...
    def collect(self, timeout_ms: int, /) -> Optional[List[Tuple[Any, Union[Result, Event]]]]: ...
    def deploy(
        self,
        path: str,
        env: Tuple[bytes, ...],
        progress: Optional[Callable[[str, str, float], Any]],
        name: Optional[str] = ...,
        app: Optional[str] = ...,
        lang: Optional[str] = ...,
        handler: Optional[str] = ...,
        python: Optional[str] = ...,
        fresh: Optional[str] = ...,
        samples: Optional[str] = ...,
        idempotent: bool = ...,
        node: int = ...,
        deadline_ms: int = ...,
        mem: int = ...,
        output: int = ...,
    ) -> Result: ...
    def remove(self, function: str, /) -> None: ...
    def facts(self) -> Tuple[int, int]: ...
    def fd(self) -> int: ...
    def refuse(self) -> None: ...
    def idle(self) -> bool: ...
    def calls(self) -> List[Call]: ...
    def close(self) -> None: ...
