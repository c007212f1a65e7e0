"""scripts/benchmark: medians, spread, doubts, goals and plots, on made-up rows."""
import sys
import unittest
from dataclasses import replace

sys.path.insert(0, sys.argv.pop(1))
sys.dont_write_bytecode = True

from benchmark import contenders, goals, libiscsi, outside, page, plan, rows, svg, table, veth_goals  # noqa: E402
from benchmark.goals import MET, NOT_MEASURED, NOT_MET  # noqa: E402

HZ = 2_700_000_000


def row_of(measurement, **figures):
    found = {"contender": measurement.contender, "wire": measurement.wire, "workload": measurement.workload,
             "io_size": measurement.io_size, "queue_depth": measurement.queue_depth, "sessions": measurement.sessions,
             "digests": measurement.digests, "memory": measurement.memory, "working_set": measurement.working_set,
             "tsc_hz": HZ, "cpu_share": 0.99, "target_poll_share": 0.99}
    return rows.complete(found | figures, measurement.name)


def limit(contender, io_size, mibps, nanoseconds=None, memory="warm"):
    return rows.complete({"contender": contender, "wire": "none", "workload": "memory", "io_size": io_size, "memory": memory,
                          "mibps": mibps, "cpu_ns_per_io": nanoseconds}, f"limits/{contender}/{io_size}")


def verdict(found, words):
    """The one goal whose measure contains the words."""
    matching = [goal for goal in goals.all_goals(found) if words in goal.measure]
    assert len(matching) == 1, f"{words}: {[goal.measure for goal in matching]}"
    return matching[0]


class Medians(unittest.TestCase):
    def test_median_least_and_most(self):
        found = rows.median_of([{"contender": "pollux", "iops": iops, "p50_latency_us": 1000 / iops}
                                for iops in (100, 300, 200)])
        self.assertEqual(found["iops"], 200)
        self.assertEqual(found["p50_latency_us"], 5)
        self.assertEqual(found["spread"]["iops"], [100, 300])
        self.assertEqual(found["rounds"], 3)
        self.assertEqual(rows.spread_share(found), 1.0)

    def test_two_rounds_give_the_mean(self):
        self.assertEqual(rows.median_of([{"iops": 100}, {"iops": 300}])["iops"], 200)

    def test_stages_are_medians_of_their_own(self):
        found = rows.median_of([{"iops": i, "stage_cycles_per_io": {"tcp": tcp, "pdu": 2 * tcp}}
                                for i, tcp in ((1, 10), (2, 30), (3, 20))])
        self.assertEqual(found["stage_cycles_per_io"], {"tcp": 20, "pdu": 40})

    def test_a_histogram_is_that_of_the_middle_run(self):
        found = rows.median_of([{"iops": iops, "latency_histogram_us": [[1, iops]]} for iops in (10, 30, 20)])
        self.assertEqual(found["latency_histogram_us"], [[1, 20]])

    def test_what_is_unknown_stays_unknown(self):
        found = rows.median_of([{"iops": 1, "p99_latency_us": None}, {"iops": 3, "p99_latency_us": None}])
        self.assertIsNone(found["p99_latency_us"])
        self.assertNotIn("p99_latency_us", found["spread"])

    def test_one_failed_round_is_not_averaged_away(self):
        found = rows.median_of([{"iops": 1, "failed": failed, "violations": 0} for failed in (0, 5, 0)])
        self.assertEqual(found["failed"], 5)
        self.assertEqual(len(goals.doubts([rows.complete(found, "x")])), 1)


class Form(unittest.TestCase):
    def test_a_complete_row_is_well_formed(self):
        self.assertEqual(rows.problems(row_of(plan.READ, iops=1.5)), [])

    def test_what_is_wrong_is_named(self):
        good = row_of(plan.READ)
        self.assertEqual(rows.problems(good | {"iops": "many"}), ["iops is 'many', not a number from 0 or null"])
        self.assertEqual(rows.problems(good | {"mibps": -1}), ["mibps is -1, not a number from 0 or null"])
        self.assertEqual(rows.problems(good | {"wire": None}), ["wire is no text"])
        del good["digests"]
        self.assertEqual(rows.problems(good), ["digests is missing"])


class Noise(unittest.TestCase):
    def test_either_thread_may_lose_its_cpu(self):
        self.assertFalse(rows.is_noisy({"cpu_share": 0.95, "target_poll_share": 0.96}))
        self.assertTrue(rows.is_noisy({"cpu_share": 0.94}))
        self.assertTrue(rows.is_noisy({"cpu_share": 1.0, "target_poll_share": 0.5}))
        self.assertFalse(rows.is_noisy({}))

    def test_a_noisy_row_shows_no_saturation(self):
        self.assertTrue(rows.is_saturated({"target_busy_share": 0.95, "cpu_share": 1, "target_poll_share": 1}))
        self.assertFalse(rows.is_saturated({"target_busy_share": 0.94, "cpu_share": 1, "target_poll_share": 1}))
        self.assertFalse(rows.is_saturated({"target_busy_share": 0.99, "cpu_share": 1, "target_poll_share": 0.6}))
        self.assertFalse(rows.is_saturated({}))

    def test_the_report_says_so(self):
        self.assertEqual(goals.doubts([row_of(plan.READ)]), [])
        self.assertIn(plan.READ.name, goals.doubts([row_of(plan.READ, cpu_share=0.5)])[0])


class SmallReads(unittest.TestCase):
    def test_busy_cycles(self):
        words = "no digests: busy cycles"
        self.assertEqual(verdict([row_of(plan.READ, iops=1, busy_cycles_per_io=870)], words).status, MET)
        self.assertEqual(verdict([row_of(plan.READ, iops=1, busy_cycles_per_io=871)], words).status, NOT_MET)
        self.assertEqual(verdict([], words).status, NOT_MEASURED)

    def test_digests_may_cost_what_the_crc_costs_here(self):
        summed = replace(plan.READ, digests="both")
        # 100 ns of data and 10 ns for each of two headers are 324 cycles at 2.7 GHz.
        limits = [limit("crc32c", 4096, 40_000, 100), limit("crc32c_header", 48, 9_000, 10)]
        words = "header and data digests"
        self.assertEqual(verdict([row_of(summed, busy_cycles_per_io=1624)] + limits, words).status, MET)
        found = verdict([row_of(summed, busy_cycles_per_io=1625)] + limits, words)
        self.assertEqual((found.status, round(found.contender_value)), (NOT_MET, 324))
        self.assertEqual(verdict([row_of(summed, busy_cycles_per_io=1)], words).status, NOT_MEASURED)

    def test_iops_or_a_saturated_target(self):
        words = "the same without digests: IOPS"
        enough = HZ / 870
        self.assertEqual(verdict([row_of(plan.READ, iops=enough, busy_cycles_per_io=1)], words).status, MET)
        slow = row_of(plan.READ, iops=enough - 1, busy_cycles_per_io=1, target_busy_share=0.94)
        self.assertEqual(verdict([slow], words).status, NOT_MET)
        self.assertEqual(verdict([slow | {"target_busy_share": 0.96}], words).status, MET)
        self.assertEqual(verdict([slow | {"target_busy_share": 0.96, "cpu_share": 0.7}], words).status, NOT_MET)

    def test_beside_libiscsi(self):
        theirs = row_of(plan.LIBISCSI, iops=100_000, cpu_ns_per_io=6000)
        ours = row_of(plan.READ, iops=1, busy_cycles_per_io=1, cpu_ns_per_io=599)
        found = verdict([ours, theirs], "CPU per 4 KiB read")
        self.assertEqual(found.status, MET)
        self.assertAlmostEqual(found.ratio, 599 / 6000)
        self.assertEqual(verdict([ours | {"cpu_ns_per_io": 600}, theirs], "CPU per 4 KiB read").status, NOT_MET)
        self.assertEqual(verdict([ours], "CPU per 4 KiB read").status, NOT_MEASURED)

    def test_latency_at_depth_one_is_held_against_their_mean(self):
        theirs = row_of(replace(plan.LIBISCSI, queue_depth=1), avg_latency_us=30)
        ours = row_of(replace(plan.READ, queue_depth=1), p50_latency_us=10)
        self.assertEqual(verdict([ours, theirs], "p50 latency").status, MET)
        self.assertEqual(verdict([ours, theirs | {"p50_latency_us": 29}], "p50 latency").status, NOT_MET)
        self.assertEqual(verdict([ours | {"p50_latency_us": 10.1}, theirs], "p50 latency").status, NOT_MET)


class Bulk(unittest.TestCase):
    def test_each_memory_has_its_limit(self):
        placed = row_of(plan.SEQUENTIAL, mibps=7000, busy_cycles_per_io=10_000)
        lent = row_of(replace(plan.SEQUENTIAL, memory="lent"), mibps=6999, busy_cycles_per_io=10_000)
        found = [placed, lent, limit("memcpy", 128 * 1024, 10_000, memory="buffers"), row_of(plan.PACKETS, mibps=10_000, iops=1)]
        self.assertEqual(verdict(found, "128 KiB sequential reads, placed").status, MET)
        self.assertEqual(verdict(found, "128 KiB sequential reads, lent").status, NOT_MET)
        self.assertEqual(verdict(found, "1 MiB sequential reads, lent").status, NOT_MEASURED)

    def test_digests_over_a_large_working_set(self):
        far = replace(plan.SEQUENTIAL, working_set=2**30)
        found = [row_of(plan.SEQUENTIAL, mibps=9000, busy_cycles_per_io=1), row_of(far, mibps=1000),
                 row_of(replace(far, digests="both"), mibps=850)]
        self.assertEqual(verdict(found, "beyond the cache").status, MET)
        found[2]["mibps"] = 849
        self.assertEqual(verdict(found, "beyond the cache").status, NOT_MET)

    def test_speed_of_the_digest_stage(self):
        # 128 KiB in 2,700 cycles is a microsecond: 125,000 MiB/s.
        row = row_of(replace(plan.SEQUENTIAL, memory="lent", digests="both"), stage_cycles_per_io={"digest": 2700})
        self.assertEqual(verdict([row, limit("crc32c", 128 * 1024, 125_000 / 0.7)], "CRC stage").status, MET)
        self.assertEqual(verdict([row, limit("crc32c", 128 * 1024, 125_000 / 0.69)], "CRC stage").status, NOT_MET)


class Elsewhere(unittest.TestCase):
    def test_sessions(self):
        found = [rows.complete({"measure": "scale_ratio", "compared": what, "sessions": 1024, "queue_depth": 1,
                                "one_queue_depth": 1, "turn_cycles_per_io": cycles, "one_turn_cycles_per_io": 1000,
                                "ratio": cycles / 1000, "busy_ratio": 1}, what)
                 for what, cycles in (("several commands each", 1300), ("one command each", 700),
                                      ("the same commands in flight", 1301))]
        self.assertEqual(verdict(found, "several commands each").status, MET)
        self.assertEqual(verdict(found, "one command each").value, 700)
        self.assertEqual(verdict(found, "same commands in flight").status, NOT_MET)

    def test_measures_of_other_programs(self):
        for words, row, is_met in (
                ("memory per idle", {"measure": "memory_per_connection", "bytes_per_connection": 16384}, True),
                ("memory per idle", {"measure": "memory_per_connection", "bytes_per_connection": 16385}, False),
                ("fairness", {"measure": "fairness", "case": "equal", "slowest_share": 0.8}, True),
                ("fairness", {"measure": "fairness", "case": "equal", "slowest_share": 0.79}, False),
                ("two workers", {"measure": "two_workers", "contender": "pollux", "ratio": 1.9}, True),
                ("two workers", {"measure": "two_workers", "contender": "pollux", "ratio": 1.89}, False),
                ("ring, both on one CPU: p50", {"measure": "command_ring", "cpus": "one", "p50_latency_us": 20}, True),
                ("ring, both on one CPU: comm", {"measure": "command_ring", "cpus": "one", "iops": 99_999}, False),
                ("steady state", {"measure": "steady_state", "tests": 4, "passed": 4, "names": ["a"]}, True),
                ("steady state", {"measure": "steady_state", "tests": 4, "passed": 3, "names": ["a"]}, False)):
            with self.subTest(words=words, row=row):
                self.assertEqual(verdict([rows.complete(row, "r")], words).status, MET if is_met else NOT_MET)

    def test_veth_wants_twice_the_iops_or_half_the_cpu_of_a_saturated_target(self):
        ours = row_of(plan.READ, iops=150, cpu_ns_per_io=500, wire="veth-af_xdp", target_cpu_share=0.97, mtu=1500)
        theirs = row_of(plan.LIBISCSI, iops=100, cpu_ns_per_io=1000, wire="veth", offloads="off", mtu=1500)
        words = "random reads, depth 32, veth"
        self.assertEqual(verdict([ours, theirs], words).status, MET)
        self.assertEqual(verdict([ours | {"target_cpu_share": 0.89}, theirs], words).status, NOT_MET)
        self.assertEqual(verdict([ours | {"cpu_ns_per_io": 501}, theirs], words).status, NOT_MET)
        self.assertEqual(verdict([ours | {"iops": 200, "cpu_ns_per_io": 501}, theirs], words).status, MET)
        both = [ours, theirs, theirs | {"offloads": "default"}, theirs | {"mtu": 3328}]
        self.assertEqual(len([g for g in goals.all_goals(both) if "veth" in g.measure and g.status == MET]), 2)
        self.assertEqual(veth_goals.setting(theirs), "offloads off")

    def test_without_rows_nothing_is_measured_and_nothing_fails(self):
        found = goals.all_goals([])
        self.assertGreaterEqual(len(found), 20)
        self.assertEqual({goal.status for goal in found}, {NOT_MEASURED})


class Contenders(unittest.TestCase):
    def test_names_are_unique(self):
        for wanted in (plan.smoke(), plan.quick(2**30), plan.default(2**30), plan.full(2**30)):
            names = [measurement.name for measurement in wanted]
            self.assertEqual(len(names), len(set(names)))

    def test_plans_grow(self):
        self.assertLess(set(plan.quick(8)), set(plan.default(8)))
        self.assertLess(set(plan.default(8)), set(plan.full(8)))

    def test_iscsi_perf_prints_running_averages(self):
        self.assertEqual(libiscsi.parse_iops("iops average 10 (1 MB/s)\riops average 25 (2 MB/s)\n"), 25)
        self.assertIsNone(libiscsi.parse_iops("login failed"))

    def test_names_of_limits(self):
        self.assertEqual(contenders.LIMIT_NAME.match("crc32c_header/48/warm").groups(), ("crc32c_header", "48", "warm"))
        self.assertEqual(contenders.LIMIT_NAME.match("memcpy/4096/cold").groups(), ("memcpy", "4096", "cold"))

    def test_lines_of_json_among_others(self):
        self.assertEqual(outside.lines_of_json('EAL: hello\n{"a": 1}\n{"a": 2}\n'), [{"a": 1}, {"a": 2}])


class Pictures(unittest.TestCase):
    def test_ticks_are_round_and_few(self):
        self.assertEqual(svg.ticks(10), [0, 2, 4, 6, 8, 10])
        for most in (0.3, 7, 99, 1234, 5e6):
            self.assertLessEqual(len(svg.ticks(most)), 8)
            self.assertGreaterEqual(len(svg.ticks(most)), 3)

    def test_words_of_a_row_cannot_break_the_page(self):
        self.assertNotIn("<b>", svg.bars("t", "u", [("<b>", "f0", 1, [1, 2])]))
        self.assertIn("&lt;b&gt;", page.html_table(("t",), [("<b>",)]))

    def test_numbers(self):
        self.assertEqual([table.figure(value) for value in (None, 0.1234, 12.34, 1234.5)], ["-", "0.12", "12.3", "1,234"])
        self.assertEqual(svg.short(2_340_000), "2.34M")


if __name__ == "__main__":
    unittest.main()
