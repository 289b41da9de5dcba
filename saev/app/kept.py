"""What is kept in memory, and never more than so much of it."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from saev.errors import SaevError

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """The last `most` things that were made, by key."""

    def __init__(self, most: int):
        self.most, self._kept, self._lock = most, OrderedDict[Hashable, Value](), Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What is kept of `key`, or what is made for it now; what was asked for longest ago goes."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()  # outside of the lock: it may take long, and others wait for what is there
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return made


class Uploads:
    """Image files that were brought, as they came, so that every cell can crop them in its own way.

    Args:
        most: bytes of all together; the oldest go.
    """

    def __init__(self, most: int = 64 * 2**20):
        self.most, self._kept, self._lock = most, OrderedDict[str, bytes](), Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, data: bytes) -> str:
        """Its name, by which `Address.upload` calls it: the same file has the same name always."""
        name = "upload-" + hashlib.sha256(data).hexdigest()[:16]
        with self._lock:
            self._kept[name] = data
            self._kept.move_to_end(name)
            while sum(map(len, self._kept.values())) > self.most and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> bytes:
        """Raises SaevError if it is not here any more."""
        with self._lock:
            if name not in self._kept:
                raise SaevError(f"{name}: no longer here; choose the file again")
            return self._kept[name]
