"""Waiting for a folder to change: by the kernel's events where it has them (Linux), else for as long as one would wait anyway.

Events are a hint and never the only way: a network file system tells nothing of what other machines do. Whoever waits here
looks at the folder after every wait, whatever ended it.
"""

import ctypes
import os
import select
import sys
import time
from collections.abc import Collection
from pathlib import Path
from threading import Lock

# Of <sys/inotify.h>: a file closed after writing, renamed into or out of the folder, made or deleted; the folder itself gone.
_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _IGNORED = 0x400, 0x800, 0x8000
_CHANGES = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_BUFFER_BYTES = 65_536
_HEADER_BYTES = 16


class FolderEvents:
    """Wakes one waiting thread when a file of `names` changes in `folder`, which need not be there yet.

    Other files do not count: who looks after a wait may lock, or write beside.
    """

    def __init__(self, folder: Path, names: Collection[str]) -> None:
        self._folder = folder
        self._names = frozenset(os.fsencode(name) for name in names)
        self._lock = Lock()
        self._closed = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._inotify = _open()
        self._watched = False

    @property
    def are_told(self) -> bool:
        """Whether the kernel tells of changes at the moment; otherwise waits simply end after their time."""
        return self._watched

    def wait(self, seconds: float) -> bool:
        """Return when one of the files has changed, after `seconds`, or when closed; False once closed."""
        end = time.monotonic() + seconds
        has_changed = self._watch()
        while not (self._closed or has_changed):
            left = end - time.monotonic()
            if left <= 0.0:
                break
            poll = select.poll()
            poll.register(self._reader, select.POLLIN)
            if self._watched:
                poll.register(self._inotify, select.POLLIN)
            if any(descriptor == self._inotify for descriptor, _ in poll.poll(left * 1_000.0)):
                has_changed = self._drain()
        return not self._closed

    def close(self) -> None:
        """End the waits, now and later. May be called from any thread and more than once."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.write(self._writer, b"\x00")

    def release(self) -> None:
        """Give the descriptors back; called when nobody waits any more."""
        for descriptor in (self._reader, self._writer, self._inotify):
            if descriptor >= 0:
                os.close(descriptor)

    def _watch(self) -> bool:
        """True where the watch begins with this call: what changed before it was not told."""
        # Again after the folder was deleted, and as often as it is not there yet.
        if self._watched or self._inotify < 0:
            return False
        path = os.fsencode(self._folder)
        self._watched = int(_libc().inotify_add_watch(self._inotify, path, _CHANGES)) >= 0
        return self._watched

    def _drain(self) -> bool:
        """True where an event is of one of the files, or of the folder itself, or where events were lost."""
        content = os.read(self._inotify, _BUFFER_BYTES)
        position, counts = 0, False
        while position + _HEADER_BYTES <= len(content):
            mask = int.from_bytes(content[position + 4 : position + 8], sys.byteorder)
            length = int.from_bytes(content[position + 12 : position + 16], sys.byteorder)
            name = content[position + _HEADER_BYTES : position + _HEADER_BYTES + length].rstrip(b"\x00")
            counts = counts or not name or name in self._names
            if mask & (_IGNORED | _MOVE_SELF):
                self._watched = False
            position += _HEADER_BYTES + length
        return counts


def _open() -> int:
    """A descriptor of events, or -1 where the system has none or gives none: its limit of them may be reached."""
    if not sys.platform.startswith("linux"):
        return -1
    try:
        return int(_libc().inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
    except (OSError, AttributeError):
        return -1


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
