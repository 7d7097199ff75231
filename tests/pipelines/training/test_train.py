"""Training for real: Ray Train on a local Ray, a tiny Llama, float32."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from raydistill.actors.errors import TrainingError, UsageError
from raydistill.pipelines.config.sections import Lora, Train
from raydistill.pipelines.training.train import train
from tests.pipelines.training.training_examples import rationales, sums
from tests.processes import below
from tests.waiting import wait_until


def settings(student: str, **changes) -> Train:
    """Two epochs of twelve steps, in which every step has several micro-batches."""
    values = {
        "student": student,
        "learning_rate": 3e-3,
        "precision": "float32",
        "epochs": 2,
        "batch_tokens": 640,
        "micro_batch_tokens": 160,
        "validation_fraction": 0.1,
        "eval_steps": 9,
        "save_steps": 6,
        "cpus_per_worker": 0.5,
        "threads_per_worker": 1,
        "resource_timeout_s": 60,
    }
    return Train.model_validate(values | changes)


@pytest.fixture(scope="module")
def undisturbed(cluster, tiny_model, tmp_path_factory):
    """A run with one worker: its folder, its result, and the progress messages."""
    folder, messages = tmp_path_factory.mktemp("undisturbed"), []
    result = train(sums(150), settings(tiny_model), str(folder), on_progress=messages.append)
    return folder, result, messages


def test_the_task_is_learned(undisturbed):
    _, result, messages = undisturbed
    losses = result.history["loss"]
    assert len(losses) == result.steps == messages[-1]["step"] == messages[-1]["steps"]
    assert losses[0] > 4
    assert losses[-1] < losses[0] / 2
    assert result.final_loss == pytest.approx(np.mean(losses[-10:]))
    assert result.dropped_too_long == 0
    assert result.examples == 150
    assert result.tokens_per_s > 0


def test_best_and_last_are_kept_and_exported(undisturbed):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, result, _ = undisturbed
    assert len(list((folder / "checkpoints").glob("step_*"))) <= 2
    assert result.best_validation_loss == min(loss for _, loss in result.history["validation_loss"])
    for path in (result.student, result.best, result.last):
        model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
        assert model.generation_config.eos_token_id == tokenizer.eos_token_id
        assert tokenizer.chat_template
    card = (folder / "student" / "README.md").read_text()
    assert f"| Steps | {result.steps} in at most 2 epochs" in card
    assert f"{result.best_validation_loss:.4f}" in card


def test_exported_weights_have_the_validation_loss_that_is_reported(undisturbed):
    import torch
    from transformers import AutoModelForCausalLM

    from raydistill.pipelines.training.batches import alone, collate, split_by_question
    from raydistill.pipelines.training.losses.cross_entropy import CrossEntropy
    from raydistill.pipelines.training.losses.forward import term_sums
    from raydistill.pipelines.training.tokens import TokenTable

    folder, result, _ = undisturbed
    table = TokenTable(f"{folder}/tokens.parquet")
    term, held_out = CrossEntropy(table), alone(split_by_question(table.question_ids, 0.1, 42)[1])
    batch = collate(table, held_out, [term])
    model = AutoModelForCausalLM.from_pretrained(result.student)
    with torch.no_grad():
        [sums] = term_sums(model, model.lm_head, batch, [term])
        loss = sums.item() / term.count(held_out)
    assert loss == pytest.approx(result.best_validation_loss, rel=1e-5)


def test_event_files_hold_every_step(undisturbed):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, result, _ = undisturbed
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    tags = {"train/loss", "train/learning_rate", "train/grad_norm", "train/tokens_per_s", "validation/loss"}
    assert tags <= set(events.Tags()["scalars"])
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(result.history["loss"], rel=1e-5)


def test_the_same_call_again_returns_at_once(undisturbed, tiny_model):
    folder, result, _ = undisturbed
    before = (folder / "student" / "model.safetensors").stat().st_mtime_ns
    again = train(f"{folder}/examples", settings(tiny_model, workers=2), str(folder))
    assert json.dumps(again.history) == json.dumps(result.history)
    assert again.student == result.student
    assert (folder / "student" / "model.safetensors").stat().st_mtime_ns == before


def test_another_run_in_the_same_folder_is_refused(undisturbed, tiny_model):
    folder, _, _ = undisturbed
    with pytest.raises(UsageError, match="holds another training run .learning_rate was 0.003, now 0.001."):
        train(f"{folder}/examples", settings(tiny_model, learning_rate=1e-3), str(folder))
    with pytest.raises(UsageError, match="examples was"):
        train(sums(149), settings(tiny_model), str(folder))


def test_two_workers_one_of_them_killed_follow_the_same_trajectory(undisturbed, cluster, tiny_model, tmp_path):
    """Two workers see the same batches as one, and so do those that go on from a checkpoint after a kill."""
    _, result, _ = undisturbed
    thread = threading.Thread(target=kill_a_worker, args=(tmp_path,))
    thread.start()
    resumed = train(sums(150), settings(tiny_model, workers=2), str(tmp_path))
    thread.join()
    lives = list((tmp_path / "tensorboard").glob("events*"))
    assert len(lives) == 2
    np.testing.assert_allclose(resumed.history["loss"], result.history["loss"], rtol=1e-5)


def wait_for_checkpoint(folder: Path) -> None:
    listed = folder / "checkpoints" / "checkpoint_manager_snapshot.json.copy"
    wait_until(listed.exists, 300, "the first checkpoint on Ray Train's list")


def kill_a_worker(folder: Path) -> None:
    """Kill a training worker of this test's Ray once the first checkpoint is on Ray Train's list."""
    wait_for_checkpoint(folder)
    below(None, "RayTrainWorker")[0].kill()


@pytest.fixture(scope="module", params=[Lora(rank=4), pytest.param(None, marks=pytest.mark.slow)], ids=["lora", "full"])
def with_pairs(request, cluster, tiny_model, tmp_path_factory):
    """Settings for pairs of rationales, and the result of a run with one worker; checkpoints fall within epochs."""
    folder = tmp_path_factory.mktemp("pairs")
    changes = {"lora": request.param, "save_steps": 4, "eval_steps": 5, "batch_tokens": 900}
    config = settings(tiny_model, **changes)
    return changes, folder, train(rationales(60), config, str(folder))


@pytest.mark.slow
def test_pairs_follow_the_same_trajectory_with_two_workers_one_of_them_killed(with_pairs, tiny_model, tmp_path):
    """The pairs of an epoch do not depend on workers, nor on where in it a checkpoint was taken."""
    changes, _, result = with_pairs
    thread = threading.Thread(target=kill_a_worker, args=(tmp_path,))
    thread.start()
    resumed = train(rationales(60), settings(tiny_model, workers=2, **changes), str(tmp_path))
    thread.join()
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 2
    for name in ("loss", "consistency", "validation_consistency"):
        np.testing.assert_allclose(resumed.history[name], result.history[name], rtol=1e-4)


def test_components_of_pairs_are_reported_and_logged(with_pairs):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, folder, result = with_pairs
    assert result.pairs == {"questions": 60, "pairs": 180, "with_span": 180}
    assert [row[0] for row in result.history["consistency"]] == [*range(1, result.steps + 1)]
    assert len(result.history["validation_consistency"]) == len(result.history["validation_loss"])
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    names = ("cross_entropy", "answer_kl", "answer_kl_per_cross_entropy")
    logged = {name: [event.value for event in events.Scalars(f"train/{name}")] for name in names}
    _, cross_entropy, answer_kl, _ = np.array(result.history["consistency"]).T
    np.testing.assert_allclose(logged["cross_entropy"], cross_entropy, rtol=1e-5)
    np.testing.assert_allclose(logged["answer_kl"], answer_kl, rtol=1e-5)
    np.testing.assert_allclose(logged["answer_kl_per_cross_entropy"], answer_kl / cross_entropy, rtol=1e-5)
    assert "validation/answer_agreement" in events.Tags()["scalars"]


def test_adapter_is_exported_for_peft(with_pairs, tiny_model):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    changes, _, result = with_pairs
    if changes["lora"] is None:
        pytest.skip("all weights are trained here")
    adapter = json.loads(Path(result.student, "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == tiny_model
    assert not Path(result.student, "model.safetensors").exists()
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), result.student)
    assert any(weight.abs().max() > 0 for name, weight in model.named_parameters() if "lora_B" in name)
    assert result.history["loss"][-1] < result.history["loss"][0]


def test_nothing_to_compare_is_said_before_training(tiny_model, tmp_path):
    with pytest.raises(TrainingError, match="consistency training has nothing to compare: 0 questions") as caught:
        train(rationales(4, each=1), settings(tiny_model), str(tmp_path))
    assert "\n" not in str(caught.value)


def test_no_examples(tiny_model, tmp_path):
    with pytest.raises(TrainingError, match="no examples to train on") as caught:
        train([], settings(tiny_model), str(tmp_path))
    assert "\n" not in str(caught.value)


def test_what_is_no_student(tmp_path):
    with pytest.raises(UsageError, match="not a model that can be loaded") as caught:
        train(sums(4), settings(str(tmp_path)), str(tmp_path / "out"))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"gradient_checkpointing": True, "lora": Lora(rank=4)}])
def test_sharded_workers_follow_the_same_trajectory(changes, undisturbed, cluster, tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM

    _, result, _ = undisturbed
    sharded = train(sums(150), settings(tiny_model, workers=2, strategy="fsdp", **changes), str(tmp_path))
    if not changes:
        np.testing.assert_allclose(sharded.history["loss"], result.history["loss"], rtol=1e-5)
        AutoModelForCausalLM.from_pretrained(sharded.student)
    assert sharded.history["loss"][-1] < sharded.history["loss"][0]


@pytest.mark.slow
def test_killed_driver_is_resumed_by_the_same_call(undisturbed, cluster, tiny_model, tmp_path):
    _, result, _ = undisturbed
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.pipelines.training.train_driver", str(tmp_path), tiny_model]
    )
    wait_for_checkpoint(tmp_path)
    driver.kill()
    driver.wait()
    assert not (tmp_path / "result.json").exists()
    resumed = train(sums(150), settings(tiny_model), str(tmp_path))
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 2
    np.testing.assert_allclose(resumed.history["loss"], result.history["loss"], rtol=1e-6)


ELASTIC_EXAMPLES = 1500


def elastic_settings(student: str, workers: int | tuple[int, int]) -> Train:
    """Long enough for a worker to be lost and another one to arrive, in few large steps: rounding grows with each."""
    changes = {"learning_rate": 3e-4, "epochs": 40, "batch_tokens": 6400, "micro_batch_tokens": 640}
    changes |= {"save_steps": 50, "eval_steps": 2000}
    return settings(student, workers=workers, cpus_per_worker=1, **changes)


def steps_of(events: Path) -> list[tuple[int, float]]:
    """(step, when) of each step that one start of the workers has taken."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(events), size_guidance={"scalars": 0})
    read.Reload()
    return [(event.step, event.wall_time) for event in read.Scalars("train/loss")]


@pytest.mark.cluster
def test_a_worker_lost_and_regained_leaves_the_trajectory_as_it_was(cluster, tiny_model, tmp_path):
    elastic, fixed = str(tmp_path / "elastic"), str(tmp_path / "fixed")
    command = [sys.executable, "-m", "tests.pipelines.training.train_driver", elastic, tiny_model, "elastic"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as driver:
        undisturbed = train(sums(ELASTIC_EXAMPLES), elastic_settings(tiny_model, 1), fixed)
        told, _ = driver.communicate()
    assert driver.returncode == 0
    times = json.loads(told.splitlines()[-1])
    two, one, again = map(steps_of, sorted(Path(elastic, "tensorboard").glob("events*")))
    assert two[-1][1] < one[0][1] and times["regained"] < again[0][1]
    result = train(sums(ELASTIC_EXAMPLES), elastic_settings(tiny_model, (1, 2)), elastic)
    assert result.steps == undisturbed.steps == again[-1][0]
    # From 8 down to 0.002; the gradients of two workers are summed in another order.
    np.testing.assert_allclose(result.history["loss"], undisturbed.history["loss"], rtol=1e-4, atol=5e-5)
    repeated = [before[-1][0] + 1 - after[0][0] for before, after in ((two, one), (one, again))]
    assert all(0 <= steps <= 50 for steps in repeated)  # at most those since the last checkpoint
    print(
        f"one worker went on {one[0][1] - times['lost']:.1f} s after a node was lost, two worked again "
        f"{again[0][1] - times['regained']:.1f} s after one came; {repeated[0]} and {repeated[1]} steps done again"
    )
