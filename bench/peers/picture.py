"""Draws how long each tool takes for one certificate, as SVG. Standard library only."""

import html

WIDTH, LEFT, BAR, GAP = 760, 190, 18, 7
COLOURS = {True: "#2563eb", False: "#94a3b8"}


def draw(groups, note):
    """`groups`: a title, and pairs of a tool and seconds, for each; the bars of all have one scale. Reads well on light and on dark pages."""
    longest = max(seconds for _, rows in groups for _, seconds in rows)
    room = WIDTH - LEFT - 90
    parts, y = [], 8
    for title, rows in groups:
        y += 20
        parts.append(f'<text x="0" y="{y}" class="title">{html.escape(title)}</text>')
        y += 12
        for tool, seconds in sorted(rows, key=lambda row: row[1]):
            length = max(2, seconds / longest * room)
            middle = y + BAR * 0.72
            parts.append(f'<text x="{LEFT - 8}" y="{middle:.0f}" text-anchor="end">{html.escape(tool)}</text>')
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{COLOURS[tool == "dv-verify"]}"/>')
            parts.append(f'<text x="{LEFT + length + 8:.0f}" y="{middle:.0f}">{seconds:.2f} s</text>')
            y += BAR + GAP
        y += 8
    y += 14
    parts.append(f'<text x="0" y="{y}" class="note">{html.escape(note)}</text>')
    style = (
        "text{font:13px system-ui,sans-serif;fill:#1f2937}.title{font-weight:600}.note{font-size:11px}"
        "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}}"
    )
    label = "; ".join(f"{title}: " + ", ".join(f"{tool} {seconds:.2f} s" for tool, seconds in rows) for title, rows in groups)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 8}" width="{WIDTH}" role="img" aria-label="{html.escape(label)}">'
    return f"{head}<style>{style}</style>{''.join(parts)}</svg>\n"
