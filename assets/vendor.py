"""Copies the pinned front-end parts into the package (`npm ci --ignore-scripts` in this folder first).

Only what pages use is copied, with its licence. Users never run this: the copies are committed, and so are their
hashes. npm holds what it fetches against package-lock.json, tests/security/test_audit.py the copies against the hashes.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
NODE = HERE / "node_modules"
PACKAGE = HERE.parent / "phonebank"
TARGET = PACKAGE / "whatsappapi" / "static" / "vendor"
HASHES = HERE / "vendor.sha256"
SUBSETS = ("latin", "latin-ext", "greek", "cyrillic", "vietnamese")
SOURCE_MAP = re.compile(r"^(?://|/\*)# sourceMappingURL=.*$", re.MULTILINE)
# {% icon "name" %} in a template, or icon="name" / "icon": "name" where code picks one.
ICON = re.compile(r"""{% icon ["']([a-z0-9-]+)["']|\bicon["']?\s*[=:]\s*["']([a-z0-9-]+)["']""")


def main() -> int:
    if not NODE.is_dir():
        print("Run `npm ci --ignore-scripts` in assets/ first.", file=sys.stderr)
        return 1
    shutil.rmtree(TARGET, ignore_errors=True)
    _copy("@tabler/core/dist/css/tabler.min.css", "tabler/tabler.min.css")
    _copy("@tabler/core/dist/css/tabler.rtl.min.css", "tabler/tabler.rtl.min.css")  # from right to left
    shutil.copyfile(HERE / "licences/tabler.txt", TARGET / "tabler/LICENSE")  # its package carries none
    _copy("htmx.org/dist/htmx.min.js", "htmx/htmx.min.js")
    _copy("htmx.org/LICENSE", "htmx/LICENSE")
    # Lines, bars, the SVG renderer and tooltips; the smaller build draws on a canvas only and has no tooltip.
    _copy("echarts/dist/echarts.common.min.js", "echarts/echarts.common.min.js")
    for name in ("LICENSE", "NOTICE", "licenses/LICENSE-d3"):
        _copy(f"echarts/{name}", f"echarts/{name.rpartition('/')[2]}")
    _copy("zrender/LICENSE", "echarts/LICENSE-zrender")
    _inter()
    _icons()
    HASHES.write_text(hashes())
    return 0


def hashes() -> str:
    """Of every copied file, as sha256sum writes it; read from that folder, `sha256sum -c` takes it."""
    files = sorted(one for one in TARGET.rglob("*") if one.is_file())
    return "".join(
        f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.relative_to(TARGET).as_posix()}\n" for one in files
    )


def _copy(source: str, target: str) -> None:
    """Text loses its source map line: a hashed static storage stops at a map that is not there."""
    place = TARGET / target
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix in {".css", ".js"}:
        place.write_text(SOURCE_MAP.sub("", (NODE / source).read_text()).rstrip() + "\n")
    else:
        shutil.copyfile(NODE / source, place)


def _inter() -> None:
    """The variable font in the scripts it covers; browsers load only the subsets that a page shows."""
    faces = re.split(r"(?=/\* inter-)", (NODE / "@fontsource-variable/inter/wght.css").read_text())
    kept = [face for face in faces if re.match(rf"/\* inter-(?:{'|'.join(SUBSETS)})-wght-normal \*/", face)]
    for subset in SUBSETS:
        name = f"inter-{subset}-wght-normal.woff2"
        _copy(f"@fontsource-variable/inter/files/{name}", f"inter/files/{name}")
    (TARGET / "inter/inter.css").write_text("".join(kept).rstrip() + "\n")
    _copy("@fontsource-variable/inter/LICENSE", "inter/LICENSE")


def _icons() -> None:
    """One sprite of the icons that templates and Python name."""
    names: set[str] = set()
    for path in sorted([*PACKAGE.rglob("*.html"), *PACKAGE.rglob("*.py")]):
        names.update(a or b for a, b in ICON.findall(path.read_text()))
    svg = "{http://www.w3.org/2000/svg}"
    symbols = []
    for name in sorted(names):
        root = ElementTree.parse(NODE / f"@tabler/icons/icons/outline/{name}.svg").getroot()  # noqa: S314
        paths = "".join(f'<path d="{p.get("d")}"/>' for p in root.iter(f"{svg}path") if p.get("stroke") != "none")
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{paths}</symbol>')
    sprite = '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"
    (TARGET / "icons").mkdir(parents=True, exist_ok=True)
    (TARGET / "icons/icons.svg").write_text(sprite)
    _copy("@tabler/icons/LICENSE", "icons/LICENSE")


if __name__ == "__main__":
    raise SystemExit(main())
