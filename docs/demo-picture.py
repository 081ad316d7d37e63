#!/usr/bin/env python3
"""Makes docs/demo.svg from a terminal: tmux runs the demo, its last screen with colours becomes the picture.

    cargo build --release && python3 docs/demo-picture.py
"""

import html
import pathlib
import re
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 175, 56
COLOURS = {"31": "#e06c75", "32": "#98c379", "33": "#e5c07b", "36": "#56b6c2"}


def tmux(*arguments):
    return subprocess.run(["tmux", "-L", "dv-demo", *arguments], check=True, capture_output=True, text=True).stdout


def spans(line):
    style, out = "", []
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b["):
            codes = part[2:-1].split(";")
            style = "" if codes in ([""], ["0"]) else style
            for code in codes:
                if code in COLOURS:
                    style = f'fill="{COLOURS[code]}"'
                elif code == "2":
                    style = 'fill="#7f848e"'
        elif part:
            out.append(f"<tspan {style}>{html.escape(part)}</tspan>")
    return "".join(out)


tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "env", "PS1=$ ", "sh")
try:
    tmux("send-keys", "clear; target/release/dv-verify demo", "Enter")
    for _ in range(100):
        time.sleep(0.2)
        if "Now with your own account" in tmux("capture-pane", "-p"):
            break
    screen = tmux("capture-pane", "-p", "-e").rstrip("\n").split("\n")
finally:
    tmux("kill-server")
height = 18 * len(screen) + 24
lines = "\n".join(
    f'<text x="12" y="{26 + 18 * number}" xml:space="preserve">{spans(line)}</text>' for number, line in enumerate(screen)
)
(ROOT / "docs" / "demo.svg").write_text(
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{COLUMNS * 8 + 24}" height="{height}" font-family="monospace" font-size="13" fill="#d7dae0">\n'
    f'<rect width="100%" height="100%" rx="8" fill="#1e2127"/>\n{lines}\n</svg>\n'
)
