-- How noisy were the runs on hardware?
--
-- For each run, suite and cost: how many cells have an interval, half its width in percent of the value
-- (the worst cell and the average), and how many cells are open: those may have no value at all.
WITH costs AS (
    SELECT run_id, started_at, kernel, kernel_id, vendor, suite, metric,
        -- What has no interval is not computed at all: ClickHouse casts no NULL.
        CASE WHEN value > 0 AND ci_low IS NOT NULL AND ci_high IS NOT NULL
            THEN 50.0 * (CAST(ci_high AS double precision) - CAST(ci_low AS double precision))
                / CAST(value AS double precision) END AS width,
        CASE WHEN status = 'unresolved' THEN 1 ELSE 0 END AS is_open
    FROM results
    WHERE machine = 'native' AND NOT deterministic
        AND metric IN ('ns', 'guest_cycles', 'host_cycles', 'instructions')
)
SELECT run_id, started_at, kernel, kernel_id, vendor, suite, metric,
    count(width) AS cells, max(width) AS worst_percent, avg(width) AS average_percent,
    sum(is_open) AS open_cells
FROM costs
GROUP BY run_id, started_at, kernel, kernel_id, vendor, suite, metric
HAVING count(width) > 0 OR sum(is_open) > 0
ORDER BY started_at, run_id, kernel_id, vendor, suite, metric;
