"""Exports of a run load in the tools that they are for, with every text as it was, and pairs differ in verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from raydistill.actors.errors import UsageError
from raydistill.pipelines.cli.app import app
from raydistill.pipelines.exports.cards import plain
from raydistill.pipelines.exports.export import export
from raydistill.pipelines.views.run_folder import RunFolder
from raydistill.pipelines.views.samples import Filter, everything
from tests.pipelines.views.written import HOSTILE, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Sixty questions of hostile texts, six samples of each."""
    return RunFolder.open(str(write_run(tmp_path_factory.mktemp("run") / "r", 360, hostile=True, each=6)))


def exported(run: RunFolder, target: str, folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of both files."""
    export(run, target, folder, "cc-by-4.0", lambda line: None)
    lines = (folder / f"{target}.jsonl").read_text(encoding="utf-8")
    assert not any(c in lines for c in "\x1b\x07\u202e\u2066\x9b")
    return [json.loads(line) for line in lines.split("\n")[:-1]], pq.read_table(
        folder / f"{target}.parquet"
    ).to_pylist()


@pytest.mark.parametrize("target", ["messages", "preferences", "prompts"])
def test_rows_come_back_as_they_were(run: RunFolder, tmp_path: Path, target: str) -> None:
    from datasets import load_dataset

    lines, table = exported(run, target, tmp_path / "out")
    assert lines == table and len(lines) == {"messages": 60, "preferences": 60, "prompts": 60}[target]
    loaded = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded.to_list() == table
    texts = json.dumps(table, ensure_ascii=False)
    assert all(json.dumps(text, ensure_ascii=False)[1:-1] in texts for text in HOSTILE.values())


def test_the_sides_of_a_pair_differ_in_verdict_and_program(run: RunFolder, tmp_path: Path) -> None:
    _, pairs = exported(run, "preferences", tmp_path / "out")
    [sampling] = run.samplings
    said = {(one.question, one.output): one.status for one in everything(run, sampling, Filter())}

    def verdict(pair: dict[str, Any], side: str) -> str:
        [answer] = pair[side]
        program = answer["content"].removeprefix("```python\n").removesuffix("\n```")
        return next(
            status
            for (q, output), status in said.items()
            if output == program and q in str(pair["prompt"][0]["content"])
        )

    for pair in pairs:
        assert (verdict(pair, "chosen"), verdict(pair, "rejected")) == ("passed", "failed")
        assert pair["rejected_reason"] == "wrong_answer" and len(pair["prompt"]) == 1


def test_nothing_fails_for_a_limit_s_sake_in_a_pair(tmp_path: Path) -> None:
    import pyarrow as pa

    root = write_run(tmp_path / "r", 60, each=6)
    [path] = (root / "verdicts/v").iterdir()
    rows = pq.read_table(path)
    late = ["timeout" if status == "failed" else "ok" for status in rows["status"].to_pylist()]
    pq.write_table(rows.set_column(rows.schema.get_field_index("reason"), "reason", pa.array(late)), path)
    with pytest.raises(UsageError, match="no such row in this run; expected right and wrong answers"):
        export(RunFolder.open(str(root)), "preferences", tmp_path / "out", "mit", print)


def test_llama_factory_finds_the_chats(run: RunFolder, tmp_path: Path) -> None:
    exported(run, "messages", tmp_path / "out")
    [told] = json.loads((tmp_path / "out/dataset_info.json").read_text()).values()
    assert told["formatting"] == "sharegpt" and (tmp_path / "out" / told["file_name"]).is_file()
    first = json.loads((tmp_path / "out/messages.jsonl").open().readline())[told["columns"]["messages"]]
    assert [message[told["tags"]["role_tag"]] for message in first] == [
        told["tags"]["user_tag"],
        told["tags"]["assistant_tag"],
    ]


def test_rewards_can_be_computed_from_a_prompt(run: RunFolder, tmp_path: Path) -> None:
    _, rows = exported(run, "prompts", tmp_path / "out")
    assert json.loads(rows[3]["verification_info"])["gold"] == rows[3]["reward_model"]["ground_truth"] == "6"


def test_cards_tell_where_it_comes_from_and_are_inert(run: RunFolder, tmp_path: Path) -> None:
    exported(run, "messages", tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["license"] == "cc-by-4.0" and told["size_categories"] == ["n<1K"]
    assert "| Teacher | teacher (vllm) |" in body and "240" in body and run.root not in card
    for text in HOSTILE.values():
        said = plain(text)
        assert "\x1b" not in said and "\n" not in said and "\\<script" in plain("<script>")
    assert plain("[click](javascript:x) | b") == "\\[click\\](javascript:x) \\| b"


def test_the_command_says_what_it_would_send(run: RunFolder, tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        told = CliRunner().invoke(app, ["export", run.root, *arguments])
        return f"{told.stdout}{told.exception}"

    out = ("--to", "messages", "--out", str(tmp_path / "o"))
    told = said(*out, "--push", "me/data", "--dry-run")
    assert "would send to the private dataset me/data" in told and "messages.parquet" in told
    refused = said("--to", "prompts", "--out", str(tmp_path / "p"), "--push", "../x y", "--dry-run")
    assert "expected owner/name" in refused and not (tmp_path / "p").exists()
    assert "go with --push" in said(*out, "--dry-run")
    assert "--to wishes: expected one of messages" in said("--to", "wishes")
    assert "no student there yet" in said("--to", "model")
    assert "no judged steps" in said("--to", "steps")
