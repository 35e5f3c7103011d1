"""Checkpoints of runs that are killed in earnest, at moments that nobody chose."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from samples import generated_reviews, small_pretrainer

from skfnet import FNetPretrainer
from skfnet.resuming import Checkpoint, checkpoint_path

N_TEXTS, N_STEPS = 120, 84
RUN = f"""
import sys
import torch
from samples import generated_reviews, small_pretrainer
torch.set_num_threads(1)
folder, result = sys.argv[1:]
pretrainer = small_pretrainer(
    max_steps={N_STEPS}, checkpoint=folder, checkpoint_minutes=0, resume=True
)
pretrainer.fit(generated_reviews({N_TEXTS})[0]).save(result)
"""


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_run_that_is_killed_again_and_again_comes_to_the_same_result(tmp_path):
    path, result = checkpoint_path(tmp_path / "run"), tmp_path / "result"

    def step():
        return Checkpoint.read(path).run.step if path.exists() else 0

    def writes():
        return any(path.parent.glob("*.part"))

    for enough in (1, 8, 20):
        process = start(path.parent, result)
        try:
            while step() < enough or not writes():  # each look finds a complete file
                assert process.poll() is None, "the run ended before it could be killed"
                time.sleep(0.001)
        finally:
            process.kill()
            process.wait()
        assert enough <= step() < N_STEPS
    assert start(path.parent, result).wait() == 0
    assert [left.name for left in path.parent.iterdir()] == [path.name]
    whole = small_pretrainer(max_steps=N_STEPS).fit(generated_reviews(N_TEXTS)[0])
    resumed = FNetPretrainer.load(result, device="cpu")
    weights = resumed._model.state_dict()
    for name, weight in whole._model.state_dict().items():
        assert torch.equal(weights[name], weight), name
    assert resumed.n_steps_ == whole.n_steps_ == N_STEPS
