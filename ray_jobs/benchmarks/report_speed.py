"""The report benchmark: the report stage in a process of its own, and its page."""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from inflib.benchmarks.memory import peak_memory
from inflib.benchmarks.page_speed import page_speed
from inflib.benchmarks.report_run import write_report_run

BARS = {
    "report_seconds": 60,
    "report_peak_gib": 2,
    "page_bytes": 15_000_000,
    "first_paint_seconds": 2,
    "sort_seconds": 0.5,
}


def report_speed(
    labels: int, k: int, repeats: int, folder: str | None
) -> dict[str, Any]:
    """Seconds and memory of the report stage, bytes of the page, and its speed.

    labels: training labels; k: entries of a sketch; folder: where the run is put, which
    needs labels * k bytes. page_bytes: of index.html, assets, facts.js and columns.js;
    text_bytes: of all other files in data/.
    """
    scratch = Path(tempfile.mkdtemp(prefix="report-", dir=folder))
    try:
        run = scratch / "run"
        started = time.perf_counter()
        write_report_run(str(run), labels, k)
        made = time.perf_counter() - started
        command = [sys.executable, "-m", "ray_jobs.report", "--run", str(run)]
        started, used = time.perf_counter(), _cpu_of_children()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with peak_memory(process.pid) as peaks:
            if process.wait():
                raise RuntimeError("inflib report failed, see above")
        seconds = time.perf_counter() - started
        used = _cpu_of_children() - used
        report = run / "report"
        sizes = {
            str(path.relative_to(report)): path.stat().st_size
            for path in report.rglob("*")
            if path.is_file()
        }
        page = sum(size for name, size in sizes.items() if _is_page(name))
        data = sum(size for name, size in sizes.items() if name.startswith("data/"))
        apart = sum(sizes[f"data/{name}.js"] for name in ("facts", "columns"))
        address = (report / "index.html").resolve().as_uri()
        return {
            "labels": labels,
            "k": k,
            "run_made_seconds": round(made, 1),
            "report_seconds": round(seconds, 1),
            "report_cpu_seconds": round(used, 1),
            "report_peak_gib": sum(peak["rss_gib"] for peak in peaks.values()),
            "page_bytes": page,
            "text_bytes": data - apart,
            **page_speed(address, repeats),
            "bars": BARS,
        }
    finally:
        shutil.rmtree(scratch)


def _cpu_of_children() -> float:
    """Seconds that processes which have ended spent computing: what a machine that
    others use as well does not change much."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _is_page(name: str) -> bool:
    """Whether a file of report/ is read before any text is shown."""
    beside = ("index.html", "data/facts.js", "data/columns.js")
    return name in beside or name.startswith("assets/")
