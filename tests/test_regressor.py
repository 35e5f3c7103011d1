"""FNetRegressor: numbers from text."""

import pickle

import numpy as np
import pandas as pd
import pytest
from samples import generated_reviews, read_pairs
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from skfnet import FNetRegressor, TextTokenizer

TEXTS, TOPICS = generated_reviews(120)
NUMBERS = np.array([{"weather": 10.0, "kitchen": 20.0, "football": 60.0}[t] for t in TOPICS])
OTHERS, OTHER_TOPICS = generated_reviews(60, seed=1)
OTHER_NUMBERS = np.array(
    [{"weather": 10.0, "kitchen": 20.0, "football": 60.0}[t] for t in OTHER_TOPICS]
)


def small_regressor(**changes):
    parameters = dict(
        depth=1,
        width=16,
        n_encoders=1,
        max_epochs=12,
        batch_size=16,
        learning_rate=1e-2,
        device="cpu",
    )
    return FNetRegressor(random_state=0, **(parameters | changes))


@pytest.fixture(scope="module")
def fitted():
    return small_regressor().fit(TEXTS, NUMBERS)


def test_it_learns_numbers_on_their_own_scale(fitted):
    assert fitted.score(OTHERS, OTHER_NUMBERS) > 0.9
    predicted = fitted.predict(OTHERS)
    assert predicted.shape == (60,)
    assert predicted.dtype == np.float64
    assert fitted.transform(OTHERS).shape == (60, 16)
    assert fitted.target_mean_ == pytest.approx(NUMBERS.mean())
    assert fitted.target_scale_ == pytest.approx(NUMBERS.std())
    assert set(fitted.history_[-1]) == {"epoch", "seconds", "train_loss"}


def test_a_shift_and_a_scale_of_the_targets_come_through(fitted):
    shifted = small_regressor().fit(TEXTS, 1e6 - 1000 * NUMBERS)
    twin = -fitted.predict(OTHERS)
    ours = (shifted.predict(OTHERS) - 1e6) / 1000
    assert np.corrcoef(ours, twin)[0, 1] > 0.95
    assert np.abs(ours - twin).max() < 15


def test_several_numbers_a_document():
    y = np.c_[NUMBERS, -NUMBERS, np.full(len(TEXTS), 7.0)]
    reg = small_regressor().fit(TEXTS, y)
    predicted = reg.predict(OTHERS)
    assert predicted.shape == (60, 3)
    assert reg.n_outputs_ == 3
    np.testing.assert_allclose(predicted[:, 0], -predicted[:, 1], atol=15)
    assert np.abs(predicted[:, 2] - 7).max() < 1
    assert reg.score(OTHERS, np.c_[OTHER_NUMBERS, -OTHER_NUMBERS, np.full(60, 7.0)]) > 0.5


def test_same_seed_same_numbers_and_pickle(fitted):
    again = clone(fitted).fit(TEXTS, NUMBERS)
    np.testing.assert_array_equal(again.predict(OTHERS), fitted.predict(OTHERS))
    twin = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(twin.predict(OTHERS), fitted.predict(OTHERS))


def test_one_document_one_answer(fitted):
    together = fitted.predict(OTHERS)
    alone = np.concatenate([fitted.predict([text]) for text in OTHERS])
    np.testing.assert_allclose(alone, together, rtol=1e-5)


def test_weight_nought_is_no_row(fitted):
    wrong = [*TEXTS, "zebra " * 5]
    weighted = small_regressor().fit(wrong, [*NUMBERS, 1e9], [1] * len(TEXTS) + [0])
    np.testing.assert_array_equal(weighted.predict(OTHERS), fitted.predict(OTHERS))


def test_early_stopping_holds_documents_out():
    reg = small_regressor(early_stopping=True, max_epochs=40, n_iter_no_change=2)
    reg.fit(TEXTS, NUMBERS)
    assert "valid_loss" in reg.history_[-1]
    assert reg.n_iter_ < 40
    with pytest.raises(ValueError, match="each side needs one"):
        small_regressor(early_stopping=True).fit(TEXTS[:1], NUMBERS[:1])


def test_a_stream():
    reg = small_regressor()
    for _ in range(12):
        for i in range(0, 120, 40):
            reg.partial_fit(TEXTS[i : i + 40], NUMBERS[i : i + 40])
    assert reg.score(OTHERS, OTHER_NUMBERS) > 0.8
    with pytest.raises(ValueError, match="2 numbers a document, but FNetRegressor was fitted on 1"):
        reg.partial_fit(TEXTS, np.c_[NUMBERS, NUMBERS])


def test_warm_start_goes_on_and_refuses_another_number_of_outputs():
    reg = small_regressor(max_epochs=2, warm_start=True).fit(TEXTS, NUMBERS)
    before = reg.history_[-1]["train_loss"]
    reg.fit(TEXTS, NUMBERS)
    assert reg.history_[-1]["train_loss"] < before
    with pytest.raises(ValueError, match="2 numbers a document"):
        reg.fit(TEXTS, np.c_[NUMBERS, NUMBERS])


def test_in_searches_and_pipelines():
    assert cross_val_score(small_regressor(), TEXTS, NUMBERS, cv=2).mean() > 0.7
    search = GridSearchCV(
        make_pipeline(TextTokenizer(), small_regressor()), {"fnetregressor__width": [8, 16]}, cv=2
    )
    assert search.fit(TEXTS, NUMBERS).best_score_ > 0.5


@pytest.mark.parametrize("y", [NUMBERS.tolist(), pd.Series(NUMBERS), NUMBERS.astype(np.float32)])
def test_any_container_of_numbers(fitted, y):
    reg = small_regressor().fit(TEXTS, y)
    np.testing.assert_allclose(reg.predict(OTHERS), fitted.predict(OTHERS), rtol=1e-4)


def test_what_is_no_number_is_refused_before_training():
    for y in (TOPICS, [None, *NUMBERS[1:]], [np.inf, *NUMBERS[1:]]):
        with pytest.raises(ValueError, match="[Rr]ow 0"):
            small_regressor().fit(TEXTS, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        small_regressor().fit(TEXTS, NUMBERS[:-1])
    with pytest.raises(ValueError, match="y to be passed"):
        small_regressor().fit(TEXTS, None)


def test_similarity_of_real_pairs():
    pairs, scores = read_pairs("stsb", "train")
    scores = np.array(scores, dtype=float)
    reg = FNetRegressor(n_encoders=1, max_epochs=3, random_state=0, device="cpu")
    predicted = reg.fit(pairs[:3000], scores[:3000]).predict(pairs[3000:])
    assert np.corrcoef(predicted, scores[3000:])[0, 1] > 0.6
