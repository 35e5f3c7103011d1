"""What the text estimators share: pairs, sequences."""

import pickle
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from samples import small_classifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline

from skfnet import FNetClassifier, TextTokenizer

QUESTIONS = [
    (f"is the {noun} {colour}?", f"yes, {other} it is")
    for noun in ("car", "house", "door", "boat")
    for colour in ("red", "green")
    for other in ("red", "green")
] * 4
COLOURS = [answer.split()[1] for _, answer in QUESTIONS]  # in the second text alone


def test_pairs_of_texts_are_read_with_their_order():
    pairs = [
        (f"a {noun} in {one}", f"a {noun} in {other}")
        for noun in ("car", "house", "door", "boat")
        for one, other in permutations(("red", "green", "blue"), 2)
    ] * 4
    firsts, seconds = ([text.split()[-1] for text in side] for side in zip(*pairs, strict=True))
    clf = small_classifier(max_epochs=40).fit(pairs, seconds)
    assert clf.score(pairs, seconds) == 1
    assert clf.score([(b, a) for a, b in pairs], firsts) == 1
    expected = clf.predict_proba(pairs)
    frame = pd.DataFrame(pairs, columns=["question", "answer"])
    np.testing.assert_array_equal(clf.predict_proba(frame), expected)
    np.testing.assert_array_equal(clf.predict_proba(clf.tokenizer_.transform(frame)), expected)
    alone = np.concatenate([clf.predict_proba([pair]) for pair in pairs[:16]])
    np.testing.assert_allclose(alone, expected[:16], atol=1e-5)


def test_pairs_in_a_pipeline_and_in_a_grid_search(tmp_path):
    steps = [("tokens", TextTokenizer()), ("clf", small_classifier(max_epochs=20))]
    search = GridSearchCV(
        Pipeline(steps, memory=str(tmp_path)), {"clf__width": [8, 16]}, cv=2, error_score="raise"
    )
    assert search.fit(QUESTIONS, COLOURS).best_score_ > 0.9


def test_single_texts_and_pairs_are_not_mixed_up():
    texts = [question for question, _ in QUESTIONS]
    clf = small_classifier(max_epochs=1).fit(QUESTIONS, COLOURS)
    for X in (texts, TextTokenizer().fit_transform(texts)):
        with pytest.raises(ValueError, match="X holds single texts, but .* on pairs of texts"):
            clf.predict(X)
    with pytest.raises(ValueError, match="X holds pairs of texts, but .* on single texts"):
        small_classifier(max_epochs=1).fit(texts, COLOURS).predict(QUESTIONS)
    with pytest.raises(ValueError, match="pairs of texts, but"):
        small_classifier(max_epochs=1).fit(texts, COLOURS).partial_fit(QUESTIONS, COLOURS)


def test_a_pair_needs_room_for_three_special_tokens():
    with pytest.raises(ValueError, match="max_length=3 leaves no room .* 3 special"):
        small_classifier(max_length=3).fit(QUESTIONS, COLOURS)
    with pytest.warns(UserWarning, match="64 of 64 documents are longer"):
        small_classifier(max_length=6, max_epochs=1).fit(QUESTIONS, COLOURS)


def test_sequences_of_ids_are_learned_as_they_are():
    random = np.random.default_rng(0)
    rows = [random.integers(1, 9, size=random.integers(1, 12)) for _ in range(200)]
    labels = ["odd" if 7 in row else "even" for row in rows]
    clf = small_classifier(tokenizer="precomputed", max_epochs=30).fit(rows, labels)
    assert clf.score(rows, labels) > 0.9
    assert clf.tokenizer_ is None
    assert clf.encoder_.config.vocab_size == 9
    with pytest.raises(ValueError, match="Row 1 of X holds the token id 9"):
        clf.predict([[1], [9]])
    twin = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(twin.predict_proba(rows), clf.predict_proba(rows))
    assert cross_val_score(clf, rows, labels, cv=2).shape == (2,)


@pytest.mark.parametrize(
    ("largest_id", "expected"),
    [(30, 2**15), (1023, 2**15), (1024, 2**16), (4095, 2**17), (30_000, 2**18)],
)
def test_the_rows_for_pairs_grow_with_the_vocabulary(largest_id, expected):
    clf = FNetClassifier(
        tokenizer="precomputed", depth=0, width=2, n_encoders=1, max_epochs=1, device="cpu"
    )
    clf.fit([[0, largest_id], [1, 2]], [0, 1])
    assert clf.encoder_.config.bigram_buckets == expected
