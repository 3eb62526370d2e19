"""Executes the notebooks from the top and keeps their outputs, without what changes from one execution to the next.

    python notebooks/execute.py    # or `make notebooks`; needs pip install 'ltb[notebooks]'

A notebook runs in a temporary copy of this folder and of the studies' rows, in a kernel of this Python, so that what it
writes is gone afterwards and no path of this machine is in its outputs.
"""

from __future__ import annotations

import base64
import io
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image
from traitlets.config import Config

HERE = Path(__file__).resolve().parent
SECONDS = 300  # for a cell; a notebook takes less than 60 in all on a core of its own


def execute(notebook: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs as they come out today; CellExecutionError, with the trace, if a cell fails."""
    found = nbformat.read(notebook, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / "notebooks"
        here.mkdir()
        runs = shutil.ignore_patterns("runs")  # what somebody may have made there: gigabytes
        shutil.copytree(HERE.parent / "experiments", Path(folder) / "experiments", ignore=runs)
        # By sockets in the folder: no port is opened.
        config = Config(AsyncKernelManager={"transport": "ipc", "ip": str(Path(folder) / "kernel")})
        about = {"metadata": {"path": str(here)}}
        NotebookClient(found, timeout=SECONDS, kernel_name="python3", resources=about, config=config).execute()
    return tidy(found)


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same notebook without times and this machine's versions, its images in fewer bytes."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
        }
    )
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller(output.data["image/png"])
    return notebook


def smaller(image: str) -> str:
    """A figure, PNG in base64, with a palette of 128 colours: an eighth of the bytes, and no eye sees it."""
    figure = Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB")
    file = io.BytesIO()
    figure.quantize(128, dither=Image.Dither.NONE).save(file, format="png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main() -> None:
    """Execute every notebook here, in order, and write each in place once it is through."""
    for notebook in sorted(HERE.glob("*.ipynb")):
        print(f"{notebook.name} …", end=" ", flush=True)
        nbformat.write(execute(notebook), notebook)
        print(f"{notebook.stat().st_size // 1000} kB")


if __name__ == "__main__":
    sys.exit(main())
