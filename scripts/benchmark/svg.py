"""Plots as SVG text: horizontal bars with whiskers, stacked bars, lines. Colours are classes of the page's style."""
import math
from html import escape

WIDTH = 960
LABEL = 350
RIGHT = 110
ROW = 24
BAR = 15


def short(value):
    """12.3k, 4.56M: as wide as an axis label may be."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"


def ticks(most):
    """Round numbers from 0 to about `most`."""
    if most <= 0:
        return [0]
    step = 10 ** math.floor(math.log10(most / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if most / (step * factor) <= 6)
    return [step * i for i in range(int(most / step + 1e-9) + 1)]


def text(x, y, words, css="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(words)}</text>'


def rectangle(x, y, width, height, css, title):
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" rx="2" class="{css}">'
            f"<title>{escape(title)}</title></rect>")


def line(x1, y1, x2, y2, css):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def wrap(height, parts, title):
    return (f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}" '
            f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>')


def horizontal_axis(most, top, bottom, unit):
    plot = WIDTH - LABEL - RIGHT
    parts = []
    for tick in ticks(most):
        x = LABEL + plot * tick / most
        parts += [line(x, top, x, bottom, "grid"), text(x, bottom + 16, short(tick), "tick", "middle")]
    parts.append(text(WIDTH - RIGHT, bottom + 32, unit, "tick", "end"))
    return parts


def bars(title, unit, items):
    """items: (label, colour class, value, [least, most] or None)."""
    most = max([value for _, _, value, _ in items] + [limits[1] for *_, limits in items if limits]) or 1
    plot = WIDTH - LABEL - RIGHT
    bottom = 8 + ROW * len(items)
    parts = horizontal_axis(most, 4, bottom, unit)
    for i, (label, css, value, limits) in enumerate(items):
        y = 8 + ROW * i
        told = f"{label}: {value:,.6g} {unit}"
        parts.append(text(LABEL - 8, y + BAR - 3, label, "label", "end"))
        parts.append(rectangle(LABEL, y, plot * value / most, BAR, css, told))
        end = value
        if limits and limits[1] > limits[0]:
            low, high = (LABEL + plot * edge / most for edge in limits)
            parts += [line(low, y + BAR / 2, high, y + BAR / 2, "whisker"), line(low, y + 3, low, y + BAR - 3, "whisker"),
                      line(high, y + 3, high, y + BAR - 3, "whisker")]
            end = max(value, limits[1])
        parts.append(text(LABEL + plot * end / most + 6, y + BAR - 3, short(value), "value"))
    return wrap(bottom + 40, parts, title)


def stacked(title, unit, kinds, items):
    """kinds: (name, colour class); items: (label, {name: value})."""
    sums = [sum(values.get(name, 0) for name, _ in kinds) for _, values in items]
    most = max(sums) or 1
    plot = WIDTH - LABEL - RIGHT
    bottom = 8 + ROW * len(items)
    parts = horizontal_axis(most, 4, bottom, unit)
    for i, (label, values) in enumerate(items):
        y = 8 + ROW * i
        x = LABEL
        parts.append(text(LABEL - 8, y + BAR - 3, label, "label", "end"))
        for name, css in kinds:
            width = plot * values.get(name, 0) / most
            if width > 0.2:
                parts.append(rectangle(x, y, max(width - 1, 0.5), BAR, css, f"{label}, {name}: {values[name]:,.0f} {unit}"))
            x += width
        parts.append(text(x + 6, y + BAR - 3, short(sums[i]), "value"))
    return wrap(bottom + 40, parts, title)


def percentile_place(part):
    """Where a percentile stands: each nine as wide as the one before."""
    return -math.log10(max(1 - part / 100, 1e-4))


def percentile_lines(title, unit, items):
    """items: (label, colour class, [(percentile, value)]); both axes logarithmic."""
    values = [value for *_, points in items for _, value in points if value > 0]
    low, high = math.floor(math.log10(min(values)) * 3) / 3, math.ceil(math.log10(max(values)) * 3) / 3
    left, right, top, bottom = 70, WIDTH - RIGHT, 10, 330
    widest = percentile_place(99.9)

    def place(part, value):
        x = left + (right - left) * min(percentile_place(part), widest) / widest
        return x, bottom - (bottom - top) * (math.log10(max(value, 1e-9)) - low) / max(high - low, 1e-9)

    parts = []
    for decade in range(math.floor(low), math.ceil(high) + 1):
        for digit in (1, 2, 5):
            value = digit * 10.0**decade
            if low <= math.log10(value) <= high:
                y = place(50, value)[1]
                parts += [line(left, y, right, y, "grid"), text(left - 6, y + 4, short(value), "tick", "end")]
    for part in (10, 50, 75, 90, 95, 99, 99.9):
        x = place(part, 1)[0]
        parts += [line(x, top, x, bottom, "grid"), text(x, bottom + 16, f"p{part:g}", "tick", "middle")]
    parts.append(text(left, bottom + 34, unit, "tick"))
    for label, css, points in items:
        inside = [(part, value) for part, value in points if 1 < part <= 99.9]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in inside))
        parts.append(f'<polyline points="{path}" class="line {css}"><title>{escape(label)}</title></polyline>')
        for point in inside:
            x, y = place(*point)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="dot {css}"><title>'
                         f"{escape(label)}, p{point[0]:g}: {point[1]:,.4g} {unit}</title></circle>")
    return wrap(bottom + 42, parts, title)
