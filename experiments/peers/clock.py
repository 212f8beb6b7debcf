"""How long training may take, in the time that two free cores would need."""

import os
import time

CORES = 2
SHARED = 6.0
"""Of a machine with other work: real time that may pass, as a multiple of the granted time."""


class Clock:
    """The time since it was made, counted as two free cores would take it.

    That is the processor time of the thread that made it or, if more, the whole process's over `CORES`: what waits for a processor that
    somebody else uses does not count. Only that thread may ask. Whoever sleeps is stopped when the real time is `shared` times what was
    granted.
    """

    def __init__(self, seconds: float, shared: float = SHARED) -> None:
        self.seconds, self.shared = seconds, shared
        self._thread, self._process, self._real = time.thread_time(), time.process_time(), time.monotonic()

    def elapsed(self) -> float:
        """Seconds of training so far."""
        return max(time.thread_time() - self._thread, self.processor() / CORES)

    def left(self) -> float:
        """Seconds that are left, 0 at least."""
        return 0.0 if self.spent() else self.seconds - self.elapsed()

    def spent(self) -> bool:
        """Whether training has to stop."""
        return self.elapsed() >= self.seconds or self.real() >= self.shared * self.seconds

    def processor(self) -> float:
        """Processor seconds of the process."""
        return time.process_time() - self._process

    def real(self) -> float:
        """Seconds on the wall."""
        return time.monotonic() - self._real


def two_cores() -> None:
    """Leave the process two cores, where the system can be told so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
