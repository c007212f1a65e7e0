"""Results of scripts/soak goodput: `add` judges one run and appends it as a line of JSON, `print` makes the table."""
import argparse
import json
import statistics


def last_json(path):
    with open(path) as lines:
        found = [line for line in lines if line.startswith("{")]
    return json.loads(found[-1])


def add(options):
    run, bridge = last_json(options.run), last_json(options.bridge)
    lost = sum(sum(bridge[end].values()) for end in ("end_a", "end_b"))
    counters = run.get("counters", {})
    row = {
        "contender": options.contender,
        "verb": options.verb,
        "loss": options.loss,
        "round": options.round,
        "mbit": run["mbit"],
        "retransmitted": run.get("retransmitted", counters.get("tcp_segments_retransmitted_total", 0)),
        "timeouts": counters.get("tcp_timeouts_total"),
        "bridge_lost": lost,
        "dropped": bridge["a_to_b"]["dropped"] + bridge["b_to_a"]["dropped"],
        "queue_dropped": bridge["a_to_b"]["queue_dropped"] + bridge["b_to_a"]["queue_dropped"],
        "late_p99_us": bridge["late"]["p99_us"],
        "late_max_us": bridge["late"]["max_us"],
    }
    with open(options.results, "a") as out:
        out.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def show(options):
    with open(options.results) as lines:
        rows = [json.loads(line) for line in lines]
    groups = {}
    for row in rows:
        groups.setdefault((row["verb"], row["loss"]), {}).setdefault(row["contender"], []).append(row)
    print("\nMbit/s of payload, as the receiver measured it: median (least to most); ratio of medians to pollux's own.")
    print(f"{'client':8} {'loss':>6}  {'contender':14} {'median':>8} {'least':>8} {'most':>8} "
          f"{'pollux/it':>9} {'rtx':>6} {'lost':>5} {'late p99':>9}")
    for (verb, loss), contenders in groups.items():
        ours = statistics.median(row["mbit"] for row in contenders.get("pollux", [{"mbit": 0}]))
        for name, found in contenders.items():
            rates = [row["mbit"] for row in found]
            median = statistics.median(rates)
            print(f"{verb + 's':8} {loss + ' %':>6}  {name:14} {median:8.1f} {min(rates):8.1f} {max(rates):8.1f} "
                  f"{ours / median if median else 0:9.2f} {statistics.median(row['retransmitted'] for row in found):6.0f} "
                  f"{max(row['bridge_lost'] for row in found):5} {max(row['late_p99_us'] for row in found):6} us")
    print("rtx: segments the sender sent again (of a receiving client: its own, so 0); lost: frames that interfaces lost "
          "besides the bridge's decisions;\nlate: how much later than due the bridge delivered.")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["add", "print"])
    parser.add_argument("results")
    for name in ("contender", "loss", "run", "bridge"):
        parser.add_argument("--" + name)
    parser.add_argument("--verb", dest="direction")
    parser.add_argument("--round", type=int)
    options = parser.parse_args()
    action, options.verb = options.verb, options.direction
    {"add": add, "print": show}[action](options)


if __name__ == "__main__":
    main()
