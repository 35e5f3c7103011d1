"""The training loop as a callback sees it."""

import random

import numpy as np
import pytest
import torch
from samples import small_classifier
from skorch.callbacks import Callback

from skfnet.batches import SpecialTokens, TokenArray
from skfnet.callbacks import GradientClipping
from skfnet.training import LabelledWindows, epochs_for
from skfnet.windows import Windows


class Recorder(Callback):
    """Writes down what happens at each step."""

    def initialize(self):
        self.rates, self.norms, self.batches, self.valid_batches = [], [], [], []
        return self

    def on_epoch_begin(self, net, **kwargs):
        self.batches.append([])

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if not training:
            self.valid_batches.append(batch)
            return
        self.rates.append(net.optimizer_.param_groups[0]["lr"])
        self.batches[-1].append(batch)

    def on_grad_computed(self, net, named_parameters, **kwargs):
        squares = [
            p.grad.square().sum()
            for _, p in named_parameters
            if p.grad is not None and not p.grad.is_sparse
        ]
        self.norms.append(torch.stack(squares).sum().sqrt().item())
        self.decay = {
            id(parameter): group.get("weight_decay", 0)
            for group in net.optimizer_.param_groups
            for parameter in group["params"]
        }
        self.parameters = dict(net.module_.named_parameters())
        self.group_rates = [group["lr"] for group in net.optimizer_.param_groups]


def recorded(reviews, sample_weight=None, **parameters):
    texts, topics, _, _ = reviews
    recorder = Recorder()
    clf = small_classifier(callbacks=[recorder], **parameters)
    return recorder, clf.fit(texts, topics, sample_weight=sample_weight)


def test_the_rate_rises_and_falls_to_nothing(reviews):
    recorder, _ = recorded(reviews, learning_rate=0.01, max_epochs=10)
    rates = np.array(recorder.rates)
    assert len(rates) == 100  # 150 documents, 16 in a batch, 10 epochs
    top = rates.argmax()
    assert rates[top] == pytest.approx(0.01)
    assert 5 <= top <= 15
    assert rates[0] <= 0.002
    assert rates[-1] <= 0.0003
    assert (np.diff(rates[:top]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()


def test_in_a_stream_the_rate_rises_and_stays(reviews):
    texts, topics, _, _ = reviews
    recorder = Recorder()
    clf = small_classifier(callbacks=[recorder], learning_rate=0.01)
    rates = []
    for _ in range(5):
        clf.partial_fit(texts, topics, classes=np.unique(topics))
        rates += recorder.rates[len(rates) :]
    assert len(rates) == 50
    assert rates[0] <= 0.002
    assert (np.diff(rates) >= 0).all()
    assert rates[25:] == pytest.approx([0.01] * 25)


def test_large_gradients_are_clipped(reviews):
    weights = np.ones(150)
    weights[7] = 10_000  # a batch that holds this row has a huge loss
    recorder, _ = recorded(reviews, weights)
    assert max(recorder.norms) == pytest.approx(1, rel=1e-3)
    assert min(recorder.norms) < 0.9


def test_a_gradient_of_nought_is_none_to_clip(reviews):
    class Nought(GradientClipping):
        def on_grad_computed(self, net, **kwargs):
            for weight in net.module_.parameters():
                if weight.grad is not None:
                    weight.grad.zero_()
            super().on_grad_computed(net, **kwargs)

    texts, topics, _, _ = reviews
    clf = small_classifier(callbacks=[Nought()], max_epochs=1).fit(texts, topics)
    assert np.isfinite(clf.predict_proba(texts)).all()


def test_a_large_gradient_of_one_encoder_leaves_the_others_alone(reviews):
    class Spoiled(Callback):
        def on_train_begin(self, net, **kwargs):
            with torch.no_grad():
                net.module_.members[0].output.weight.mul_(1000)

    texts, topics, _, _ = reviews
    parameters = dict(n_encoders=2, batch_size=150, max_epochs=1, dropout=0.0)
    plain = small_classifier(**parameters).fit(texts, topics)
    spoiled = small_classifier(**parameters, callbacks=[Spoiled()]).fit(texts, topics)
    members = [clf._model.members[1].state_dict() for clf in (plain, spoiled)]
    for name, weight in members[0].items():
        torch.testing.assert_close(members[1][name], weight, rtol=1e-5, atol=1e-7)


def test_only_the_matrices_of_dense_layers_decay(reviews):
    recorder, _ = recorded(reviews, weight_decay=0.125, pooling="cls", max_epochs=1)
    decaying = {
        name for name, parameter in recorder.parameters.items() if recorder.decay[id(parameter)]
    }
    dense = {
        name
        for name, parameter in recorder.parameters.items()
        if parameter.ndim == 2 and "embeddings" not in name
    }
    assert decaying == dense
    assert {recorder.decay[id(recorder.parameters[name])] for name in dense} == {0.125}
    assert len(dense) == 5  # two of the feed-forward layer, the mixer's, the pooling's, the output


def test_tables_have_higher_rates(reviews):
    recorder, _ = recorded(reviews, max_epochs=1)
    rates = np.array(recorder.group_rates) / recorder.rates[-1]
    assert rates == pytest.approx([1, 1, 15, 40, 40])


@pytest.mark.filterwarnings("error")
def test_a_callback_ends_the_training_without_a_warning(reviews):
    class Enough(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    clf = small_classifier(callbacks=[Enough()]).fit(*reviews[:2])
    assert clf.n_iter_ == 1


def test_every_document_is_seen_once_in_an_epoch(reviews):
    recorder, clf = recorded(reviews, max_epochs=3)
    tokens = clf.tokenizer_.transform(reviews[0])
    assert tokens.ids.max() < tokens.vocab_size
    expected = sorted(row.tolist() for row in tokens)
    for epoch in recorder.batches:
        seen = []
        for inputs, _ in epoch:
            for ids, length in zip(inputs["input_ids"], inputs["lengths"], strict=True):
                seen.append(ids[1 : length - 1].tolist())
        assert sorted(seen) == expected


def test_the_order_changes_from_epoch_to_epoch(reviews):
    recorder, _ = recorded(reviews, max_epochs=2)
    first, second = (
        [batch[0]["input_ids"].tolist() for batch in epoch] for epoch in recorder.batches
    )
    assert first != second


def test_history_tells_of_each_epoch(reviews):
    _, clf = recorded(reviews, max_epochs=5)
    assert [row["epoch"] for row in clf.history_] == [1, 2, 3, 4, 5]
    assert clf.n_iter_ == 5
    for row in clf.history_:
        assert set(row) == {"epoch", "train_loss", "train_accuracy", "seconds"}
        assert 0 <= row["train_accuracy"] <= 1
        assert row["seconds"] > 0
    assert clf.history_[-1]["train_loss"] < clf.history_[0]["train_loss"]


def test_label_smoothing_keeps_probabilities_from_certainty():
    texts, labels = ["rain"] * 20 + ["soup"] * 20, [0] * 20 + [1] * 20
    certain, smooth = (
        small_classifier(label_smoothing=amount, max_epochs=60, dropout=0)
        .fit(texts, labels)
        .predict_proba(["rain"])[0, 0]
        for amount in (0.0, 0.4)
    )
    assert certain > 0.97
    assert smooth == pytest.approx(0.8, abs=0.03)  # 1 - 0.4 + 0.4 / 2


def test_windows_share_the_weight_of_their_document():
    rows = [[3] * 10, [4] * 2, [5] * 5]
    tokens = TokenArray.from_rows(rows, 6, SpecialTokens(0, (1,), (2,)))
    windows = Windows(tokens, 6, "mean")  # 4 tokens in a window
    data = LabelledWindows(windows, np.array([2, 0, 1]), np.array([1.5, 0.5, 1.0]))
    assert len(data) == 6
    assert data.targets.tolist() == [2, 2, 2, 0, 1, 1]
    assert data.weights.tolist() == [[0.5]] * 6
    of_two = np.array([[1.5, 0.0], [0.5, 0.5], [1.0, 3.0]])
    data = LabelledWindows(windows, np.array([2, 0, 1]), of_two)
    assert data.weights.tolist() == [[0.5, 0]] * 3 + [[0.5, 0.5]] + [[0.5, 1.5]] * 2


def test_a_small_corpus_is_seen_often_and_a_large_one_gets_more_steps():
    sizes = [10, 100, 500, 5_000, 20_000, 100_000, 1_000_000]
    epochs = [epochs_for(size, 64, 2) for size in sizes]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs_for(50, 64, 500) <= 60
    assert 2 <= epochs[-1] < epochs[0] <= 60
    steps = [-(-size // 64) * n for size, n in zip(sizes, epochs, strict=True)]
    assert steps == sorted(steps)
    assert steps[2] >= 240


def test_many_classes_get_more_steps():
    epochs = [epochs_for(10_000, 64, n_classes) for n_classes in (2, 20, 77, 150)]
    assert epochs == sorted(set(epochs))


def test_a_callback_may_draw_random_numbers_without_changing_the_model(reviews):
    class Drawing(Callback):
        def on_batch_begin(self, net, **kwargs):
            random.random(), np.random.random()

    texts, topics, _, _ = reviews
    plain, disturbed = (
        small_classifier(callbacks=callbacks, max_epochs=2).fit(texts, topics).predict_proba(texts)
        for callbacks in (None, [Drawing()])
    )
    assert np.array_equal(plain, disturbed)


@pytest.mark.parametrize("step", [1, 15])
def test_an_interrupted_fit_ends_with_no_other_error(step, reviews):
    class Interrupting(Callback):
        n = 0

        def on_batch_begin(self, net, **kwargs):
            self.n += 1
            if self.n == step:
                raise KeyboardInterrupt

    texts, topics, _, _ = reviews
    clf = small_classifier(callbacks=[Interrupting()])
    with pytest.warns(UserWarning, match="interrupted"):
        clf.fit(texts, topics)
    assert np.isfinite(clf.predict_proba(texts)).all()


def test_after_a_fit_that_failed_nothing_is_random_in_prediction(reviews):
    class Failing(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError("out of memory")

    texts, topics, _, _ = reviews
    clf = small_classifier(callbacks=[Failing()])
    with pytest.raises(RuntimeError, match="out of memory"):
        clf.fit(texts, topics)
    assert np.array_equal(clf.predict_proba(texts), clf.predict_proba(texts))


def test_a_stream_takes_up_changed_parameters(reviews):
    texts, topics, _, _ = reviews
    recorder = Recorder()
    clf = small_classifier(batch_size="auto", callbacks=[recorder])
    clf.partial_fit(texts[:20], topics[:20], classes=np.unique(topics))
    clf.set_params(learning_rate=0.5).partial_fit(texts, topics)
    sizes = [[len(batch[1]["targets"]) for batch in epoch] for epoch in recorder.batches]
    assert max(sizes[0]) == 8
    assert max(sizes[1]) == 9  # a sixteenth of 150 documents
    assert max(recorder.rates[:3]) <= 0.01 < max(recorder.rates[3:])


def test_the_bar_shows_loss_accuracy_and_time_left(reviews, capsys):
    texts, topics, _, _ = reviews
    small_classifier(verbose=1, max_epochs=2).fit(texts, topics)
    shown = capsys.readouterr()
    assert "20/20" in shown.err
    assert "train loss=" in shown.err
    assert "train accuracy=" in shown.err
    assert "<" in shown.err  # elapsed<left
    assert shown.out == ""
    small_classifier(verbose=0, max_epochs=2, early_stopping=True).fit(texts, topics)
    assert capsys.readouterr() == ("", "")
