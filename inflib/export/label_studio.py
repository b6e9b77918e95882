"""Labels to review as a project of Label Studio: tasks.json and config.xml.

A task is Label Studio's import format: `data` that the tags of config.xml show, and the
proposed action as a prediction. See labelstud.io: /guide/tasks and /guide/export.
"""

from collections.abc import Iterator
from typing import Any

from inflib.export.review_items import CHOICES, ReviewItem, about
from inflib.export.target_files import new_file, write_json_list

CONFIG = f"""<View>
  <Header value="$about"/>
  <Header value="Prompt"/>
  <Text name="prompt" value="$prompt" valueType="text"/>
  <Header value="Chosen"/>
  <Text name="chosen" value="$chosen" valueType="text"/>
  <Header value="Rejected"/>
  <Text name="rejected" value="$rejected" valueType="text"/>
  <Choices name="action" toName="chosen" choice="single" required="true">
{chr(10).join(f'    <Choice value="{k}" hint="{v}"/>' for k, v in CHOICES.items())}
  </Choices>
  <TextArea name="note" toName="chosen" placeholder="Note" rows="2"/>
</View>
"""


def write_label_studio(folder: str, items: Iterator[list[ReviewItem]]) -> int:
    """Write tasks.json and config.xml; returns the number of tasks."""
    tasks = (_task(item) for of_shard in items for item in of_shard)
    count = write_json_list(f"{folder}/tasks.json", tasks)
    with new_file(f"{folder}/config.xml") as file:
        file.write(CONFIG.encode())
    return count


def _task(item: ReviewItem) -> dict[str, Any]:
    texts = {name: getattr(item, name) for name in ("prompt", "chosen", "rejected")}
    named = {"pair_id": item.pair_id, "labeler": item.labeler, "about": about(item)}
    task: dict[str, Any] = {
        "data": named | texts | {"reason": item.reason} | item.numbers
    }
    if item.proposed in CHOICES:
        region = {
            "id": "action",
            "from_name": "action",
            "to_name": "chosen",
            "type": "choices",
            "value": {"choices": [item.proposed]},
        }
        task["predictions"] = [{"model_version": "inflib", "result": [region]}]
    return task
