"""Names that are made of paths."""

from inflib.files.paths import shortest_names


def test_names_of_folders_tell_all_files_apart():
    assert shortest_names([]) == {}
    one = ["runs/a/judge/gpt/choices.jsonl"]
    assert shortest_names(one) == {one[0]: "gpt"}
    two = ["runs/a/judge/gpt/choices.jsonl", "runs/b/judge/gpt/choices.jsonl"]
    assert [*shortest_names(two).values()] == ["a/judge/gpt", "b/judge/gpt"]
    nested = ["gpt/choices.jsonl", "/x/gpt/choices.jsonl"]
    assert [*shortest_names(nested).values()] == ["gpt", "x/gpt"]
    beside = ["judges/gpt.jsonl", "judges/claude.jsonl"]
    assert [*shortest_names(beside).values()] == beside
    assert [*shortest_names(["gpt.jsonl"]).values()] == ["gpt.jsonl"]
