"""Labelled texts: docstrings of the installed packages, and readers for files.

:func:`load_docstrings` is real text with labels that every installation has, offline.
:func:`read_table` and :func:`read_lines` read files as people keep them, and say where a
file is wrong.
"""

from __future__ import annotations

import ast
import csv
import difflib
import gc
import gzip
import hashlib
import importlib.util
import inspect
import io
import json
import os
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, overload

import numpy as np

if TYPE_CHECKING:
    from sklearn.utils import Bunch

__all__ = ["load_docstrings", "read_lines", "read_table"]

# --- the docstring corpus ---------------------------------------------------------------

# All of them come with skfnet itself: sympy and networkx are requirements of torch.
_PACKAGES = ("networkx", "numpy", "scipy", "sklearn", "sympy", "torch")

_PER_CLASS = 1500
_PER_FILE = 60  # numpy.ma or torch's table of tensor methods would otherwise fill a class
_MIN_WORDS = 8
_MAX_CHARS = 2000

# Tests, and copies of other packages: their docstrings would carry the wrong label.
_SKIPPED_FOLDERS = {
    "_vendor",
    "array_api_compat",
    "array_api_extra",
    "externals",
    "test",
    "testing",
    "tests",
}

# A name goes wherever it stands, inside longer words too (PyTorch, SymPyError); an alias
# only as a word or as a part between underscores (np.array, np_array, but not "input").
_NAMES = r"(?:py)?torch|(?:num|sci|sym)py|scikit(?:[\s_-]*learn)?|sklearn|networkx"
_ALIASES = r"npt|npy|np|spla|sp|nx|nn|plt"
_NAME = re.compile(_NAMES, re.IGNORECASE)
_ALIAS = re.compile(rf"(?<![^\W_])(?:{_ALIASES})(?![^\W_])", re.IGNORECASE)
_MODULE_PATH = re.compile(
    rf"(?<![\w.])(?:{_NAMES}|{_ALIASES}|(?-i:F))(?:\.\w+)*\.(?=[^\W\d])", re.IGNORECASE
)
_URL = re.compile(r"https?://\S+")
_IMPORT_LINE = re.compile(
    r"^[ \t]*(?:>>>|\.\.\.)?[ \t]*(?:from[ \t]+\S+[ \t]+import\b|import[ \t]+\w).*\n?", re.MULTILINE
)
_VERSION_LINE = re.compile(
    r"^[ \t]*\.\. (?:versionadded|versionchanged|deprecated)::.*\n?", re.MULTILINE
)
_PLACEHOLDER = re.compile(r"\{\w+\}")  # {input} in torch's docstrings, filled in at import

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_DOCSTRING_CALLS = ("add_newdoc", "_add_newdoc", "add_docstr", "_add_docstr")

_DESCR = """\
Docstrings of installed scientific packages, labelled by package
----------------------------------------------------------------

Read from the source files of this installation, so that another version of a package
gives a slightly other corpus:
{counts}.

At most {per_class:,} docstrings a package and {per_file} a file, of {min_words} words or more,
cut at {max_chars:,} characters. Tests and bundled copies of other packages are left out.
Names and aliases of the packages, the modules in front of a dotted name, import lines,
version directives and web addresses are removed: they would give the label away.

The split is fixed, about 80 : 20. Docstrings that share most of their word triples are
always on the same side. A text that occurs twice is kept once, and dropped altogether if
it occurs in two packages.
"""


def load_docstrings(
    *, return_X_y: bool = False
) -> Bunch | tuple[list[str], list[str], list[str], list[str]]:
    """Load docstrings of the installed scientific packages, labelled by package.

    A text-classification corpus for which nothing is downloaded: the docstrings of numpy,
    scipy, sklearn, torch, sympy and networkx, which any installation of skfnet has. They
    are read from the source files; no package is imported. The task is to tell which
    package a docstring comes from once the package's name is taken out of it.

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, return ``(train_texts, test_texts, train_labels, test_labels)``, in the
        order of :func:`sklearn.model_selection.train_test_split`, instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes

        train_texts, test_texts : list of str
            Docstrings, shuffled. The split is fixed, and near-identical docstrings are on
            one side of it.
        train_labels, test_labels : list of str
            The package of each docstring.
        target_names : list of str
            The packages found, sorted.
        DESCR : str
            What the corpus holds and how it was made.

    Raises
    ------
    RuntimeError
        If the sources of fewer than two of the packages are installed.

    Examples
    --------
    >>> from skfnet.datasets import load_docstrings
    >>> corpus = load_docstrings()
    >>> "numpy" in corpus.target_names
    True
    >>> any("numpy" in text.lower() for text in corpus.train_texts)
    False
    """
    from sklearn.utils import Bunch

    collecting = gc.isenabled()
    gc.disable()  # else a quarter of the time goes into looking for garbage among syntax trees
    try:
        found = {name: _collect(folder) for name, folder in _package_folders()}
    finally:
        if collecting:
            gc.enable()
    found = {name: texts for name, texts in found.items() if texts}
    if len(found) < 2:
        raise RuntimeError(
            f"load_docstrings needs the installed source files of two of these packages or "
            f"more: {', '.join(_PACKAGES)}. Found: {', '.join(found) or 'none'}."
        )
    times_found = Counter(words for texts in found.values() for words in texts)
    rows = [
        (text, name)
        for name, texts in found.items()
        for words, text in texts.items()
        if times_found[words] == 1
    ]
    rows.sort(key=lambda row: _digest(row[0]))  # shuffled: a prefix holds all classes
    is_test = _fixed_split([text for text, _ in rows])
    corpus = Bunch(train_texts=[], train_labels=[], test_texts=[], test_labels=[])
    for (text, name), side in zip(rows, np.where(is_test, "test", "train"), strict=True):
        corpus[f"{side}_texts"].append(text)
        corpus[f"{side}_labels"].append(name)
    if return_X_y:
        return corpus.train_texts, corpus.test_texts, corpus.train_labels, corpus.test_labels
    corpus.target_names = sorted(found)
    corpus.DESCR = _DESCR.format(
        counts=", ".join(f"{name} {len(found[name]):,}" for name in corpus.target_names),
        per_class=_PER_CLASS,
        per_file=_PER_FILE,
        min_words=_MIN_WORDS,
        max_chars=_MAX_CHARS,
    )
    return corpus


def _package_folders() -> Iterator[tuple[str, Path]]:
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)  # locates a top-level package, imports nothing
        if spec is not None and spec.submodule_search_locations:
            yield name, Path(next(iter(spec.submodule_search_locations)))


def _collect(folder: Path) -> dict[tuple[str, ...], str]:
    """Read a package's docstrings, cleaned, under their words: repetitions fall together."""
    texts: dict[tuple[str, ...], str] = {}
    for path in _source_files(folder):
        kept = 0
        for docstring in _docstrings(path):
            text = _without_label(docstring)
            words = _words(text)
            if len(words) < _MIN_WORDS or words in texts or _names_a_package(text):
                continue
            texts[words] = text
            kept += 1
            if kept == _PER_FILE or len(texts) == _PER_CLASS:
                break
        if len(texts) == _PER_CLASS:
            break
    return texts


def _source_files(folder: Path) -> list[Path]:
    """List a package's modules in the order of their names' hashes.

    Reading stops when a class is full: in alphabetical order, it would be filled by the
    package's first few subpackages.
    """
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]
        for name in files:
            if name.endswith(".py") and not name.startswith(("test_", "conftest")):
                path = Path(parent, name)
                found.append((_digest(path.relative_to(folder).as_posix()), path))
    return [path for _, path in sorted(found)]


def _docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a module, of its classes and functions, and of C functions."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's sources
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    # Statements only: ast.walk spends most of its time on expressions, which hold none.
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        nodes.extend(reversed(getattr(node, "body", [])))
        if isinstance(node, _DOCUMENTED):
            docstring = ast.get_docstring(node, clean=False)
        else:
            docstring = _given_docstring(getattr(node, "value", None))
        if docstring:
            yield docstring


def _given_docstring(call: ast.AST | None) -> str:
    """Find the docstring in a call such as add_newdoc("numpy", "array", "Create an array")."""
    function = getattr(call, "func", None)
    name = getattr(function, "id", getattr(function, "attr", ""))
    if not isinstance(call, ast.Call) or not name.startswith(_DOCSTRING_CALLS):
        return ""
    parts = (part for argument in call.args for part in ast.walk(argument))
    values = (part.value for part in parts if isinstance(part, ast.Constant))
    strings = (value for value in values if isinstance(value, str))
    return _PLACEHOLDER.sub("", max(strings, key=len, default=""))


def _without_label(docstring: str) -> str:
    text = inspect.cleandoc(docstring)
    for pattern in (_URL, _IMPORT_LINE, _VERSION_LINE, _MODULE_PATH, _NAME, _ALIAS):
        text = pattern.sub("", text)
    text = text.strip()
    if len(text) > _MAX_CHARS:
        text = text[: _MAX_CHARS + 1].rsplit(maxsplit=1)[0]
    return text


def _names_a_package(text: str) -> bool:
    # What stood around a removed name may read as a name again.
    return bool(_NAME.search(text) or _ALIAS.search(text))


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.lower()))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _fixed_split(texts: Sequence[str]) -> list[bool]:
    """Choose about a fifth for testing: whole groups of look-alikes, by a group's hash."""
    groups = _look_alikes([_words(text) for text in texts])
    name_of_group: dict[int, bytes] = {}
    for group, text in zip(groups, texts, strict=True):
        digest = _digest(text)
        name_of_group[group] = min(digest, name_of_group.get(group, digest))
    # Hashed once more: the least of many digests is small, so that large groups would
    # all be on the same side.
    is_test = {group: _digest(name.hex())[0] < 256 // 5 for group, name in name_of_group.items()}
    return [is_test[group] for group in groups]


def _look_alikes(documents: Sequence[tuple[str, ...]], *, overlap: float = 0.7) -> list[int]:
    """Group the documents that share most of their word triples.

    Two documents are linked if `overlap` of the shorter one's triples are in the other, so
    that a docstring is also linked to its longer version. Linked documents, directly or
    through others, form a group. All pairs are compared: no hashing scheme that could miss
    one is needed at this size.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    columns: dict[tuple[str, ...], int] = {}
    indices: list[int] = []
    row_ends = [0]
    for words in documents:
        triples = {words[i : i + 3] for i in range(max(1, len(words) - 2))}
        indices += [columns.setdefault(triple, len(columns)) for triple in triples]
        row_ends.append(len(indices))
    shape = (len(documents), len(columns))
    has = sparse.csr_matrix((np.ones(len(indices), np.float32), indices, row_ends), shape=shape)
    shared = (has @ has.T).tocoo()
    sizes = np.diff(has.indptr)
    linked = shared.data >= overlap * np.minimum(sizes[shared.row], sizes[shared.col])
    links = sparse.csr_matrix(
        (np.ones(linked.sum()), (shared.row[linked], shared.col[linked])), shape=shared.shape
    )
    return connected_components(links, directed=False)[1].tolist()


# --- files --------------------------------------------------------------------------------


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
    >>> from skfnet.datasets import read_table
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
    >>> from skfnet.datasets import read_lines
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
    delimiter = "\t" if ".tsv" in path.name.lower() else ","
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
