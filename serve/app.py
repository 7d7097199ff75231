"""`raydistill serve`: finished students behind HTTP, until Ctrl-C.

    students --deploy--> executors, engines, ingress --first healthy answer--> ready --Ctrl-C, SIGTERM--> removed

A Ray that this started ends with it; of a cluster that it joined only its own applications are removed.
"""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from rich.console import Console
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from raydistill.actors.errors import EngineError, UsageError
from raydistill.actors.storage import absolute
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.runtime.pools import connect, this_node
from raydistill.serve.admission.gate import DEADLINE_S, MOST_UNDER_WAY, Rules
from raydistill.serve.admission.keys import KEYS_VARIABLE
from raydistill.serve.admission.rules import ADMIN_VARIABLE, is_loopback, rules_of
from raydistill.serve.deployment import Service
from raydistill.serve.front import BODY_BYTES, BODY_VARIABLE, PATIENCE_VARIABLE, PROXY_CALLBACK, PROXY_VARIABLE
from raydistill.serve.records.log import LogSettings
from raydistill.serve.student import Student
from raydistill.serve.students.naming import find_students

GRACE_S = 30.0
SLACK_S = 5.0  # that the proxy has more patience than the service
FIRST_ANSWER_S = 120.0  # how long the first answer may take on a busy machine
# How often Ray looks around: seldom for what takes of an idle core (docs/decisions.md), often for what is dead.
LOOKS = {
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",  # else 0.1; what has died is noticed by it, too
    "RAY_raylet_report_resources_period_milliseconds": "1000",
    "RAY_metrics_report_interval_ms": "30000",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",  # else 10, and a proxy is started again after three of them
}
EXAMPLE = "A student has 9 pencils. His sister has 4 fewer pencils than he has. How many pencils do they have together?"
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def serve_students(
    students_or_runs: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    replicas: int = 1,
    body_bytes: int = BODY_BYTES,
    keys: str | None = None,
    is_open: bool = False,
    admin_key_file: str | None = None,
    queue: int = MOST_UNDER_WAY,
    deadline_s: float = DEADLINE_S,
    grace_s: float = GRACE_S,
    request_log: str | None = None,
    log_contents: bool = False,
    console: Console | None = None,
) -> None:
    """Serve runs' students, or student directories, until SIGINT or SIGTERM; then take everything down.

    What is under way then has `grace_s` to end, without new requests; a second signal ends it at once.

    Requests with a body of more than `body_bytes` are refused, those without a key of the file `keys`, or of
    KEYS_VARIABLE, where there are keys; more than `queue` are not under way, and none for longer than `deadline_s`.

    Each is a path or NAME=PATH; adapters of one base share an engine. Who has the key in `admin_key_file`, or in
    ADMIN_VARIABLE, may add others, roll new ones in their place, and take them away.

    A JSON line for each request is in the folder `request_log`, else beside Ray Serve's logs; with what was asked and
    answered only where `log_contents`.

    Joins the cluster that RAY_ADDRESS names, or starts Ray. Raises UsageError where one is neither, two have the
    same name, a rank is too high or the port is taken, where `keys` are none, or where there are none, `host` is not
    this machine's alone and the service is not to be open; EngineError where a model cannot be served.
    """
    students = find_students(students_or_runs)
    rules = rules_of(
        keys,
        is_open=is_open,
        loopback=is_loopback(host),
        queue=queue,
        deadline_s=deadline_s,
        admin_key_file=admin_key_file,
    )
    for variable in (KEYS_VARIABLE, ADMIN_VARIABLE):
        os.environ.pop(variable, None)  # or all processes of a Ray that is started now would have it
    log = LogSettings(absolute(request_log) if request_log else None, log_contents)
    log.check()
    _check_port(host, port)
    say = partial(console.print, markup=False, highlight=False) if console else lambda _: None
    say(f"starting {', '.join(f'{student.name} ({student.folder})' for student in students)} ...")
    started = time.monotonic()
    joined = bool(os.environ.get("RAY_ADDRESS"))
    service: Service | None = None
    try:
        service = Service(students, replicas, body_bytes, rules, log)
        _start_http(host, port, service.cpus, {BODY_VARIABLE: body_bytes, PATIENCE_VARIABLE: deadline_s + SLACK_S})
        service.rules = replace(rules, node_labels=this_node())
        for line in service.wanted_memory():
            say(line)
        service.deploy()
        url = f"http://{EVERYWHERE.get(host, host)}:{port}"
        _await_health(url)
        service.is_ready = True
        say(f"ready after {time.monotonic() - started:.0f} s; Ctrl-C stops it\n\n{_welcome(url, students, rules)}")
        threading.Event().wait()
    except KeyboardInterrupt:
        say("stopping ...")
        _drain(service, grace_s, say)
    finally:
        _stop(service, joined)
    say("stopped")


def _check_port(host: str, port: int) -> None:
    """Raise UsageError unless this machine can listen on host and port."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}; --port takes another one") from None


def _start_http(host: str, port: int, cpus: float, told: Mapping[str, float]) -> None:
    """Connect to Ray, which has so many CPUs if it starts here, and start Serve's proxy, which is `told` its limits.

    From here on SIGTERM does what Ctrl-C does.
    """
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # of this process, which only describes the engines
    for name, value in (LOOKS | {PROXY_VARIABLE: PROXY_CALLBACK}).items():
        os.environ.setdefault(name, value)  # the processes of a Ray that is started now have these, too
    os.environ.update({name: str(value) for name, value in told.items()})
    connect(max(4, os.cpu_count() or 1, math.ceil(cpus)))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from ray import serve
    from ray.exceptions import RayTaskError

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    if not serve.status().applications:
        serve.shutdown()  # one that a pipeline has left behind has no proxy, and cannot be given one
    try:
        serve.start(http_options={"host": host, "port": port})
    except RayTaskError as error:  # of the proxy, whose port was taken while Ray started
        raise UsageError(f"cannot listen on {host}:{port}; --port takes another one: {error.cause}") from None
    try:
        socket.create_connection((EVERYWHERE.get(host, host), port), timeout=5).close()
    except OSError:
        raise EngineError(
            f"nothing listens on {host}:{port}: this cluster runs Ray Serve with other HTTP options; "
            "shut it down (serve shutdown) or use its address"
        ) from None


def _await_health(url: str) -> None:
    """Wait for the first healthy answer. Raises EngineError with what /healthz says if there is none."""
    asking = Retrying(
        retry=retry_if_exception_type(OSError), stop=stop_after_delay(FIRST_ANSWER_S), wait=wait_fixed(1), reraise=True
    )
    try:
        asking(lambda: urllib.request.urlopen(f"{url}/healthz", timeout=FIRST_ANSWER_S).close())
    except OSError as error:
        reason = error.read().decode() if isinstance(error, urllib.error.HTTPError) else error
        raise EngineError(f"{url}/healthz: no healthy answer in {FIRST_ANSWER_S:g} s: {reason}") from None


def _drain(service: Service | None, seconds: float, say: Callable[[str], None]) -> None:
    """Let what is under way end. Whatever keeps it from that, the service is taken down all the same."""
    if service is None or not service.is_ready:
        return
    try:
        if left := service.drain(seconds):
            say(f"{left} requests did not end within {seconds:g} s")
    except KeyboardInterrupt:
        say("stopping at once ...")
    except Exception as error:  # Ray's, of a cluster that is ending too
        logging.getLogger("raydistill.serve").error("no grace for requests under way", exc_info=error)


def _stop(service: Service | None, joined: bool) -> None:
    import ray
    from ray import serve

    if not ray.is_initialized():
        return
    if service:
        service.remove()
    if joined and not serve.status().applications:
        serve.shutdown()
    ray.shutdown()


def _welcome(url: str, students: Sequence[Student], rules: Rules) -> str:
    """The addresses, and two commands to copy, for a shell whose KEY is an API key where there are some."""
    student, others = students[0], ", ".join(student.name for student in students[1:])
    more = [f"  {url}/admin/students        who is served; takes the admin key\n"] if rules.admin else []
    more += [f'\n  "model" is {student.name} where a request names none, or one of {others}\n'] if others else []
    key, header = ("none", "") if rules.are_open else ("$KEY", ' -H "Authorization: Bearer $KEY"')
    question = json.dumps({"question": EXAMPLE})
    messages = list(make_recipe(student.recipe).student.prompts(Question("", EXAMPLE, ""))[0].messages)
    return f"""\
  {url}/                      a page to ask it
  {url}/v1/solve              executed answers
  {url}/v1/chat/completions   OpenAI's protocol; also /v1/completions, /v1/models
  {url}/healthz               {url}/docs
{"".join(more)}
curl -s {url}/v1/solve{header} -H 'Content-Type: application/json' -d '{question}'

python -c "from openai import OpenAI; \\
client = OpenAI(base_url='{url}/v1', api_key='{key}'); \\
messages = {messages}; \\
reply = client.chat.completions.create(model='{student.name}', messages=messages, temperature=0); \\
print(reply.choices[0].message.content)"
"""
