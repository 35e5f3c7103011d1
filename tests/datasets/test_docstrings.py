"""The docstring corpus."""

import random
import re
from collections import Counter

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from skfnet.datasets import docstrings, load_docstrings


@pytest.fixture
def corpus(docstrings):
    return docstrings


def test_corpus_has_thousands_of_documents_and_balanced_classes(corpus):
    counts = Counter(corpus.train_labels + corpus.test_labels)
    assert sum(counts.values()) > 3000
    assert set(counts) == set(corpus.target_names) >= {"numpy", "scipy", "sklearn", "torch"}
    assert max(counts.values()) <= 1500
    assert min(counts.values()) > 700
    assert len(corpus.train_texts) == len(corpus.train_labels)
    assert len(corpus.test_texts) == len(corpus.test_labels)
    for name in corpus.target_names:
        assert f"{name} {counts[name]:,}" in corpus.DESCR


def test_a_fifth_of_every_class_is_for_testing(corpus):
    train, test = Counter(corpus.train_labels), Counter(corpus.test_labels)
    for name in corpus.target_names:
        assert 0.12 < test[name] / (train[name] + test[name]) < 0.28
    share = len(corpus.test_texts) / (len(corpus.train_texts) + len(corpus.test_texts))
    assert 0.17 < share < 0.23


def test_rows_are_shuffled(corpus):
    # Whoever takes a prefix gets every class.
    assert set(corpus.train_labels[:60]) == set(corpus.target_names)


def test_a_second_call_gives_the_same_and_leaves_the_random_state(corpus):
    random_before, numpy_before = random.getstate(), np.random.get_state()[1].tolist()
    parts = load_docstrings(return_X_y=True)
    assert random.getstate() == random_before
    assert np.random.get_state()[1].tolist() == numpy_before
    assert parts == (
        corpus.train_texts,
        corpus.test_texts,
        corpus.train_labels,
        corpus.test_labels,
    )


def test_no_package_name_or_alias_is_left(corpus):
    texts = corpus.train_texts + corpus.test_texts
    name = re.compile(r"numpy|scipy|sklearn|scikit|torch|sympy|networkx", re.IGNORECASE)
    # Parts of an identifier count as words: np_array, torch.nn, _sp_matrix.
    alias = re.compile(r"(?:^|[^a-z0-9])(?:np|npt|npy|sp|nx|nn|plt)(?:$|[^a-z0-9])", re.IGNORECASE)
    imports = re.compile(r"^\s*(?:>>>|\.\.\.)?\s*(?:import \w|from [\w.]+ import\b)", re.MULTILINE)
    for text in texts:
        for pattern in (name, alias, imports):
            assert not pattern.search(text), text


@pytest.mark.parametrize(
    ("docstring", "left"),
    [
        ("A torch.nn.functional.relu of it", "A relu of it"),
        ("see :class:`~sklearn.svm.SVC` there", "see :class:`~SVC` there"),
        ("a numpy_array or is_np, PyTorch and NumPy.", "a _array or is_,  and ."),
        ("Raises NetworkXError, SymPyError", "Raises Error, Error"),
        ("scikit-learn, Scikit Learn, scikit-\n  image", ", , -\nimage"),
        (">>> import numpy as np\n>>> np.sum(x)", ">>> sum(x)"),
        ("x\n    from scipy import stats\n    stats.norm()", "x\nstats.norm()"),
        ("x\n>>> from scipy.sparse import (\n...     csr_array,\n... )\n>>> y", "x\n>>> y"),
        ("F.relu(f.data, input, span, 3 + np)", "relu(f.data, input, span, 3 + )"),
        ("Read https://numpy.org/doc now", "Read  now"),
        ("a\n\n.. versionadded:: 1.2\n\nb", "a\n\n\nb"),
    ],
)
def test_label_is_taken_out_of_the_text(docstring, left):
    assert docstrings._without_label(docstring) == left


def test_texts_have_words_and_are_not_endless(corpus):
    for text in corpus.train_texts + corpus.test_texts:
        assert len(re.findall(r"\w+", text)) >= 8
        assert len(text) <= 2000


def test_no_text_occurs_twice(corpus):
    words = [" ".join(re.findall(r"\w+", t.lower())) for t in corpus.train_texts]
    words += [" ".join(re.findall(r"\w+", t.lower())) for t in corpus.test_texts]
    assert len(words) == len(set(words))


def test_no_near_duplicate_across_the_split(corpus):
    # Another definition than the one the split is made by: Jaccard of five-word shingles.
    shingles = CountVectorizer(ngram_range=(5, 5), binary=True, token_pattern=r"\w+")
    both = shingles.fit_transform(corpus.train_texts + corpus.test_texts).astype(np.float32)
    train, test = both[: len(corpus.train_texts)], both[len(corpus.train_texts) :]
    shared = sparse.coo_matrix(test @ train.T)
    n_test, n_train = test.sum(axis=1).A1[shared.row], train.sum(axis=1).A1[shared.col]
    assert (shared.data / (n_test + n_train - shared.data)).max() < 0.8


@pytest.fixture
def fake_packages(tmp_path, monkeypatch):
    """Write packages of given modules, and let the loader find these alone."""

    def write(**packages):
        folders = []
        for package, modules in packages.items():
            for name, source in modules.items():
                path = tmp_path / package / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(source, encoding="utf-8")
            folders.append((package, tmp_path / package))
        monkeypatch.setattr(docstrings, "_package_folders", lambda: iter(folders))

    return write


LOREM = "adds one number to another and says what came of it at last"


def test_docstrings_are_read_wherever_they_stand(fake_packages):
    fake_packages(
        one={
            "a.py": f'"""Module: {LOREM}"""\n'
            f'class A:\n    """Class: {LOREM}"""\n'
            f'    async def f(self):\n        """Method: {LOREM}"""\n'
            f'if True:\n    def g():\n        """Function: {LOREM}"""\n',
            "b.py": f'add_newdoc("one", "f", ("g", """Given: {LOREM} {{input}}"""))\n'
            f'f = _add_docstr(f, r"""Assigned: {LOREM}""" + "x")\n',
            "tests/test_a.py": f'"""Test: {LOREM}"""',
            "_vendor/c.py": f'"""Copy: {LOREM}"""',
            "broken.py": "def f(:",
        },
        two={"d.py": f'"""Other: {LOREM}"""'},
    )
    corpus = load_docstrings()
    texts = corpus.train_texts + corpus.test_texts
    found = {text.split(":")[0] for text in texts}
    assert found == {"Module", "Class", "Method", "Function", "Given", "Assigned", "Other"}
    assert not any("input" in text for text in texts)


def test_a_text_of_two_packages_is_dropped_and_a_copy_kept_once(fake_packages):
    fake_packages(
        one={"a.py": f'"""Same: {LOREM}"""', "b.py": f'"""Mine: {LOREM}"""'},
        two={
            "c.py": f'"""same {LOREM}."""',
            "d.py": f'"""Two: {LOREM}"""\nclass A:\n    """Two:  {LOREM}"""',
        },
    )
    corpus = load_docstrings()
    texts = corpus.train_texts + corpus.test_texts
    assert sorted(text.split(":")[0] for text in texts) == ["Mine", "Two"]


def test_look_alikes_are_one_group_and_longer_versions_too():
    words = tuple(str(i) for i in range(40))
    changed = (*words[:20], "x", *words[21:])
    other = tuple(f"other{i}" for i in range(40))
    groups = docstrings._look_alikes([words, other, changed, words + other[:9], other[5:30]])
    assert groups[0] == groups[2] == groups[3]
    assert groups[1] == groups[4] != groups[0]


def test_one_package_is_not_enough(fake_packages):
    fake_packages(one={"a.py": f'"""{LOREM}"""'}, two={"b.py": "x = 1"})
    with pytest.raises(RuntimeError, match=r"two of these packages.*Found: one"):
        load_docstrings()


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(docstrings, "_PACKAGES", ("numpy", "no_such_package_at_all"))
    assert [name for name, _ in docstrings._package_folders()] == ["numpy"]
