"""Readers for files of labelled texts, which say where a file is wrong."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload

__all__ = ["read_lines", "read_table"]


@overload
def read_table(
    path: str | os.PathLike[str], *, text: str = ..., label: str = ...
) -> tuple[list[str], list[Any]]: ...
@overload
def read_table(path: str | os.PathLike[str], *, text: str = ..., label: None) -> list[str]: ...
def read_table(
    path: str | os.PathLike[str], *, text: str = "text", label: str | None = "label"
) -> tuple[list[str], list[Any]] | list[str]:
    r"""Read texts and their labels from a CSV, TSV or JSONL file.

    Parameters
    ----------
    path : str or path-like
        A file in UTF-8 whose name ends in ``.csv``, ``.tsv`` or ``.jsonl``, or in one of
        these and ``.gz``. CSV and TSV have a header line; fields may stand in double
        quotes, where line breaks are text and a quote is written twice. JSONL has one
        object a line.
    text : str, default="text"
        Column (or key) of the texts. An empty text is a document like any other.
    label : str or None, default="label"
        Column (or key) of the labels. None reads the texts alone.

    Returns
    -------
    texts : list of str
        The texts, one a row, in the order of the file.
    labels : list
        The labels: str from CSV and TSV; str, int or bool from JSONL, as they are there.
        Left out if `label` is None: the texts are returned alone.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not what its name says: names the file, the line and the column.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skfnet.files import read_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "reviews.csv")
    ...     _ = path.write_text('label,text\ngood,"Well made, and quick"\nbad,Broke at once\n')
    ...     read_table(path)
    (['Well made, and quick', 'Broke at once'], ['good', 'bad'])
    """
    path = _existing(path)
    suffix = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    readers = {".csv": _csv_rows, ".tsv": _csv_rows, ".jsonl": _json_rows}
    if suffix.lower() not in readers:
        raise ValueError(
            f"{path}: cannot tell the kind of file from its name. Name it .csv, .tsv or .jsonl "
            f"(one JSON object a line), or one of these and .gz."
        )
    columns = [text] if label is None else [text, label]
    content = _decoded(path)
    if not content.strip():
        raise ValueError(f"{path}: the file is empty.")
    texts: list[str] = []
    labels: list[Any] = []
    for line, values in readers[suffix.lower()](path, content, columns):
        if not isinstance(values[0], str):
            raise _bad_value(path, line, text, values[0], "a string")
        texts.append(values[0])
        if label is not None:
            if values[1] == "" or not isinstance(values[1], str | int):
                raise _bad_value(path, line, label, values[1], "a label (a string or an integer)")
            if labels and type(values[1]) is not type(labels[0]):
                kind = type(labels[0]).__name__
                raise _bad_value(path, line, label, values[1], f"a label of type {kind} as above")
            labels.append(values[1])
    if not texts:
        raise ValueError(f"{path}: there is a header line, but no row below it.")
    return texts if label is None else (texts, labels)


def read_lines(path: str | os.PathLike[str] | BinaryIO) -> list[str]:
    r"""Read a plain text file: one document a line.

    Parameters
    ----------
    path : str, path-like or binary file
        A file in UTF-8 (``.gz``: compressed), or an open one such as ``sys.stdin.buffer``.

    Returns
    -------
    texts : list of str
        The lines, without their ends. An empty line is an empty document.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty or not in UTF-8: names the file and the line.

    Examples
    --------
    >>> import io
    >>> from skfnet.files import read_lines
    >>> read_lines(io.BytesIO(b"a document\nanother one\n"))
    ['a document', 'another one']
    """
    lines = _decoded(path).replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError(f"{_name(path)}: the file is empty.")
    return lines


def _decoded(path: str | os.PathLike[str] | BinaryIO) -> str:
    data = _bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{_name(path)}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8. "
            f"Save the file in UTF-8."
        ) from None


def _bytes(path: str | os.PathLike[str] | BinaryIO) -> bytes:
    if not isinstance(path, str | os.PathLike):
        return path.read()
    path = _existing(path)
    if path.suffix.lower() != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: is no complete gzip file ({error}).") from None


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file.")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder, not a file.")
    return path


def _name(path: object) -> str:
    return (
        os.fspath(path) if isinstance(path, str | os.PathLike) else getattr(path, "name", "input")
    )


def _csv_rows(path: Path, content: str, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the fields wanted of each row."""
    delimiter = "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    rows = _numbered(path, reader)
    _, header = next(rows)
    places = []
    for column in columns:
        _require(column, header, f"{path}, line 1", "column")
        if header.count(column) > 1:
            raise ValueError(
                f"{path}, line 1: {header.count(column)} columns are named {column!r}."
            )
        places.append(header.index(column))
    for line, fields in rows:
        if len(fields) != len(header):
            raise ValueError(
                f"{path}, line {line}: {len(fields)} fields where the header has {len(header)} "
                f"({_listed(header)}). A field that holds the separator must stand in double "
                f"quotes."
            )
        yield line, [fields[place] for place in places]


def _numbered(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the number of its first line."""
    limit = csv.field_size_limit(2**31 - 1)  # process-wide: put back below
    try:
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise ValueError(
                    f"{path}, line {line}: {error}. A field that starts with a double quote must "
                    f"end with one, and quotes inside it are doubled."
                ) from None
            if fields:
                yield line, fields
    finally:
        csv.field_size_limit(limit)


def _json_rows(path: Path, content: str, columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
    # Not splitlines: it also splits at U+2028 and the like, which JSON strings may hold.
    for line, row in enumerate(content.split("\n"), start=1):
        if not row.strip():
            continue
        try:
            record = json.loads(row)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: invalid JSON ({error}).") from None
        if not isinstance(record, dict):
            raise ValueError(
                f'{path}, line {line}: a JSON object such as {{"{columns[0]}": "..."}} is needed, '
                f"got {_short(record)}."
            )
        for column in columns:
            _require(column, list(record), f"{path}, line {line}", "key")
        yield line, [record[column] for column in columns]


def _require(column: str, existing: Sequence[str], where: str, kind: str) -> None:
    if column in existing:
        return
    close = difflib.get_close_matches(column.lower().strip(), [name.lower() for name in existing])
    meant = [name for name in existing if name.lower() in close[:1]]
    hint = f" Did you mean {meant[0]!r}?" if meant else ""
    raise ValueError(
        f"{where}: there is no {kind} {column!r}.{hint} There are: {_listed(existing)}."
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(_short(name) for name in list(names)[:20])


def _bad_value(path: Path, line: int, column: str, value: object, wanted: str) -> ValueError:
    got = "nothing" if value is None or value == "" else _short(value)
    return ValueError(f"{path}, line {line}, column {column!r}: {wanted} is needed, got {got}.")


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
