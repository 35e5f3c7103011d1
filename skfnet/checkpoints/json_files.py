"""JSON objects in files, or an error that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["read_json", "write_json"]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    ValueError
        If the file holds none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file ({error}). Download or copy it again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object. Download or copy it again.")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, for people to read, too."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
