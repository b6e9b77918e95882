"""judge/ of a run to what each judge prefers, see inflib.judging.verdicts."""

from inflib.data.ratings import read_choices, read_ratings
from inflib.storage.folder import Folder


def judge_results(run: Folder) -> dict[str, dict[str, int]]:
    """{judge: {comparison_id: 1 where it prefers response a, -1 for b, 0 for a tie}} of
    the judges that are through."""
    results = {}
    for name in sorted((run / "judge").folders()):
        folder = run / "judge" / name
        files = folder.names()
        if "done.json" not in files:
            continue
        if "choices.jsonl" in files and folder.read_bytes("choices.jsonl"):
            choices = read_choices(f"{folder.url}/choices.jsonl")
            signs = {"a": 1, "b": -1, "tie": 0}
            results[name] = {i: signs[choice] for i, choice in choices.items()}
        if "ratings.jsonl" in files and folder.read_bytes("ratings.jsonl"):
            ratings = read_ratings([f"{folder.url}/ratings.jsonl"]).by_comparison
            results[name] = {
                i: (a > b) - (a < b)
                for i, judges in ratings.items()
                for a, b in judges.values()
            }
    return results
