"""Chunks of questions to records of answers, by requests to an OpenAI-compatible
endpoint: paced, retried, and no answer paid for twice.

Every answer is stored, in a file of its own, the moment it arrives, and what is stored
is not asked again: a worker that dies loses at most the answers under way.

Two things stop all asking, with a message: a refusal that other questions would meet,
too (key, model, address, quota), and a server that fails more than `retries` times in a
row for one question. A question that the endpoint refuses because of its text counts as
one whose answer cannot be read.
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
from inflib.judging.questions import Questionnaire, messages
from inflib.judging.verdicts import Answer, answer_names, to_answer, totals
from inflib.storage.folder import Folder
from inflib.storage.plain_text import without_credentials
from inflib.telemetry import count

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
"""Seconds before the first retry, doubled for each one after it, and their limit."""

_LONGEST_WAIT = 600.0
"""Seconds; when a server's Retry-After asks for more, the job stops."""

_BUSY = (408, 409, 429)
"""HTTP statuses below 500 after which the same request may succeed."""

_TEXT_ERRORS = ("context_length", "content_filter", "content_policy")
"""Words in the code or message of an error that is due to a question's text."""

_MESSAGE_LENGTH = 300
"""Characters shown of a server's error message."""


@dataclass(frozen=True)
class ChunkReceipt:
    """What asking one chunk of questions took; answers stored before are not in it."""

    questions: int
    """Questions of the chunk, each repeat counted."""

    requests: int
    """Answers that arrived."""

    tokens_in: int
    tokens_out: int
    problem: str
    """Why asking had to stop; empty where it did not."""


class Pace:
    """Spaces the starts of requests evenly, at least `seconds` apart."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._next = seconds, 0.0

    async def turn(self) -> None:
        """Wait until the next request may start."""
        now = time.monotonic()
        start = max(now, self._next)
        self._next = start + self.seconds
        await asyncio.sleep(start - now)


class Asker:
    """One worker: takes chunks of questions and stores the answers."""

    def __init__(
        self,
        run: Folder,
        questionnaire: Questionnaire,
        key: SecretStr,
        num_workers: int,
    ) -> None:
        self.run, self.questionnaire = run, questionnaire
        self.config, self._key = questionnaire.config, key
        self.answers = run / "judge" / questionnaire.key() / "answers"
        limit = self.config.requests_per_minute
        self._pace = Pace(60.0 * num_workers / limit if limit else 0.0)
        self._problem = ""
        self._new_answers: list[Answer] = []

    def __call__(self, chunk: Sequence[tuple[Question, int]]) -> ChunkReceipt:
        """Ask questions of one shard, each with the number of its repeat."""
        self._new_answers = []
        if not self._problem:
            asyncio.run(self._ask_all(chunk))
        sums = totals(self._new_answers)
        return ChunkReceipt(
            len(chunk),
            sums["requests"],
            sums["tokens_in"],
            sums["tokens_out"],
            self._problem,
        )

    async def _ask_all(self, chunk: Sequence[tuple[Question, int]]) -> None:
        from openai import AsyncOpenAI

        texts = self._texts(chunk[0][0])
        under_way = asyncio.Semaphore(self.config.at_once)
        async with AsyncOpenAI(
            base_url=self.config.base_url,
            api_key=self._key.get_secret_value(),
            timeout=self.config.timeout,
            max_retries=0,
        ) as client:

            async def settle(question: Question, repeat: int) -> None:
                async with under_way:
                    text = self.questionnaire.text(texts[question.row], question.side)
                    await self._settle(client, question.digest, text, repeat)

            # The first exception, such as one from storing an answer, ends all of them.
            await asyncio.gather(*(settle(*item) for item in chunk))

    def _texts(self, question: Question) -> list[dict[str, str]]:
        """Texts of all comparisons of the question's shard."""
        folder = PairsFolder(self.run / "pairs" / question.pairs)
        (shard,) = (s for s in folder.plan() if s.name == question.shard)
        return folder.comparisons(shard, TEXTS).to_pylist()

    async def _settle(self, client: Any, digest: str, text: str, repeat: int) -> None:
        """Ask until an answer can be read, at most 1 + judge.reasks times."""
        names = answer_names(digest, repeat, self.config.reasks)
        for reask, name in enumerate(names):
            record = await asyncio.to_thread(self._stored, name)
            if record is None:
                record = await self._request(client, text, reask)
                if record is None:
                    return
                self._new_answers.append(to_answer(record, self.questionnaire))
                record = await asyncio.to_thread(self._store, name, record)
                tokens = record["tokens_in"] + record["tokens_out"]
                count(operation="judge", requests=1, tokens=tokens)
            if to_answer(record, self.questionnaire).value is not None:
                return

    def _stored(self, name: str) -> dict[str, Any] | None:
        try:
            return self.answers.read_json(name)
        except FileNotFoundError:
            return None

    def _store(self, name: str, record: dict[str, Any]) -> dict[str, Any]:
        """Store an answer; returns the answer that counts: the one stored first."""
        try:
            self.answers.create(name, json.dumps(record, indent=1).encode())
        except ValueError:  # a worker of a driver that was killed outlived it
            return self.answers.read_json(name)
        return record

    async def _request(
        self, client: Any, text: str, reask: int
    ) -> dict[str, Any] | None:
        """The record of an answer, after retries; None when asking has to stop."""
        for retries in range(self.config.retries + 1):
            await self._pace.turn()
            if self._problem:
                return None
            try:
                return await self._try(client, text, reask) | {"retries": retries}
            except _FailedError as failed:
                message, wait = str(failed), failed.wait
            if self._problem:
                return None
            if wait > _LONGEST_WAIT:
                self._stop(f"{message}; wait for {wait:.0f} s")
                return None
            if retries < self.config.retries:
                count(operation="judge", retries=1)
                await asyncio.sleep(max(wait, pause(retries)))
        self._stop(f"{message} (after {self.config.retries} tries more)")
        return None

    async def _try(self, client: Any, text: str, reask: int) -> dict[str, Any]:
        """The record of an answer, by one request; raises _FailedError without one."""
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
                return {"text": "", "finish": self._message(error), **_tokens(None)}
            busy = error.status_code >= 500 or error.status_code in _BUSY
            if busy and error.code != "insufficient_quota":
                wait = retry_after(error.response.headers)
                raise _FailedError(self._message(error), wait) from error
            self._stop(self._message(error))
            raise _FailedError(self._message(error), 0.0) from error
        except APIConnectionError as error:  # a timeout is one, too
            words = without_credentials(f"{type(error).__name__}: {error}")
            raise _FailedError(words, 0.0) from error
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

    def _stop(self, message: str) -> None:
        self._problem = self._problem or f"{self.config.base_url}: {message}"

    def _message(self, error: Any) -> str:
        """Status and the server's words, without the key should they repeat it."""
        words = without_credentials(str(error.message))
        if self.config.api_key_env is not None:
            words = words.replace(self._key.get_secret_value(), "[key]")
        if len(words) > _MESSAGE_LENGTH:
            words = words[:_MESSAGE_LENGTH] + "..."
        return f"HTTP {error.status_code}: {words}"


def pause(retries: int) -> float:
    """Seconds before a retry, `retries` retries having failed: a random time between
    half and all of a limit that doubles with each retry, up to a minute."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**retries)
    return longest * random.uniform(0.5, 1.0)


def retry_after(headers: Any) -> float:
    """Seconds that a server asks to wait by its Retry-After header, which holds seconds
    or a date; 0 without a readable one."""
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
    message = f"{error.code} {error.message}".lower().replace(" ", "_")
    refused = error.status_code in (400, 413, 422)
    return refused and any(words in message for words in _TEXT_ERRORS)


def _tokens(usage: Any) -> dict[str, int]:
    """Tokens read and written, as the endpoint reports them; 0 where it does not."""
    return {
        "tokens_in": usage.prompt_tokens if usage else 0,
        "tokens_out": usage.completion_tokens if usage else 0,
    }


class _FailedError(Exception):
    """A request without an answer, and seconds that the server asks to wait."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait
