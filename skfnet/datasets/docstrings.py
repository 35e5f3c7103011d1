"""Labelled texts that every installation has, offline: the docstrings of its packages."""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib.util
import inspect
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.utils import Bunch

__all__ = ["load_docstrings"]

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
    r"^[ \t]*(?:>>>|\.\.\.)?[ \t]*"
    r"(?:from[ \t]+\S+[ \t]+import\b(?:[ \t]*\([^)]*\))?|import[ \t]+\w).*\n?",
    re.MULTILINE,
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
    counts = Counter(name for _, name in rows)
    corpus.DESCR = _DESCR.format(
        counts=", ".join(f"{name} {counts[name]:,}" for name in corpus.target_names),
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
