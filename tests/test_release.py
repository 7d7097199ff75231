"""What a release needs is there, and agrees with itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests import ROOT


def test_the_quick_part_of_the_checklist_holds() -> None:
    done = subprocess.run([sys.executable, "deploy/release.py", "--quick"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("ok    ") == 3, done.stdout + done.stderr
    assert "by hand:" in done.stdout


def test_the_citation_names_the_papers_of_the_readme() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    papers = {one["url"].rpartition("/")[2] for one in cited["references"]}
    assert papers == {*re.findall(r"\[(\d{4}\.\d{5})\]", readme)} and cited["license"] == "Apache-2.0"


def test_security_tells_of_what_others_describe() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links and all((ROOT / link).is_file() for link in links)
    assert "How to report" in text and text.count("\n") < 70


def test_images_say_what_they_are() -> None:
    text = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    labels = {*re.findall(r"org\.opencontainers\.image\.(\w+)", text)}
    assert labels >= {"title", "version", "revision", "licenses"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool (Debian: prometheus)")
@pytest.mark.parametrize("what", ["check config deploy/prometheus.yaml", "test rules deploy/alerts-test.yaml"])
def test_prometheus_takes_its_files_and_alerts_fire(what: str) -> None:
    done = subprocess.run(["promtool", *what.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr


def test_each_alert_is_tried() -> None:
    rules, tried = (
        yaml.safe_load((ROOT / "deploy" / name).read_text(encoding="utf-8"))
        for name in ("alerts.yaml", "alerts-test.yaml")
    )
    fired = {one["alertname"] for test in tried["tests"] for one in test["alert_rule_test"] if one["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules["groups"][0]["rules"]}
