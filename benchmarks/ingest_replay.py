"""Plays a database's answers again as fast as they can be read: what a client costs, whatever the server costs.

The first run of a client goes through the recorder to the live server. Each later run logs in live, since a login is
encrypted anew each time, and from then on gets the recorded bytes, as long as it asks the recorded questions.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

PIECE = 1 << 18
# Longest wait for the rest of a question, in seconds.
PATIENCE = 60.0
# Where an Oracle Net packet tells its kind, and what a data packet begins with: a call, and which one.
_KIND, _DATA = 4, 6
_CALL = slice(10, 12)
_LAST_OF_LOGIN = bytes([3, 0x73])


@dataclass
class Turn:
    """A question and its answer."""

    question: bytearray = field(default_factory=bytearray)
    answer: bytearray = field(default_factory=bytearray)

    @property
    def ends_login(self) -> bool:
        """Whether the question is the login's last: the proof of the password."""
        return len(self.question) > _KIND and self.question[_KIND] == _DATA and self.question[_CALL] == _LAST_OF_LOGIN


class Tape:
    """What each connection asked and got after its login, in the order of the connections."""

    def __init__(self, live_port: int) -> None:
        self._live_port = live_port
        self._recorded: list[list[Turn]] = []
        self._lock = threading.Lock()
        self.faults: list[str] = []

    def record(self, client: socket.socket) -> None:
        """Pass everything on between the client and the live server, and keep what follows the login."""
        turns = self._pass_on(client, until_login=False)
        login = next((place for place, turn in enumerate(turns) if turn.ends_login), len(turns))
        with self._lock:
            self._recorded.append(turns[login + 1 :])

    def play(self, client: socket.socket) -> None:
        """Log the client in at the live server, then answer from the tape. A question that differs ends it."""
        begun = self._pass_on(client, until_login=True)[-1].question
        if not begun:
            return
        turns = next((turns for turns in self._recorded if turns and turns[0].question[: len(begun)] == begun), None)
        if turns is None:
            self.faults.append(f"a first question of {len(begun)} bytes that nobody asked while recording")
            return
        client.settimeout(PATIENCE)
        for place, turn in enumerate(turns):
            question = bytearray(begun if place == 0 else b"")
            while len(question) < len(turn.question):
                piece = client.recv(len(turn.question) - len(question))
                if not piece:
                    return
                question += piece
            if question != turn.question:
                self.faults.append(f"question {place} differs from the recorded one")
                return
            client.sendall(turn.answer)
        client.recv(PIECE)

    def pour(self, client: socket.socket) -> None:
        """Send all recorded answers at once, unasked: what reading them without decoding is measured with."""
        for turns in self._recorded:
            for turn in turns:
                client.sendall(turn.answer)

    def _pass_on(self, client: socket.socket, *, until_login: bool) -> list[Turn]:
        """Turns passed on; with `until_login`, the last one is the question after it, which is not passed on."""
        turns: list[Turn] = [Turn()]
        with socket.create_connection(("127.0.0.1", self._live_port)) as live:
            while True:
                for ready in select.select([client, live], [], [])[0]:
                    with contextlib.suppress(ConnectionError):
                        piece = ready.recv(PIECE)
                    if not piece:
                        return turns
                    if ready is live:
                        turns[-1].answer += piece
                        client.sendall(piece)
                        continue
                    if turns[-1].answer:
                        turns.append(Turn())
                    turns[-1].question += piece
                    if until_login and len(turns) > 1 and turns[-2].ends_login:
                        return turns
                    live.sendall(piece)


def listen(serve: Callable[[socket.socket], None]) -> int:
    """Serve each connection to a free loopback port in a thread of its own; the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def handle(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            serve(client)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=handle, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])
