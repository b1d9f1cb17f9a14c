"""Pictures of the explorer's page for the README: `python tools/explorer_pictures.py docs`.

Needs Chromium and the extra "test-browser". Writes explorer.png and explorer-dark.png: batch norm, at the
end of its way back.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from minigrad.viz.explainer import explain
from tests.browser import Browser, missing


def main(folder: Path) -> None:
    if missing():
        raise SystemExit(missing())
    with tempfile.TemporaryDirectory() as temporary:
        page = explain("batch_norm").save(Path(temporary, "batch_norm.html"))
        browser = Browser()
        try:
            for dark in (False, True):
                browser.open(page, 1280, 960, dark)
                browser.press("End")
                browser.run("document.getElementById('walk').scrollIntoView()")
                browser.screenshot(folder / ("explorer-dark.png" if dark else "explorer.png"))
        finally:
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
