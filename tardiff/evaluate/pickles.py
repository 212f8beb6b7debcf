"""Arrays out of a pickle without trusting it.

A pickle is a program; unpickling runs it. Here it may name nothing but the functions by which NumPy stores arrays and numbers, and
even those are not NumPy's own but stand-ins that rebuild an array from its bytes. Any other name, object or dtype is refused.
"""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.errors import TardiffError

KINDS = "biuf"  # truth values, integers, floating-point numbers


def read_pickle(path: Path) -> Any:
    """Plain containers, numbers, strings and numeric arrays of a pickle file."""
    try:
        with path.open("rb") as file:
            return _settled(_Restricted(file).load())
    except TardiffError as error:
        raise TardiffError(f"{path}: {error}; save plain NumPy arrays, as an .npz file say") from error
    except Exception as error:  # a damaged program fails in any way
        raise TardiffError(f"{path}: not a pickle of plain NumPy arrays ({type(error).__name__})") from error


class _Type:
    """Stands in for `numpy.dtype`."""

    def __init__(self, name: str, *_: Any) -> None:
        self.type = np.dtype(name)
        if self.type.kind not in KINDS:
            raise TardiffError(f"it holds an array of {self.type}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.type = self.type.newbyteorder(state[1])


class _Array:
    """Stands in for an array, whose shape and bytes arrive as its state."""

    content: NDArray[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, data = state
        self.content = _from_buffer(data, kind, shape, "F" if fortran else "C")


class _NdArray:
    """Stands in for `numpy.ndarray`, which pickles name but never call."""

    def __init__(self) -> None:
        raise TardiffError("it calls numpy.ndarray")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, kind: _Type, shape: tuple[int, ...], order: Any = "C") -> NDArray[Any]:
    return np.frombuffer(data, kind.type, math.prod(shape)).reshape(shape, order=order)


def _scalar(kind: _Type, data: bytes) -> Any:
    return np.frombuffer(data, kind.type, 1)[0]


def _encode(text: str, encoding: str) -> bytes:
    """How protocols 0 to 2 store bytes."""
    if encoding != "latin1":
        raise TardiffError(f"it asks for the encoding {encoding}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How protocols 0 to 2 store none."""
    return b""


ADMITTED = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _NdArray,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise TardiffError(f"it asks for {module}.{name}, which is not part of an array, and nothing of it is run")
        return ADMITTED[module, name]


def _settled(content: Any) -> Any:
    """The content with its arrays in place of their stand-ins."""
    if isinstance(content, _Array):
        return content.content
    if isinstance(content, dict):
        return {key: _settled(value) for key, value in content.items()}
    if isinstance(content, tuple | list):
        return type(content)(_settled(value) for value in content)
    return content
