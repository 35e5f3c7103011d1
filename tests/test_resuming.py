"""Checkpoints of runs that are killed in earnest, at moments that nobody chose."""

import multiprocessing
import signal
import time

import pytest
import torch
from samples import generated_reviews, small_pretrainer

from skfnet import FNetPretrainer
from skfnet.resuming import Checkpoint, checkpoint_path

TEXTS, _ = generated_reviews(120)
N_STEPS = 42


def run(folder, result):
    """Begin or go on; what is done in a process of its own."""
    torch.set_num_threads(1)
    parameters = dict(checkpoint=folder, checkpoint_minutes=0, resume=True)
    small_pretrainer(max_steps=N_STEPS, **parameters).fit(TEXTS).save(result)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_run_that_is_killed_again_and_again_comes_to_the_same_result(tmp_path):
    processes = multiprocessing.get_context("forkserver")
    # Once for all of them; not skorch, whose import touches a GPU, which a fork does not survive.
    processes.set_forkserver_preload(["torch", "sklearn"])
    folder, result = tmp_path / "run", tmp_path / "result"
    path = checkpoint_path(folder)

    def step():  # each look finds a complete file
        return Checkpoint.read(path).run.step if path.exists() else 0

    for enough in (1, 6, 12):
        process = processes.Process(target=run, args=(folder, result))
        process.start()
        while step() < enough or not any(folder.glob("*.part")):  # in the middle of the next one
            assert process.is_alive(), "the run ended before it could be killed"
            time.sleep(0.001)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert enough <= step() < N_STEPS
    process = processes.Process(target=run, args=(folder, result))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert [left.name for left in folder.iterdir()] == [path.name]
    whole = small_pretrainer(max_steps=N_STEPS).fit(TEXTS)
    resumed = FNetPretrainer.load(result, device="cpu")
    weights = resumed._model.state_dict()
    for name, weight in whole._model.state_dict().items():
        assert torch.equal(weights[name], weight), name
    assert resumed.n_steps_ == whole.n_steps_ == N_STEPS
