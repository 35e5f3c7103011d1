"""scikit-learn's tools around our estimators, on texts."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from samples import generated_reviews, small_classifier
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (allows the next import)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skfnet import FNetClassifier, TextTokenizer

TEXTS, TOPICS = generated_reviews(90, seed=1)
TOPICS = np.array(TOPICS)
OTHERS, EXPECTED = generated_reviews(30, seed=2)


def classifier(**changes):
    return small_classifier(**({"max_epochs": 8, "batch_size": 8, "max_length": 256} | changes))


def answers(estimator, X=OTHERS):
    return estimator.predict_proba(X)


# --- cross-validation -------------------------------------------------------------------


def test_cross_validation():
    scores = cross_val_score(classifier(), TEXTS, TOPICS, cv=3)
    assert scores.shape == (3,)
    assert scores.min() > 0.8
    result = cross_validate(
        classifier(),
        pd.Series(TEXTS),
        TOPICS,
        cv=3,
        scoring=["accuracy", "neg_log_loss", "roc_auc_ovr"],
        return_train_score=True,
        return_estimator=True,
    )
    np.testing.assert_array_equal(result["test_accuracy"], scores)
    assert result["test_roc_auc_ovr"].min() > 0.9
    assert result["test_neg_log_loss"].min() > -0.9
    vocabularies = {e.tokenizer_.tokenizer_.to_str() for e in result["estimator"]}
    assert len(vocabularies) == 3  # each learned from its own fold


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_cross_val_predict_is_each_folds_own_answer(method):
    folds = StratifiedKFold(2)
    got = cross_val_predict(classifier(), TEXTS, TOPICS, cv=folds, method=method)
    texts = np.array(TEXTS, dtype=object)
    for train, test in folds.split(TEXTS, TOPICS):
        own = classifier().fit(texts[train], TOPICS[train])
        expected = getattr(own, method)(texts[test])
        if method == "predict":
            assert np.array_equal(got[test], expected)
        else:
            np.testing.assert_allclose(got[test], expected, atol=1e-6)


def test_learning_curve():
    sizes, _, test = learning_curve(
        classifier(), TEXTS, TOPICS, cv=3, train_sizes=[6, 60], shuffle=True, random_state=0
    )
    assert sizes.tolist() == [6, 60]
    assert test[1].mean() > test[0].mean()


# --- searches ---------------------------------------------------------------------------


def test_a_grid_of_depth_and_width():
    grid = {"depth": [1, 2], "width": [8, 16]}
    search = GridSearchCV(classifier(), grid, cv=3).fit(TEXTS, TOPICS)
    assert len(search.cv_results_["params"]) == 4
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    encoder = search.best_estimator_.encoder_.config
    assert {"depth": encoder.depth, "width": encoder.width} == search.best_params_
    assert search.score(OTHERS, EXPECTED) > 0.8
    assert search.transform(OTHERS).shape == (30, search.best_params_["width"])


def test_a_grid_on_two_processes_is_the_grid_on_one():
    grid = {"width": [8, 16]}
    one, two = (
        GridSearchCV(classifier(), grid, cv=2, n_jobs=n_jobs).fit(TEXTS, TOPICS)
        for n_jobs in (None, 2)
    )
    # Another process may sum on another number of threads.
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_allclose(one.cv_results_[name], two.cv_results_[name], atol=0.05)
    np.testing.assert_allclose(answers(one), answers(two), atol=1e-4)


def test_a_grid_over_the_tokenizer():
    clf = classifier(tokenizer=TextTokenizer(min_frequency=1))
    grid = {"tokenizer__vocab_size": [261, 1000], "tokenizer__lowercase": [False]}
    search = GridSearchCV(clf, grid, cv=2).fit(TEXTS, TOPICS)
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    best = search.best_params_["tokenizer__vocab_size"]
    assert search.best_estimator_.tokenizer_.vocab_size == best
    assert not hasattr(clf.tokenizer, "tokenizer_")


def test_a_frozen_tokenizer_comes_through_a_grid_as_it_was():
    tokenizer = TextTokenizer().fit([*TEXTS, "unheard words altogether"] * 2)
    clf = classifier(tokenizer=FrozenEstimator(tokenizer))
    search = GridSearchCV(clf, {"width": [8, 16]}, cv=2).fit(TEXTS, TOPICS)
    assert search.best_estimator_.tokenizer_.tokenizer_.to_str() == tokenizer.tokenizer_.to_str()
    assert search.best_score_ > 0.7


def test_halving_over_epochs():
    search = HalvingGridSearchCV(
        classifier(),
        {"width": [4, 8, 16, 24]},
        resource="max_epochs",
        min_resources=1,
        max_resources=4,
        factor=2,
        cv=2,
        random_state=0,
    ).fit(np.array(TEXTS, dtype=object), TOPICS)
    assert search.n_resources_ == [1, 2, 4]
    assert search.best_estimator_.n_iter_ == 4


def test_a_search_that_fails_says_why():
    search = GridSearchCV(classifier(), {"depth": [-1]}, cv=2)
    with pytest.raises(ValueError, match="'depth' parameter of FNetClassifier"):
        search.fit(TEXTS, TOPICS)


# --- around one classifier --------------------------------------------------------------


def test_calibration():
    for ensemble in (True, False):
        clf = CalibratedClassifierCV(classifier(), cv=2, ensemble=ensemble).fit(TEXTS, TOPICS)
        assert clf.score(OTHERS, EXPECTED) > 0.8
    prefit = CalibratedClassifierCV(FrozenEstimator(classifier().fit(TEXTS, TOPICS)))
    assert prefit.fit(OTHERS, EXPECTED).score(TEXTS, TOPICS) > 0.8


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_voting_beside_another_kind_of_classifier(voting):
    words = make_pipeline(TfidfVectorizer(), LogisticRegression())
    members = [("fnet", classifier()), ("words", words)]
    clf = VotingClassifier(members, voting=voting).fit(TEXTS, TOPICS)
    assert clf.score(OTHERS, EXPECTED) > 0.8


def test_stacking():
    members = [("fnet", classifier()), ("other", classifier(pooling="max"))]
    clf = StackingClassifier(members, LogisticRegression(), cv=2).fit(TEXTS, TOPICS)
    assert clf.score(OTHERS, EXPECTED) > 0.8
    assert clf.transform(OTHERS).shape == (30, 6)


def test_one_against_the_rest():
    clf = OneVsRestClassifier(classifier()).fit(TEXTS, TOPICS)
    assert len(clf.estimators_) == 3
    assert clf.score(OTHERS, EXPECTED) > 0.8
    several = np.stack([TOPICS == "kitchen", TOPICS != "football"], axis=1).astype(int)
    labels = OneVsRestClassifier(classifier()).fit(TEXTS, several).predict(OTHERS)
    assert labels.shape == (30, 2)


def test_a_tuned_threshold():
    clf = TunedThresholdClassifierCV(classifier(), cv=2, scoring="f1").fit(
        TEXTS, (TOPICS == "kitchen").astype(int)
    )
    assert 0 <= clf.best_threshold_ <= 1
    assert (clf.predict(OTHERS) == (np.array(EXPECTED) == "kitchen")).mean() > 0.8


def test_frozen():
    clf = classifier().fit(TEXTS, TOPICS)
    frozen = FrozenEstimator(clf).fit(OTHERS, EXPECTED)
    assert np.array_equal(answers(frozen), answers(clf))
    assert clone(frozen).estimator is clf
    features = make_pipeline(frozen, LogisticRegression()).fit(TEXTS, TOPICS)
    assert features.score(OTHERS, EXPECTED) > 0.8


@pytest.mark.parametrize("scorer", ["accuracy", "neg_log_loss", "f1_macro", "roc_auc_ovo"])
def test_scorers(scorer):
    clf = classifier().fit(TEXTS, TOPICS)
    assert np.isfinite(get_scorer(scorer)(clf, OTHERS, EXPECTED))


# --- pipelines --------------------------------------------------------------------------


def test_as_the_last_step_and_as_a_step():
    last = make_pipeline(classifier()).fit(TEXTS, TOPICS)
    assert np.array_equal(answers(last), answers(classifier().fit(TEXTS, TOPICS)))
    step = make_pipeline(classifier(), LogisticRegression()).fit(TEXTS, TOPICS)
    assert step.score(OTHERS, EXPECTED) > 0.8


def tokens_first(memory=None, tokenizer=None):
    steps = [("tokens", tokenizer or TextTokenizer()), ("clf", classifier())]
    return Pipeline(steps, memory=memory)


def test_tokens_first_is_the_same_classifier():
    pipeline = tokens_first().fit(TEXTS, TOPICS)
    clf = classifier().fit(TEXTS, TOPICS)
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        assert np.array_equal(getattr(pipeline, method)(OTHERS), getattr(clf, method)(OTHERS))


class CountingTokenizer(TextTokenizer):
    """Leaves a line in a file at each fit, whatever process it runs in."""

    def __init__(self, *, log=None):
        super().__init__()
        self.log = log

    def fit(self, X, y=None):
        self._write()
        return super().fit(X, y)

    def fit_transform(self, X, y=None):
        self._write()
        return super().fit_transform(X, y)

    def _write(self):
        with open(self.log, "a") as file:
            file.write("fit\n")


def test_with_memory_each_fold_is_tokenized_once(tmp_path):
    log = tmp_path / "log"
    grid = {"clf__width": [8, 16]}

    def search(memory):
        tokenizer = CountingTokenizer(log=str(log))
        return GridSearchCV(tokens_first(memory, tokenizer), grid, cv=3).fit(TEXTS, TOPICS)

    cached = search(str(tmp_path / "cache"))
    assert log.read_text().count("fit") == 3 + 1  # three folds, and all at the end
    again = search(str(tmp_path / "cache"))
    assert log.read_text().count("fit") == 4  # found on disk
    plain = search(None)
    assert log.read_text().count("fit") == 4 + 3 * 2 + 1
    for other in (again, plain):
        assert np.array_equal(answers(other), answers(cached))
        assert np.array_equal(
            other.cv_results_["mean_test_score"], cached.cv_results_["mean_test_score"]
        )


@pytest.mark.parametrize("slot", ["tokens", "passthrough"])
def test_cross_validation_of_ready_tokens(slot):
    tokens = TextTokenizer().fit_transform(TEXTS)
    estimator = classifier()
    if slot == "passthrough":
        estimator = Pipeline([("nothing", "passthrough"), ("clf", classifier())])
    scores = cross_val_score(estimator, tokens, TOPICS, cv=3, error_score="raise")
    assert scores.min() > 0.7


def test_a_union_with_another_vectorizer():
    union = FeatureUnion([("fnet", classifier()), ("tfidf", TfidfVectorizer())])
    pipeline = make_pipeline(union, LogisticRegression()).fit(TEXTS, TOPICS)
    assert pipeline.score(OTHERS, EXPECTED) > 0.8
    names = pipeline[0].get_feature_names_out()
    assert names[0] == "fnet__fnetclassifier0"
    assert len(names) == pipeline[0].transform(OTHERS).shape[1]


FRAME = pd.DataFrame({"text": TEXTS, "kind": ["a", "b"] * 45}, index=range(200, 290))


@pytest.mark.parametrize("column", ["text", ["text"], 0, [0], slice(0, 1)], ids=str)
def test_a_column_of_a_frame(column):
    transformer = ColumnTransformer([("fnet", classifier(), column)]).fit(FRAME, TOPICS)
    expected = classifier().fit(TEXTS, TOPICS).transform(OTHERS)
    others = pd.DataFrame({"text": OTHERS, "kind": "a"})
    assert np.array_equal(transformer.transform(others), expected)


def test_a_column_of_an_array():
    array = np.array([TEXTS, FRAME["kind"]], dtype=object).T
    others = np.array([OTHERS, ["a"] * 30], dtype=object).T
    expected = classifier().fit(TEXTS, TOPICS).transform(OTHERS)
    for column in (0, [0]):
        transformer = ColumnTransformer([("fnet", classifier(), column)]).fit(array, TOPICS)
        assert np.array_equal(transformer.transform(others), expected)
    alone = classifier().fit(array[:, [0]], TOPICS)
    assert np.array_equal(alone.transform(others[:, [0]]), expected)


def test_beside_other_columns():
    columns = make_column_transformer((classifier(), "text"), (OneHotEncoder(), ["kind"]))
    pipeline = make_pipeline(columns, LogisticRegression())
    assert cross_val_score(pipeline, FRAME, TOPICS, cv=2).min() > 0.7


# --- set_output -------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_frames_come_out(container):
    clf = classifier().set_output(transform=container)
    expected = classifier().fit(TEXTS, TOPICS).transform(TEXTS)
    for X in (TEXTS, FRAME["text"], FRAME[["text"]]):
        frame = clf.fit_transform(X, TOPICS)
        assert type(frame).__module__.startswith(container)
        assert list(frame.columns) == [f"fnetclassifier{i}" for i in range(16)]
        assert np.array_equal(frame.to_numpy(), expected)
        if container == "pandas" and X is not TEXTS:
            assert frame.index.equals(FRAME.index)


def test_frames_come_out_of_a_pipeline_with_tokens():
    pipeline = tokens_first().set_output(transform="pandas").fit(TEXTS, TOPICS)
    frame = pipeline.transform(OTHERS)
    assert isinstance(frame, pd.DataFrame)
    assert frame.shape == (30, 16)
    assert np.array_equal(answers(pipeline), answers(tokens_first().fit(TEXTS, TOPICS)))
    table = ColumnTransformer([("fnet", classifier(), "text")]).set_output(transform="pandas")
    named = table.fit_transform(FRAME, TOPICS)
    assert list(named.columns)[:2] == ["fnet__fnetclassifier0", "fnet__fnetclassifier1"]
    assert named.index.equals(FRAME.index)


def test_the_global_setting_is_heard():
    with sklearn.config_context(transform_output="pandas"):
        pipeline = tokens_first().fit(TEXTS, TOPICS)
        assert isinstance(pipeline.transform(OTHERS), pd.DataFrame)


# --- metadata routing -------------------------------------------------------------------


def weights_of(clf):
    return clf.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)


def test_sample_weights_are_routed():
    weights = np.where(TOPICS == "football", 0.0, 1.0)  # as if there were no football
    with sklearn.config_context(enable_metadata_routing=True):
        result = cross_validate(
            weights_of(classifier()),
            TEXTS,
            TOPICS,
            cv=2,
            params={"sample_weight": weights},
            return_estimator=True,
        )
        for fitted in result["estimator"]:
            assert fitted.classes_.tolist() == ["kitchen", "weather"]
        assert result["test_score"].min() > 0.8  # football counts for nothing here too
        for pipeline in (
            make_pipeline(weights_of(classifier())),
            tokens_first().set_params(clf=weights_of(classifier())),
        ):
            pipeline.fit(TEXTS, TOPICS, sample_weight=weights)
            assert pipeline.classes_.tolist() == ["kitchen", "weather"]
        search = GridSearchCV(weights_of(classifier()), {"width": [8]}, cv=2)
        search.fit(TEXTS, TOPICS, sample_weight=weights)
        assert search.best_estimator_.classes_.tolist() == ["kitchen", "weather"]
        with pytest.raises(ValueError, match="sample_weight.*not explicitly set"):
            GridSearchCV(classifier(), {"width": [8]}, cv=2).fit(
                TEXTS, TOPICS, sample_weight=weights
            )


def test_sample_weights_through_a_pipeline_without_routing():
    weights = np.where(TOPICS == "football", 0.0, 1.0)
    pipeline = tokens_first().fit(TEXTS, TOPICS, clf__sample_weight=weights)
    assert pipeline.classes_.tolist() == ["kitchen", "weather"]
    scores = pipeline.score(TEXTS, TOPICS, sample_weight=weights)
    assert scores > pipeline.score(TEXTS, TOPICS)


# --- parameters and display -------------------------------------------------------------


def test_clone_and_nested_parameters():
    clf = FNetClassifier(tokenizer=TextTokenizer(vocab_size=400), width=24)
    twin = clone(clf)
    assert twin.tokenizer is not clf.tokenizer
    assert twin.get_params()["tokenizer__vocab_size"] == 400
    twin.set_params(tokenizer__vocab_size=500, depth=3)
    assert (twin.tokenizer.vocab_size, twin.depth) == (500, 3)
    assert clf.tokenizer.vocab_size == 400
    with pytest.raises(ValueError, match="Invalid parameter 'heads'"):
        clf.set_params(heads=2)


@pytest.mark.parametrize("fit", [False, True])
def test_display(fit):
    estimator = tokens_first()
    if fit:
        estimator.fit(TEXTS, TOPICS)
    html = estimator._repr_html_()
    for shown in ("FNetClassifier", "TextTokenizer", "max_epochs"):
        assert shown in html
    assert repr(FNetClassifier(width=24)) == "FNetClassifier(width=24)"
    assert repr(FNetClassifier()) == "FNetClassifier()"
    assert "FNetClassifier" in repr(estimator)
