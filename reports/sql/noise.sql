-- How noisy were the runs on hardware?
--
-- For each run, suite and cost: how many cells have an interval, half its width in percent of the value
-- (the worst cell and the average), and how many cells are open.
SELECT run_id, started_at, kernel, kernel_id, vendor, suite, metric,
    count(ci_low) AS cells,
    max(50.0 * (CAST(ci_high AS double precision) - CAST(ci_low AS double precision))
        / CAST(value AS double precision)) AS worst_percent,
    avg(50.0 * (CAST(ci_high AS double precision) - CAST(ci_low AS double precision))
        / CAST(value AS double precision)) AS average_percent,
    sum(CASE WHEN status = 'unresolved' THEN 1 ELSE 0 END) AS open_cells
FROM results
WHERE machine = 'native' AND NOT deterministic AND value > 0
    AND metric IN ('ns', 'guest_cycles', 'host_cycles', 'instructions')
GROUP BY run_id, started_at, kernel, kernel_id, vendor, suite, metric
HAVING count(ci_low) > 0
ORDER BY started_at, run_id, kernel_id, vendor, suite, metric;
