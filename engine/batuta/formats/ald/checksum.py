"""The checksum at the end of an `.ald` file: CRC-32 with two wrong constants in its table.

The two constants are part of the format, since every build of alimentar has them and refuses
a file with the true sum. They make the sum non-linear, so no library computes it. One look-up
per byte runs as WebAssembly, 40 times as fast as Python's loop, which stays as the fallback.
"""

import atexit
import struct
from typing import Any

_ODD_ENTRIES = (222, 223)
_ODD_BITS = 0x00020000
_PIECE = 1024 * 1024
_INPUT_AT = 65_536
_MEMORY_PAGES = 17

_WAT = f"""
(module
  (memory (export "memory") {_MEMORY_PAGES})
  (func (export "update") (param $crc i32) (param $at i32) (param $end i32) (result i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $crc
          (i32.xor
            (i32.load
              (i32.shl
                (i32.and
                  (i32.xor (local.get $crc) (i32.load8_u (local.get $at)))
                  (i32.const 255))
                (i32.const 2)))
            (i32.shr_u (local.get $crc) (i32.const 8))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $crc)))
"""


def _table() -> tuple[int, ...]:
    entries = []
    for byte in range(256):
        entry = byte
        for _ in range(8):
            entry = (entry >> 1) ^ (0xEDB88320 if entry & 1 else 0)
        entries.append(entry ^ (_ODD_BITS if byte in _ODD_ENTRIES else 0))
    return tuple(entries)


TABLE = _table()


def update(crc: int, piece: bytes) -> int:
    """Return the checksum of what `crc` stands for with `piece` behind it; start with 0."""
    return _POOL.update(crc, piece)


def update_in_python(crc: int, piece: bytes) -> int:
    """Do what `update` does without WebAssembly, at about 10 MiB/s."""
    crc ^= 0xFFFFFFFF
    table = TABLE
    for byte in piece:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


class Compiled:
    """The loop as WebAssembly, with a memory of its own; one thread at a time may use it.

    Raises:
        ImportError: wasmtime is not installed.
        RuntimeError: it is, but this machine does not let it run.
    """

    def __init__(self) -> None:
        import wasmtime

        config = wasmtime.Config()
        # The usual reservation is 4 GiB of addresses, more than a confined worker may take.
        config.memory_reservation = 2 * _MEMORY_PAGES * 65_536
        config.memory_guard_size = 0
        config.memory_reservation_for_growth = 0
        try:
            engine = wasmtime.Engine(config)
            self._store = wasmtime.Store(engine)
            module = wasmtime.Module(engine, bytes(wasmtime.wat2wasm(_WAT)))
            exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        except wasmtime.WasmtimeError as error:
            raise RuntimeError(f"WebAssembly does not run here: {error}") from error
        memory: Any = exports["memory"]  # typed as a union of all that a module may export
        loop: Any = exports["update"]
        memory.write(self._store, struct.pack("<256I", *TABLE), 0)
        self._memory, self._loop = memory, loop

    def update(self, crc: int, piece: bytes) -> int:
        """Return the checksum of what `crc` stands for with `piece` behind it."""
        crc ^= 0xFFFFFFFF
        view = memoryview(piece)
        for first in range(0, len(view), _PIECE):
            part = view[first : first + _PIECE]
            self._memory.write(self._store, part, _INPUT_AT)
            signed = crc - (1 << 32) if crc >> 31 else crc
            crc = self._loop(self._store, signed, _INPUT_AT, _INPUT_AT + len(part)) & 0xFFFFFFFF
        return crc ^ 0xFFFFFFFF


class _Pool:
    """Compiled loops at rest: parts are written by several threads, each takes one."""

    def __init__(self) -> None:
        self._idle: list[Compiled] = []
        self._usable = True

    def update(self, crc: int, piece: bytes) -> int:
        loop = self._take()
        if loop is None:
            return update_in_python(crc, piece)
        try:
            return loop.update(crc, piece)
        finally:
            self._idle.append(loop)

    def _take(self) -> Compiled | None:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            return Compiled() if self._usable else None
        except (ImportError, RuntimeError):
            self._usable = False
            return None

    def close(self) -> None:
        self._idle.clear()


_POOL = _Pool()
# wasmtime's own finalizers fail once the interpreter has taken its module apart.
atexit.register(_POOL.close)
