"""Asking an OpenAI-compatible endpoint: pace, retries, and no answer paid for twice.

Every answer is kept, in a file of its own, the moment it arrives, and what is kept is
not asked again: a worker that dies loses the answers under way, at most.

What stops all asking, with a message: a refusal that other questions would meet, too
(key, model, address, quota), and a server that fails more than `retries` times in a row
for one question. A question that the endpoint refuses because of its text counts as one
whose answer cannot be read.
"""

import asyncio
import email.utils
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from inflib.data.pairs_folder import PairsFolder
from inflib.judging.plan import TEXTS, Question
from inflib.judging.questions import Questions, messages
from inflib.judging.verdicts import Answer, chain, to_answer, totals
from inflib.storage.folder import Folder
from inflib.telemetry import count

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
"""Seconds before the first try more, doubled for each one after it; both jittered."""

_LONGEST_WAIT = 600.0
"""Of a server's Retry-After; when it asks for longer, the job stops."""

_BUSY = (408, 409, 429)
_ABOUT_THE_TEXT = ("context_length", "content_filter", "content_policy")
_SHOWN = 300


@dataclass(frozen=True)
class Receipt:
    """What one unit of work took now; answers kept before are not in it."""

    questions: int
    requests: int
    tokens_in: int
    tokens_out: int
    problem: str
    """Why asking had to stop; empty where it did not."""


class Pace:
    """Starts of requests, evenly spaced."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._next = seconds, 0.0

    async def turn(self) -> None:
        """Wait for the next start."""
        now = time.monotonic()
        start = max(now, self._next)
        self._next = start + self.seconds
        await asyncio.sleep(start - now)


class Asker:
    """One worker: a unit of work in, its receipt out."""

    def __init__(
        self, run: Folder, asks: Questions, key: SecretStr, num_workers: int
    ) -> None:
        self.run, self.asks, self.config, self._key = run, asks, asks.config, key
        self.answers = run / "judge" / asks.key() / "answers"
        limit = self.config.requests_per_minute
        self._pace = Pace(60.0 * num_workers / limit if limit else 0.0)
        self._problem = ""
        self._made: list[Answer] = []

    def __call__(self, unit: Sequence[tuple[Question, int]]) -> Receipt:
        self._made = []
        if not self._problem:
            asyncio.run(self._ask_all(unit))
        made = totals(self._made)
        return Receipt(
            len(unit),
            made["requests"],
            made["tokens_in"],
            made["tokens_out"],
            self._problem,
        )

    async def _ask_all(self, unit: Sequence[tuple[Question, int]]) -> None:
        from openai import AsyncOpenAI

        texts = self._texts(unit[0][0])
        under_way = asyncio.Semaphore(self.config.at_once)
        async with AsyncOpenAI(
            base_url=self.config.base_url,
            api_key=self._key.get_secret_value(),
            timeout=self.config.timeout,
            max_retries=0,
        ) as client:

            async def settle(question: Question, repeat: int) -> None:
                async with under_way:
                    text = self.asks.text(texts[question.row], question.part)
                    await self._settle(client, question.digest, text, repeat)

            # The first error, of storing an answer for one, ends all of them.
            await asyncio.gather(*(settle(*item) for item in unit))

    def _texts(self, question: Question) -> list[dict[str, str]]:
        folder = PairsFolder(self.run / "pairs" / question.pairs)
        (shard,) = (s for s in folder.plan() if s.name == question.shard)
        return folder.comparisons(shard, TEXTS).to_pylist()

    async def _settle(self, client: Any, digest: str, text: str, repeat: int) -> None:
        """Ask until an answer can be read, as often as the recipe allows."""
        names = chain(digest, repeat, self.config.reasks)
        for reask, name in enumerate(names):
            record = await asyncio.to_thread(self._kept, name)
            if record is None:
                record = await self._request(client, text, reask)
                if record is None:
                    return
                self._made.append(to_answer(record, self.asks))
                record = await asyncio.to_thread(self._keep, name, record)
                tokens = record["tokens_in"] + record["tokens_out"]
                count(operation="judge", requests=1, tokens=tokens)
            if to_answer(record, self.asks).value is not None:
                return

    def _kept(self, name: str) -> dict[str, Any] | None:
        try:
            return self.answers.read_json(name)
        except FileNotFoundError:
            return None

    def _keep(self, name: str, record: dict[str, Any]) -> dict[str, Any]:
        """Store an answer; returns the one that counts, the first."""
        try:
            self.answers.create(name, json.dumps(record, indent=1).encode())
        except ValueError:  # a worker of a driver that was killed outlived it
            return self.answers.read_json(name)
        return record

    async def _request(
        self, client: Any, text: str, reask: int
    ) -> dict[str, Any] | None:
        """The record of an answer; None when asking has to stop."""
        for retries in range(self.config.retries + 1):
            await self._pace.turn()
            if self._problem:
                return None
            try:
                return await self._try(client, text, reask) | {"retries": retries}
            except _FailedError as failed:
                said, wait = str(failed), failed.wait
            if self._problem:
                return None
            if wait > _LONGEST_WAIT:
                self._stop(f"{said}; wait for {wait:.0f} s")
                return None
            if retries < self.config.retries:
                count(operation="judge", retries=1)
                await asyncio.sleep(max(wait, pause(retries)))
        self._stop(f"{said} (after {self.config.retries} tries more)")
        return None

    async def _try(self, client: Any, text: str, reask: int) -> dict[str, Any]:
        """The record of an answer; raises _FailedError when there is none."""
        from openai import APIConnectionError, APIStatusError

        fields: dict[str, Any] = {self.config.max_tokens_field: self.config.max_tokens}
        if self.config.temperature is not None:
            fields["temperature"] = self.config.temperature
        try:
            response = await client.chat.completions.create(
                model=self.config.model,
                messages=messages(text, reask),
                extra_body=self.config.extra or None,
                **fields,
            )
        except APIStatusError as error:
            if _is_about_the_text(error):
                return {"text": "", "finish": self._said(error), **_tokens(None)}
            busy = error.status_code >= 500 or error.status_code in _BUSY
            if busy and error.code != "insufficient_quota":
                wait = retry_after(error.response.headers)
                raise _FailedError(self._said(error), wait) from error
            self._stop(self._said(error))
            raise _FailedError(self._said(error), 0.0) from error
        except APIConnectionError as error:  # a timeout is one, too
            raise _FailedError(f"{type(error).__name__}: {error}", 0.0) from error
        except json.JSONDecodeError as error:
            raise _FailedError("the reply is broken JSON", 0.0) from error
        choices = getattr(response, "choices", None)
        usage = getattr(response, "usage", None)
        if choices:
            answer = choices[0].message.content or ""
            return {
                "text": answer,
                "finish": str(choices[0].finish_reason),
                **_tokens(usage),
            }
        if usage is not None:  # refused after reading, and paid for
            return {"text": "", "finish": "no choices", **_tokens(usage)}
        raise _FailedError("the reply is no chat completion: check judge.base_url", 0.0)

    def _stop(self, why: str) -> None:
        self._problem = self._problem or f"{self.config.base_url}: {why}"

    def _said(self, error: Any) -> str:
        """Status and the server's words, without the key should they repeat it."""
        words = str(error.message)
        if self.config.api_key_env is not None:
            words = words.replace(self._key.get_secret_value(), "[key]")
        if len(words) > _SHOWN:
            words = words[:_SHOWN] + "..."
        return f"HTTP {error.status_code}: {words}"


def pause(retries: int) -> float:
    """Seconds before another try: doubled each time, half of it drawn."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**retries)
    return longest * random.uniform(0.5, 1.0)


def retry_after(headers: Any) -> float:
    """Seconds that a server asks to wait, in either form of the header; 0 for none."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        then = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def _is_about_the_text(error: Any) -> bool:
    said = f"{error.code} {error.message}".lower().replace(" ", "_")
    refused = error.status_code in (400, 413, 422)
    return refused and any(words in said for words in _ABOUT_THE_TEXT)


def _tokens(usage: Any) -> dict[str, int]:
    """As the endpoint reports them; none where it does not."""
    return {
        "tokens_in": usage.prompt_tokens if usage else 0,
        "tokens_out": usage.completion_tokens if usage else 0,
    }


class _FailedError(Exception):
    """A request without an answer, and seconds that the server asks to wait."""

    def __init__(self, said: str, wait: float) -> None:
        super().__init__(said)
        self.wait = wait
