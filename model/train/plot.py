"""Draws loss curves: bits per byte of the validation sample over tokens, from the log.csv of run folders, as SVG.

    plot.py OUT.svg NAME=RUN [NAME=RUN...]

A run may be preceded, with +, by those it went on from: FIRST+SECOND+RUN draws RUN behind the tokens of the others.
"""
import csv
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 760, 380, 60, 40, 20, 150
COLOURS = ["#1b6ca8", "#c8553d", "#588157", "#6d597a"]


def read(folders):
    """(millions of tokens, bits per byte) of the last of the folders."""
    before, last, points = 0.0, 0.0, []
    for folder in folders.split("+"):
        with open(Path(folder) / "log.csv", newline="") as file:
            rows = [(int(row["tokens"]) / 1e6, float(row["mean"])) for row in csv.DictReader(file)]
        # A decay counts on from the run that it branches from; a new run counts from nothing.
        before += last if rows[0][0] < last else 0
        last = rows[-1][0]
        points = [(before + tokens, mean) for tokens, mean in rows]
    return points


def main():
    out, *arguments = sys.argv[1:]
    runs = [(name, read(folders)) for name, folders in (a.split("=", 1) for a in arguments)]
    every = [point for _, points in runs for point in points]
    most = max(tokens for tokens, _ in every)
    least, largest = min(mean for _, mean in every), max(mean for _, mean in every)
    line = next(d for d in (0.02, 0.05, 0.1, 0.2) if (largest - least) / d <= 16)
    low = least // line * line
    high = (largest // line + 1) * line

    def x(tokens):
        return LEFT + (WIDTH - LEFT - RIGHT) * tokens / most

    def y(mean):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - mean) / (high - low)

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">']
    svg.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>')
    for i in range(round((high - low) / line) + 1):
        mean = low + line * i
        svg.append(f'<path d="M{LEFT} {y(mean):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        svg.append(f'<text x="{LEFT - 8}" y="{y(mean) + 4:.1f}" text-anchor="end">{mean:.2f}</text>')
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if most / s <= 8)
    for i in range(int(most // step) + 1):
        svg.append(f'<text x="{x(i * step):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{i * step}</text>')
    svg.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">million tokens</text>')
    svg.append(f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">bits per byte</text>')
    for (name, points), colour in zip(runs, COLOURS):
        path = "L".join(f"{x(tokens):.1f} {y(mean):.1f}" for tokens, mean in points)
        svg.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        tokens, mean = points[-1]
        svg.append(f'<text x="{x(tokens) + 6:.1f}" y="{y(mean) + 4:.1f}" fill="{colour}">{name} {mean:.3f}</text>')
    svg.append("</svg>")
    Path(out).write_text("\n".join(svg) + "\n")


if __name__ == "__main__":
    main()
