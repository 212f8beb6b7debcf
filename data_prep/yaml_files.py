"""YAML that a user wrote, read without trusting it."""

from pathlib import Path
from typing import Any

import yaml

from tardiff.errors import TardiffError

LARGEST = 10**6
"""Values that a file may hold once its aliases are followed: nine lines of aliases of aliases would make a billion."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, in plain lists, mappings, numbers and texts.

    Raises:
        OSError: the file cannot be read.
        TardiffError: it is not YAML, holds objects of Python, has a name twice in a mapping, or grows out of all proportion.
    """
    content = path.read_bytes()
    try:
        return yaml.load(content, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: bytes that are no text, a day that does not exist
        raise TardiffError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error


class _Loader(yaml.SafeLoader):
    """Safe, bounded, and a name that stands twice is an error: YAML would silently take the last."""

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None and _size(node, {}) > LARGEST:
            raise yaml.constructor.ConstructorError(problem="its aliases grow out of all proportion, or refer to themselves")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(problem=f"{name!r} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Values under a node, aliases followed; a node that holds itself is endless."""
    if id(node) not in sizes:
        sizes[id(node)] = LARGEST + 1  # until it is known
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        sizes[id(node)] = min(1 + sum(_size(part, sizes) for part in parts), LARGEST + 1)
    return sizes[id(node)]
