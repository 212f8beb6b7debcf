"""Progress bars: one for all processes, none where nobody wants one."""

import os
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from tardiff.base.distributed import main_process


def bar(things: Iterable[Any] | None = None, shown: bool = True, **options: Any) -> tqdm:
    """tqdm's bar, shown by the main process, unless `TQDM_DISABLE` is set.

    Args:
        things: what is gone through; None for a bar that is moved by hand.
        shown: False for none.
        options: tqdm's.
    """
    return tqdm(things, disable=not shown or not main_process() or bool(os.environ.get("TQDM_DISABLE")), **options)
