"""Encoders that learn side by side, each on its share of the cores."""

import threading
from functools import partial

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from samples import small_classifier
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F

from skfnet.cores import can_share_cores, shared_cores
from skfnet.nn import EncoderConfig, Ensemble
from skfnet.nn.mixing import FixedMixer
from skfnet.nn.ragged import without_padding


@pytest.fixture
def with_threads():
    """Give a function that sets torch's number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def threads_of_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(
    ("n_cores", "n_parts", "share"), [(2, 4, 1), (4, 2, 2), (7, 3, 2), (4, 1, 4), (1, 4, 1)]
)
def test_calls_share_the_threads_and_leave_them_as_they_were(with_threads, n_cores, n_parts, share):
    with_threads(n_cores)
    with shared_cores(n_parts) as map_:
        found = map_(lambda k, name: (k, name, torch.get_num_threads()), range(n_parts), "abcd")
    assert found == [(k, "abcd"[k], share) for k in range(n_parts)]
    assert torch.get_num_threads() == threads_of_a_new_thread() == n_cores


def test_calls_run_at_the_same_time(with_threads):
    with_threads(2)
    meeting = threading.Barrier(2, timeout=10)  # breaks where one call waits for the other's end
    with shared_cores(2) as map_:
        map_(lambda k: meeting.wait(), range(2))


def test_fits_that_overlap_leave_the_number_of_threads_alone(with_threads):
    with_threads(8)
    first, second = shared_cores(4), shared_cores(4)
    first.__enter__()
    second.__enter__()
    assert threads_of_a_new_thread() == 8
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert torch.get_num_threads() == threads_of_a_new_thread() == 8


def test_fits_in_threads_are_what_they_are_alone(reviews, with_threads):
    texts, topics, others, _ = reviews
    with_threads(2)
    models = [small_classifier(n_encoders=2, dropout=0.3, random_state=k) for k in range(4)]
    alone = [clone(model).fit(texts, topics).predict_proba(others) for model in models]
    before = torch.get_rng_state()
    together = Parallel(n_jobs=4, backend="threading")(
        delayed(model.fit)(texts, topics) for model in models
    )
    for model, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(model.predict_proba(others), expected, atol=1e-6)
    assert torch.equal(torch.get_rng_state(), before)


class Interrupting(Callback):
    """Ctrl-C in the third step."""

    def on_grad_computed(self, net, **kwargs):
        self.n_steps = getattr(self, "n_steps", 0) + 1
        if self.n_steps == 3:
            raise KeyboardInterrupt


def test_an_interruption_leaves_a_model_and_no_threads(reviews, with_threads):
    texts, topics, others, _ = reviews
    with_threads(2)
    clf = small_classifier(n_encoders=2, callbacks=[Interrupting()])
    with pytest.warns(UserWarning, match="Training was interrupted"):
        clf.fit(texts, topics)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cores")]
    assert clf.predict(others).shape == (len(others),)


def test_an_error_comes_through(with_threads):
    with_threads(2)
    with pytest.raises(ZeroDivisionError), shared_cores(2) as map_:
        map_(lambda k: 1 / k, [1, 0])
    assert torch.get_num_threads() == threads_of_a_new_thread() == 2


@pytest.mark.parametrize("n_encoders", [2, 3])
def test_the_number_of_threads_does_not_change_the_weights(reviews, with_threads, n_encoders):
    texts, topics, _, _ = reviews
    models = []
    for n_threads in (1, 2, 2):
        with_threads(n_threads)
        models.append(small_classifier(n_encoders=n_encoders, dropout=0.3).fit(texts, topics))
    first, *others = ([*model._model.state_dict().values()] for model in models)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


class DroppingMixer(nn.Module):
    """A mixer of somebody else's, which draws from torch's own generator."""

    def __init__(self, config):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, lengths):
        return self.dropout(without_padding(x, lengths))


def test_encoders_with_a_foreign_mixer_learn_one_after_the_other(reviews, with_threads):
    texts, topics, _, _ = reviews
    with_threads(2)
    models = [
        small_classifier(n_encoders=3, mixer=DroppingMixer).fit(texts, topics) for _ in range(2)
    ]
    first, second = ([*model._model.state_dict().values()] for model in models)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    config = EncoderConfig(vocab_size=5, width=4, depth=1)
    assert can_share_cores(Ensemble([config], n_classes=2))
    for mixer in (DroppingMixer, lambda config: FixedMixer(partial(F.dropout, p=0.5))):
        foreign = EncoderConfig(vocab_size=5, width=4, depth=1, mixer=mixer)
        assert not can_share_cores(Ensemble([foreign], n_classes=2))
