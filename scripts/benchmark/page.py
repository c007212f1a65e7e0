"""The report as one HTML page: no script, nothing fetched, readable by daylight and at night, a table under each plot."""
from html import escape

from . import machine, svg, table
from .goals import MET, NOT_MET, Goal

STAGES = ("receive", "tcp", "pdu", "digest", "copy", "scsi", "completion", "transmit", "other")
STYLE = """
:root{color-scheme:light dark;--ink:#1d2327;--soft:#5a6570;--page:#fff;--panel:#f5f6f8;--edge:#d7dce1;--grid:#e3e7eb;
--c0:#2b6cb0;--c1:#c2571a;--c2:#7a8793;--c3:#3f8f5f;--c4:#8a5cb8;--c5:#b8922c;--c6:#c0436b;--c7:#2a9aa8;--c8:#9aa3ab;
--good:#1f7a44;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#9aa7b3;--page:#14181c;--panel:#1c2227;--edge:#343d45;
--grid:#2a3239;--c0:#6aa9e9;--c1:#e9935a;--c2:#8b98a4;--c3:#6cc48f;--c4:#b596dd;--c5:#dcbb5e;--c6:#e8809f;--c7:#64c6d2;
--c8:#65707a;--good:#6fd197;--bad:#ff8a80}}
body{margin:0 auto;max-width:1040px;padding:24px 20px 60px;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:36px 0 6px}p{margin:4px 0 10px}.soft{color:var(--soft);font-size:13px}
figure{margin:10px 0;padding:12px;background:var(--panel);border:1px solid var(--edge);border-radius:8px;overflow-x:auto}
svg{width:100%;min-width:640px;height:auto;display:block}svg text{fill:var(--ink);font-size:12px}
svg .tick,svg .value{fill:var(--soft);font-size:11px}.grid{stroke:var(--grid)}.whisker{stroke:var(--ink);stroke-width:1.2}
.line{fill:none;stroke-width:2}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:12.5px;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:4px 8px;border-bottom:1px solid var(--edge);text-align:right;vertical-align:top}
th:first-child,td:first-child,td.words,th.words{text-align:left}th{color:var(--soft);font-weight:600}
.met{color:var(--good);font-weight:600;white-space:nowrap}.not{color:var(--bad);font-weight:600;white-space:nowrap}
.open{color:var(--soft);white-space:nowrap}.legend span{display:inline-block;margin:0 14px 4px 0;font-size:12.5px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:5px;vertical-align:-1px}
details{margin:4px 0 0}summary{cursor:pointer;color:var(--soft);font-size:13px}
""" + "".join(f".f{i}{{fill:var(--c{i})}}.l{i}{{stroke:var(--c{i})}}.d{i}{{fill:var(--c{i})}}i.f{i}{{background:var(--c{i})}}"
              for i in range(9))
CONTENDERS = {"pollux": 0, "libiscsi": 1, "packets": 2}


def cell(words, css=""):
    return f'<td class="{css}">{escape(str(words))}</td>' if css else f"<td>{escape(str(words))}</td>"


def html_table(titles, lines, words=(0,)):
    head = "".join(f'<th class="words">{escape(title)}</th>' if i in words else f"<th>{escape(title)}</th>"
                   for i, title in enumerate(titles))
    body = "".join("<tr>" + "".join(cell(value, "words" if i in words else "") for i, value in enumerate(values)) + "</tr>"
                   for values in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def legend(entries):
    return '<p class="legend">' + "".join(f'<span><i class="f{colour}"></i>{escape(name)}</span>'
                                          for name, colour in entries) + "</p>"


def section(title, about, plot, under):
    return (f"<section><h2>{escape(title)}</h2><p class=soft>{escape(about)}</p><figure>{plot}</figure>"
            f"<details open><summary>the same in figures</summary>{under}</details></section>")


def colour_of(row):
    return CONTENDERS.get(row["contender"], 2)


def bar_section(title, about, unit, rows, field):
    rows = [row for row in rows if row.get(field)]
    if not rows:
        return ""
    items = [(row["name"], f"f{colour_of(row)}", row[field], row["spread"].get(field) if "spread" in row else None)
             for row in rows]
    used = [(name, colour) for name, colour in CONTENDERS.items() if any(colour_of(row) == colour for row in rows)]
    used = [("the limit: packets, memcpy, CRC32C" if name == "packets" else name, colour) for name, colour in used]
    under = html_table(("measurement", unit, "least", "most", "target busy"),
                       [(row["name"], table.figure(row[field]), *(table.figure(edge) for edge in row.get("spread", {}).get(
                           field, (None, None))), table.number(row.get("target_busy_share"), ".0%")) for row in rows])
    return section(title, about, legend(used) + svg.bars(title, unit, items), under)


def is_small(row):
    return row["io_size"] in (4096, 4210) and row["contender"] in CONTENDERS and row["workload"] != "stream"


def is_large(row):
    return (row["io_size"] or 0) >= 128 * 1024 and (row["contender"] in ("pollux", "libiscsi", "memcpy")) or (
        row["contender"] == "packets" and row["workload"] == "stream" and row["io_size"] > 9000)


def latency_section(rows):
    wanted = [row for row in rows if row.get("latency_percentiles_us") and row["io_size"] == 4096
              and row["digests"] == "none" and row["workload"] == "randread" and row.get("memory") == "placed"
              and row.get("lun") != "ram" and row.get("poll", "embedder") == "embedder"
              and not str(row["wire"]).endswith("checksums")][:8]
    if not wanted:
        return ""
    items = [(row["name"], f"l{i} d{i}", row["latency_percentiles_us"]) for i, row in enumerate(wanted)]
    parts = [part for part, _ in wanted[0]["latency_percentiles_us"]]
    lines = [(row["name"], *(table.figure(value) for _, value in row["latency_percentiles_us"])) for row in wanted]
    means = [row for row in rows if row["contender"] == "libiscsi" and row.get("avg_latency_us") and row["io_size"] == 4096
             and not row.get("latency_percentiles_us")]
    about = "4 KiB random reads, microseconds, logarithmic; each nine takes as much room as the one before."
    if means:
        about += " libiscsi's iscsi-perf prints no percentiles; its means: " + ", ".join(
            f"depth {row['queue_depth']:.0f} {table.figure(row['avg_latency_us'])} us" for row in means) + "."
    titles = ("measurement", *(f"p{part:g}" if part < 100 else "most" for part in parts))
    return section("Latency", about, legend([(row["name"], i) for i, row in enumerate(wanted)])
                   + svg.percentile_lines("Latency", "us", items), html_table(titles, lines))


def stage_section(title, rows):
    rows = [row for row in rows if row.get("stage_cycles_per_io") and row.get("busy_cycles_per_io")]
    if not rows:
        return ""
    items = [(row["name"], row["stage_cycles_per_io"]) for row in rows]
    kinds = [(name, f"f{i}") for i, name in enumerate(STAGES)]
    lines = [(row["name"], *(table.number(row["stage_cycles_per_io"].get(name)) for name in STAGES),
              table.number(row["busy_cycles_per_io"]), table.figure(row.get("frames_per_received_burst"))) for row in rows]
    return section(title, "Busy cycles of the worker per I/O; a copy that makes a digest on the way counts as digest. One turn "
                   "in 61 is measured, its shares applied to all.", legend([(name, i) for i, name in enumerate(STAGES)])
                   + svg.stacked(title, "cycles per I/O", kinds, items),
                   html_table(("measurement", *STAGES, "all", "frames per burst"), lines))


def goals_table(goals):
    css = {MET: "met", NOT_MET: "not"}
    head = "<tr><th class=words>measure</th><th>pollux</th><th class=words>contender</th><th>its figure</th><th>ratio</th>" \
           "<th class=words>goal</th><th class=words></th></tr>"
    lines = []
    for goal in goals:
        note = f'<div class="soft">{escape(goal.note)}</div>' if goal.note else ""
        value = f"{table.figure(goal.value)} {goal.unit}" if goal.value is not None else "-"
        lines.append(f'<tr><td class="words">{escape(goal.measure)}{note}</td><td>{escape(value)}</td>'
                     f'{cell(goal.contender, "words")}<td>{table.figure(goal.contender_value)}</td>'
                     f'<td>{table.number(goal.ratio, ".3g")}</td>{cell(goal.goal, "words")}'
                     f'{cell(goal.status, "words " + css.get(goal.status, "open"))}</tr>')
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table></div>'


def html(report):
    rows, goals = report["results"], [Goal(**goal) for goal in report["goals"]]
    met = sum(goal.status == MET for goal in goals)
    missed = sum(goal.status == NOT_MET for goal in goals)
    small = [row for row in rows if is_small(row)]
    large = [row for row in rows if is_large(row)]
    bent = "".join(f"<p class=not>{escape(words)}</p>" for words in report["doubts"] + report["failures"])
    all_rows = html_table([title or "marks" for title, _, _ in table.COLUMNS],
                          [[show(row) for _, _, show in table.COLUMNS] for row in rows])
    body = [
        "<h1>pollux beside its contenders</h1>",
        f'<p>{met} goals met, {missed} not met, {len(goals) - met - missed} not measured.</p>',
        *(f'<p class="soft">{escape(words)}</p>' for words in machine.lines(report["machine"], report["options"])),
        bent, "<h2>Goals</h2>", goals_table(goals),
        bar_section("IOPS, 4 KiB", "Medians; the whiskers are the least and the most of the rounds. Packets: a short frame "
                    "asks for each frame of a read.", "IOPS", small, "iops"),
        bar_section("CPU per I/O, 4 KiB", "Worker and caller for pollux, user and system time for libiscsi.", "ns per I/O",
                    small, "cpu_ns_per_io"),
        bar_section("Throughput, 128 KiB and 1 MiB", "", "MiB/s", large, "mibps"),
        latency_section(rows),
        stage_section("Cycles per I/O by stage, 4 KiB", small),
        stage_section("Cycles per I/O by stage, 128 KiB", [row for row in large if row["io_size"] == 128 * 1024]),
        "<h2>Everything measured</h2>", f'<p class="soft">{escape(table.LEGEND)}</p>', all_rows,
    ]
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            'content="width=device-width,initial-scale=1"><title>pollux: benchmark</title>'
            f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n")
