"""Pools of long-lived actors, shared by every stage of a run: engines, executors, retrievers.

A pool is a Ray Serve deployment called by handle: Serve places its members, grows and shrinks their number
between min and max by load, checks their health and replaces dead ones. What Serve leaves to its callers is
here: calls that meet a dying member are made again, members change weights in place, and a pool can give its
resources away (to training) and come back.

Members are instances of plain classes; they need not know of Ray. Of their methods, `reconfigure(config)` and
`check_health()` are called by Serve when they exist. A blocking method runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import EngineError, RaydistillError
from raydistill.actors.metrics import count_repeated_call, count_results
from raydistill.actors.telemetry import declined

if TYPE_CHECKING:
    from ray.serve import Application

CALL_ATTEMPTS = 8  # a call that outlives this many members is the callers' problem
STARTS_BEFORE_GIVING_UP = 2
DRAIN_CHECK_S = 0.1  # Serve's 2 s give callers time to hear of a leaving member; here they call another one instead
MEMBER = "member"


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What a pool is made of. `make` and `arguments` make one member, on the node that hosts it."""

    name: str
    make: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    replicas: tuple[int, int] = (1, 1)
    cpus: float = 1  # reserved per member
    gpus: float = 0
    node_labels: Mapping[str, str] = field(default_factory=dict)  # of the nodes that may host a member
    calls_in_flight: int = 64  # per member; further calls wait for a free place
    busy_calls: int = 0  # per member, from which on the pool grows; 0: half of `calls_in_flight`
    environment: Mapping[str, str] = field(default_factory=dict)
    grow_after_s: float = 5
    shrink_after_s: float = 60
    health_check_timeout_s: float = 120
    health_check_period_s: float = 10


class Member:
    """The Serve replica around one member."""

    def __init__(self, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        from ray import serve

        self._member = make(*arguments)
        self._pool = serve.get_replica_context().app_name

    async def call(self, method: str, *arguments: Any) -> Any:
        function = getattr(self._member, method)
        if inspect.iscoroutinefunction(function):
            result = await function(*arguments)
        else:
            result = await asyncio.to_thread(function, *arguments)
        count_results(self._pool, result)
        return result

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        if hasattr(self._member, "reconfigure"):
            await self._member.reconfigure(config)

    async def check_health(self) -> None:
        if hasattr(self._member, "check_health"):
            await self._member.check_health()


class Pool:
    """Starts, reconfigures and releases one pool. Needs a connected Ray."""

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        self.running = self._deployed = False
        self._config: dict[str, Any] = {}

    @property
    def client(self) -> PoolClient:
        """A small, picklable caller of this pool, for any process of the cluster."""
        return PoolClient(self.settings.name)

    def start(self, **config: Any) -> None:
        """Start the pool, or bring every member to `config` without restarting it.

        Raises EngineError with the member's own reason if it cannot start.
        """
        if self.running and config == self._config:
            return
        try:
            self._deploy(config, wait=True)
        except RuntimeError as error:
            reason = self._reason(str(error))
            self.release()
            raise EngineError(f"pool {self.settings.name} cannot start: {reason}") from None
        self.running, self._config = True, config

    def begin(self) -> None:
        """Have the members start beside what the caller does next; `start` waits for them."""
        if not self._deployed:
            self._deploy({}, wait=False)

    def _deploy(self, config: Mapping[str, Any], *, wait: bool) -> None:
        from ray import serve

        serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
        target = serve.RunTarget(self.application(**config), self.settings.name, route_prefix=None)
        self._deployed = True
        serve.run_many([target], wait_for_applications_running=wait)

    def application(self, **config: Any) -> Application:
        """The pool as a Serve application, to be run under the pool's name."""
        from ray import serve

        deployment = serve.deployment(**self._deployment_options(config))(Member)
        # Serve restarts all replicas unless code version and settings are those of the running ones
        # (Ray 2.60 has no public way to say so for `serve.run`).
        deployment._version = "1"
        return deployment.bind(self.settings.make, self.settings.arguments)

    def _deployment_options(self, config: Mapping[str, Any]) -> dict[str, Any]:
        settings = self.settings
        low, high = settings.replicas
        return {
            "name": MEMBER,
            "user_config": dict(config),
            "max_ongoing_requests": settings.calls_in_flight,
            "autoscaling_config": {
                "min_replicas": low,
                "max_replicas": high,
                "initial_replicas": low,
                "target_ongoing_requests": settings.busy_calls or max(1, settings.calls_in_flight // 2),
                "upscale_delay_s": settings.grow_after_s,
                "downscale_delay_s": settings.shrink_after_s,
            },
            "ray_actor_options": {
                "num_cpus": settings.cpus,
                "num_gpus": settings.gpus,
                "label_selector": dict(settings.node_labels),
                "runtime_env": {"env_vars": declined() | dict(settings.environment)},
            },
            "health_check_timeout_s": settings.health_check_timeout_s,
            "health_check_period_s": settings.health_check_period_s,
            "graceful_shutdown_timeout_s": 5,
            "graceful_shutdown_wait_loop_s": DRAIN_CHECK_S,
            "max_constructor_retry_count": STARTS_BEFORE_GIVING_UP,
        }

    def _reason(self, fallback: str) -> str:
        """The last line of what Serve knows about the failed members."""
        from ray import serve

        application = serve.status().applications.get(self.settings.name)
        messages = [d.message for d in application.deployments.values()] if application else []
        lines = [line.strip() for line in "\n".join(messages or [fallback]).splitlines() if line.strip()]
        errors = [line for line in lines if "Error" in line]
        return (errors or lines or [fallback])[-1]

    def release(self, *, wait: bool = True) -> None:
        """Stop the members and give their resources back; `start` brings the pool up again."""
        from ray import serve

        if self._deployed:
            serve.delete(self.settings.name, _blocking=wait)
        self.running = self._deployed = False


@dataclass(frozen=True, slots=True)
class PoolClient:
    """Calls the members of a pool from any process of the cluster."""

    name: str

    async def call(self, method: str, *arguments: Any) -> Any:
        """The result of ``member.method(*arguments)`` on some member.

        A call whose member dies is made again on another; one that is cancelled is cancelled there, too. Errors that
        the member raises come through as they are; EngineError says that members kept dying under this call.
        """
        from ray import serve
        from ray.exceptions import RayActorError, RayTaskError
        from ray.serve.exceptions import ReplicaUnavailableError
        from tenacity import (
            AsyncRetrying,
            RetryError,
            retry_if_exception_type,
            stop_after_attempt,
            wait_random_exponential,
        )

        handle = serve.get_deployment_handle(MEMBER, self.name)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((RayActorError, ReplicaUnavailableError)),
            stop=stop_after_attempt(CALL_ATTEMPTS),
            wait=wait_random_exponential(multiplier=1, max=30),
            before_sleep=lambda _: count_repeated_call(self.name),
        )
        try:
            async for attempt in retrying:
                with attempt:
                    response = handle.call.remote(method, *arguments)
                    try:
                        return await response
                    except asyncio.CancelledError:
                        response.cancel()
                        raise
        except RetryError as error:
            reason = error.last_attempt.exception()
            raise EngineError(
                f"pool {self.name}: {CALL_ATTEMPTS} members died under the same call, last: {reason}"
            ) from None
        except RayTaskError as error:
            if isinstance(error.cause, RaydistillError):
                raise error.cause from None
            raise
