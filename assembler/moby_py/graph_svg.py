"""Draws a `graph.Picture` as SVG by hand: three rows of cards, the engine's lines fanning out below
it, capabilities as labelled arcs under the cards, and the host's programs at the bottom.

No layout library: the shape of a platform is known. The result has no script, no font file and no
timestamp; it reads in light and dark surroundings because it brings its own background.
"""

from __future__ import annotations

from html import escape

from moby_py.graph import FLOOR, Link, Node, Picture

CARD_W, CARD_H, GAP, MARGIN = 164, 62, 26, 36
ROW_GAP, FAN_GAP, TITLE_H = 38, 62, 58
CHIP_H, CHIP_GAP = 22, 6
ARC_H = 20
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
COLOURS = {
    "api": "#2563eb",
    "engine": "#7c3aed",
    "runtime": "#ea580c",
    "image_store": "#0d9488",
    "network": "#0284c7",
    "secrets": "#be123c",
}
OTHER = "#4d7c0f"
INK, SOFT, LINE, PAPER = "#0f172a", "#64748b", "#94a3b8", "#f8fafc"


def svg(picture: Picture) -> str:
    """The whole document, ending in a newline."""
    rows = [picture.level(number) for number in range(FLOOR + 1)]
    arcs = _arcs(picture, rows[FLOOR])
    inner = max(_width(len(row)) for row in [*rows, (None,) * 2])
    total = inner + 2 * MARGIN
    place: dict[str, tuple[float, float]] = {}
    client_y = float(TITLE_H)
    y = floor_y = client_y + 34 + ROW_GAP
    for number, row in enumerate(rows):
        x = MARGIN + (inner - _width(len(row))) / 2
        for node in row:
            place[node.key] = (x, y)
            x += CARD_W + GAP
        if row:
            floor_y = y + CARD_H
            y = floor_y + (FAN_GAP if number + 1 == FLOOR else ROW_GAP)
    arcs_h = (ARC_H * len(arcs) + 14) if arcs else 0
    chips = max((len(node.programs) for node in rows[FLOOR]), default=0)
    host_y = floor_y + arcs_h + 26
    host_h = (chips * (CHIP_H + CHIP_GAP) + 34) if chips else 0
    height = (host_y + host_h if chips else floor_y + arcs_h) + MARGIN

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(total)} {_n(height)}" '
        f'width="{_n(total)}" height="{_n(height)}" role="img" font-family="{FONT}">',
        f"<title>The wiring of {escape(picture.name)}</title>",
        f'<rect width="{_n(total)}" height="{_n(height)}" rx="14" fill="{PAPER}"/>',
        _text(MARGIN, 36, picture.name, 19, INK, weight=700),
        _text(total - MARGIN, 36, "moby-py", 12, SOFT, anchor="end"),
    ]
    if chips:
        out += _host_panel(total, host_y, host_h)
    middle = total / 2
    for node in rows[0]:
        x, y0 = place[node.key]
        out.append(_curve(middle, client_y + 34, x + CARD_W / 2, y0, LINE))
    for link in picture.links:
        if not link.label:
            out.append(_fall(place[link.user], place[link.server], _colour(_kind(picture, link.server))))
    for node in rows[FLOOR]:
        out += _chips(node, place[node.key][0], floor_y, host_y)
    for depth, link in enumerate(arcs):
        out += _arc(place[link.user], place[link.server], depth, link.label)
    out += _client(middle, client_y, picture.name)
    for node in picture.nodes:
        out += _card(node, *place[node.key])
    return "\n".join([*out, "</svg>"]) + "\n"


def _arcs(picture: Picture, floor: tuple[Node, ...]) -> list[Link]:
    """Capabilities between cards of the lowest row; shorter ones are drawn nearer to the cards."""
    at = {node.key: index for index, node in enumerate(floor)}
    links = [link for link in picture.links if link.label and link.user in at and link.server in at]
    return sorted(links, key=lambda k: (abs(at[k.user] - at[k.server]), k.user, k.server, k.label))


def _card(node: Node, x: float, y: float) -> list[str]:
    colour = _colour(node.kind)
    parts = [
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{CARD_W}" height="{CARD_H}" rx="10" fill="#ffffff" '
        f'stroke="{colour}" stroke-opacity="0.45"/>',
        f'<path d="M{_n(x + 10)} {_n(y)} a10 10 0 0 0 -10 10 v{CARD_H - 20} a10 10 0 0 0 10 10 z" '
        f'fill="{colour}"/>',
        _text(x + 22, y + 24, node.kind.replace("_", " "), 11.5, colour, weight=600),
        _text(x + 22, y + 45, _fit(node.id, 14 if node.use == node.id else 9), 16, INK, weight=700),
    ]
    if node.use != node.id:
        parts.append(_text(x + CARD_W - 12, y + 45, _fit(node.use, 9), 11.5, SOFT, anchor="end"))
    if node.level != FLOOR and node.programs:
        parts.append(_text(x + CARD_W + 10, y + 36, ", ".join(node.programs), 11.5, SOFT))
    if node.default:
        parts.append(_text(x + CARD_W - 12, y + 24, "default", 10.5, SOFT, anchor="end"))
    return parts


def _client(middle: float, y: float, name: str) -> list[str]:
    label = f"docker · compose · bin/{name}"
    width = max(190.0, 7.3 * len(label) + 36)
    return [
        f'<rect x="{_n(middle - width / 2)}" y="{_n(y)}" width="{_n(width)}" height="34" rx="17" '
        f'fill="{INK}"/>',
        _text(middle, y + 22, label, 13, "#ffffff", anchor="middle"),
    ]


def _chips(node: Node, x: float, bottom: float, host_y: float) -> list[str]:
    """The node's programs inside the host panel, below its card, joined by a dotted line."""
    if not node.programs:
        return []
    first = host_y + 27
    middle = x + CARD_W / 2
    out = [
        f'<path d="M{_n(middle)} {_n(bottom)} V{_n(first)}" stroke="{LINE}" stroke-dasharray="2 4" '
        'stroke-linecap="round" fill="none"/>'
    ]
    for index, program in enumerate(node.programs):
        y = first + index * (CHIP_H + CHIP_GAP)
        out += [
            f'<rect x="{_n(x + 8)}" y="{_n(y)}" width="{CARD_W - 16}" height="{CHIP_H}" rx="6" '
            'fill="#ffffff" stroke="#cbd5e1"/>',
            _text(x + CARD_W / 2, y + 15, _fit(program, 24), 11.5, "#334155", anchor="middle"),
        ]
    return out


def _host_panel(total: float, y: float, height: float) -> list[str]:
    return [
        f'<rect x="{MARGIN - 14}" y="{_n(y)}" width="{_n(total - 2 * MARGIN + 28)}" height="{_n(height)}" '
        'rx="12" fill="#e2e8f0" fill-opacity="0.6"/>',
        _text(MARGIN, y + 18, "this host", 11.5, SOFT, weight=600),
    ]


def _fall(user: tuple[float, float], server: tuple[float, float], colour: str) -> str:
    """From the bottom of one card to the top of one below it."""
    return _curve(user[0] + CARD_W / 2, user[1] + CARD_H, server[0] + CARD_W / 2, server[1], colour)


def _curve(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    middle = (y1 + y2) / 2
    return (
        f'<path d="M{_n(x1)} {_n(y1)} C{_n(x1)} {_n(middle)} {_n(x2)} {_n(middle)} {_n(x2)} {_n(y2)}" '
        f'stroke="{colour}" stroke-width="2" stroke-opacity="0.75" fill="none"/>'
    )


def _arc(user: tuple[float, float], server: tuple[float, float], depth: int, label: str) -> list[str]:
    """A bracket under the cards, arrow at the provider, the capability's name on it."""
    side = 1 if server[0] > user[0] else -1
    x1, x2 = user[0] + CARD_W / 2 + side * 24, server[0] + CARD_W / 2 - side * 24
    y = user[1] + CARD_H
    low = y + 14 + ARC_H * depth
    width = 6.4 * len(label) + 14
    middle = (x1 + x2) / 2
    return [
        f'<path d="M{_n(x1)} {_n(y)} V{_n(low - 6)} Q{_n(x1)} {_n(low)} {_n(x1 + side * 6)} {_n(low)} '
        f'H{_n(x2 - side * 6)} Q{_n(x2)} {_n(low)} {_n(x2)} {_n(low - 6)} V{_n(y + 5)}" '
        f'stroke="{SOFT}" stroke-width="1.4" fill="none"/>',
        f'<path d="M{_n(x2 - 4)} {_n(y + 7)} L{_n(x2)} {_n(y)} L{_n(x2 + 4)} {_n(y + 7)} z" fill="{SOFT}"/>',
        f'<rect x="{_n(middle - width / 2)}" y="{_n(low - 8)}" width="{_n(width)}" height="16" rx="8" '
        f'fill="{PAPER}"/>',
        _text(middle, low + 4, label, 11, "#475569", anchor="middle"),
    ]


def _text(
    x: float, y: float, text: str, size: float, colour: str, *, anchor: str = "start", weight: int = 400
) -> str:
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    heavy = "" if weight == 400 else f' font-weight="{weight}"'
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size:g}" fill="{colour}"{where}{heavy}>'
        f"{escape(text)}</text>"
    )


def _fit(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _colour(kind: str) -> str:
    return COLOURS.get(kind, OTHER)


def _kind(picture: Picture, key: str) -> str:
    return next(node.kind for node in picture.nodes if node.key == key)


def _width(count: int) -> float:
    return count * CARD_W + max(count - 1, 0) * GAP


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
