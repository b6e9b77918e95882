"""No recipe holds a credential, and no message shows one that it refuses."""

import pytest
import yaml

from inflib.config.credentials import in_address, in_fields
from inflib.config.loading import read_recipe
from tests.config.test_recipe import RECIPE

JUDGE = {"base_url": "https://h/v1", "model": "m"}


def refused(name, value):
    """The message that an option is refused with."""
    recipe = RECIPE | {"judge": JUDGE}
    with pytest.raises(ValueError, match=f"--{name}: ") as caught:
        read_recipe(yaml.safe_dump(recipe), {name: value}, "x.yaml")
    assert "Hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:Hush@host/v1",
        "https://Hush@host/v1",
        "user:Hush@host/v1",
        "https://host/v1?api_key=Hush",
        "https://host/v1?api-version=1&subscription-key=Hush",
        "https://host/v1?key=Hush",
        "https://host/v1#access_token=Hush",
        "https://host/sk-HushHushHushHush/v1",
    ],
)
def test_no_endpoint_holds_a_key(url):
    message = refused("judge.base_url", url)
    assert "api_key_env" in message or "must start with http" in message


@pytest.mark.parametrize(
    "extra",
    [
        {"api_key": "Hush"},
        {"API-Key": "Hush"},
        {"headers": {"Authorization": "Hush"}},
        {"extra_headers": [{"x": {"X-Api-Key": "Hush"}}]},
        {"token": "Hush"},
        {"access_token": "Hush"},
        {"client_secret": "Hush"},
        {"db": {"password": "Hush"}},
        {"headers": ["Bearer Hush"]},
        {"other": "sk-HushHushHushHush"},
        {"proxy": "http://user:Hush@proxy:8080"},
    ],
)
def test_no_field_of_requests_is_a_key(extra):
    assert "api_key_env" in refused("judge.extra", extra)


def test_usual_fields_of_requests_are_taken():
    extra = {
        "reasoning_effort": "low",
        "max_completion_tokens": 5,
        "stop_token_ids": [1],
        "skip_special_tokens": True,
        "prompt_cache_key": "a",
        "logit_bias": {"50256": -100},
        "metadata": {"author": "a", "keywords": ["key"]},
        "url": "https://host/image.png?api-version=2",
    }
    assert in_fields(extra) is None
    assert in_address("https://host:8000/v1?api-version=2024-06-01") is None
    judge = JUDGE | {"base_url": "https://h/v1?api-version=1", "extra": extra}
    recipe = read_recipe(yaml.safe_dump(RECIPE | {"judge": judge}), {}, "x.yaml")
    assert recipe.judge is not None
    assert recipe.judge.extra == extra


@pytest.mark.parametrize(
    "name",
    [
        "run",
        "prepare.train.path",
        "prepare.train.ratings",
        "prepare.queries.q.path",
        "model.base",
        "model.adapter",
        "judge.rubric",
        "judge.examples",
        "bias.choices",
    ],
)
@pytest.mark.parametrize(
    "address",
    [
        "s3://id:Hush@bucket/x",
        "s3://Hush@bucket/x",
        "https://host/x.jsonl?X-Amz-Signature=Hush",
        "az://box/x?sig=Hush",
        "simplecache::s3://id:Hush@bucket/x",
    ],
)
def test_no_address_holds_a_key(name, address):
    value = [address] if name == "bias.choices" else address
    assert "credentials" in refused(name, value)
